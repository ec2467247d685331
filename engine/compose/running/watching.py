"""What ``develop.watch`` asks for: which files count, what has changed among them, and what is to be done for it.

The files are looked at again and again. That sees changes on any file system, also those that another machine or the
other side of a shared folder has made, of which inotify(7) tells nothing.
"""

from __future__ import annotations

import os
import posixpath

from engine.client.dockerignore import Ignored, read_lines
from engine.compose.project import ComposeError
from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping, Sequence

REBUILD, RESTART, EXEC = "rebuild", "restart", "exec"
_SYNC = "sync"
_NEVER = (".git", "**/*~", "**/.*.sw?", "**/.*.swx", "**/.#*", "**/4913", "**/.DS_Store")
"""What version control and editors write beside the files that are meant."""
State = tuple[int, int, int, int]
"""Time of a file's last change (ns), size, inode, mode."""
Seen = dict[str, State]
"""By path below what is watched ("" where that is a file)."""


class Trigger(Record):
    """``rules`` are patterns of what doesn't count, each with the folder from which they count; ``include`` those of
    what counts, where not everything does. ``verbs`` are REBUILD, or what follows once ``target`` has the files."""

    service: str
    path: str
    verbs: tuple[str, ...]
    target: str
    rules: tuple[tuple[str, Ignored], ...]
    include: Ignored | None
    initial_sync: bool
    hook: Mapping[str, Any]

    @property
    def syncs(self) -> bool:
        return bool(self.target)

    def place_of(self, name: str) -> str:
        """Where in a container the file ``name`` below ``path`` belongs."""
        if not name:
            return self.target + os.path.basename(self.path) if self.target.endswith("/") else self.target
        return posixpath.join(self.target, name)

    def counts(self, name: str) -> bool:
        path = os.path.join(self.path, name) if name else self.path
        for folder, ignored in self.rules:
            if (inside := os.path.relpath(path, folder)) != ".." and not inside.startswith("../"):
                if inside != "." and ignored.ignores(inside):
                    return False
        return True

    def is_included(self, name: str) -> bool:
        return self.include is None or self.include.ignores(name or os.path.basename(self.path))


def triggers_of(name: str, service: Mapping[str, Any]) -> list[Trigger]:
    """Of a canonical service. Raises ComposeError."""
    found = []
    for entry in (service.get("develop") or {}).get("watch") or ():
        action, place = str(entry["action"]), f"services.{name}.develop.watch: {entry['path']}"
        if action == REBUILD and not service.get("build"):
            raise ComposeError(f"{place}: {action} needs a service with a build")
        if not os.path.exists(entry["path"]):
            raise ComposeError(f"{place} is not there")
        syncs, _, verb = action.rpartition("+") if "+" in action else (action, "", action)
        try:
            rules = _rules(entry, service)
            include = Ignored(entry["include"]) if entry.get("include") else None
        except (OSError, ValueError) as error:
            raise ComposeError(f"{place}: {error}") from error
        found.append(Trigger(
            name, entry["path"], () if verb == _SYNC else (verb,), entry.get("target") or "" if syncs == _SYNC else "",
            rules, include, bool(entry.get("initial_sync")), entry.get("exec") or {},
        ))  # fmt: skip
    return found


def _rules(entry: Mapping[str, Any], service: Mapping[str, Any]) -> tuple[tuple[str, Ignored], ...]:
    rules = [(entry["path"], Ignored([*_NEVER, *(entry.get("ignore") or ())]))]
    context = (service.get("build") or {}).get("context") or ""
    file = os.path.join(context, ".dockerignore")
    if context and os.path.isfile(file):
        with open(file, "rb") as opened:
            rules.append((context, Ignored(read_lines(opened.read()))))
    return tuple(rules)


def look(trigger: Trigger) -> Seen:
    """The files as they are now; what goes or can't be read while it is looked at isn't among them."""
    return dict(_files(trigger, trigger.path, "")) if os.path.isdir(trigger.path) else dict(_file(trigger, ""))


def _files(trigger: Trigger, folder: str, above: str) -> Iterator[tuple[str, State]]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for leaf in names:
        name = f"{above}/{leaf}" if above else leaf
        path = os.path.join(folder, leaf)
        if not trigger.counts(name):
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            yield from _files(trigger, path, name)
        else:
            yield from _file(trigger, name)


def _file(trigger: Trigger, name: str) -> Iterator[tuple[str, State]]:
    try:
        found = os.lstat(os.path.join(trigger.path, name) if name else trigger.path)
    except OSError:
        return
    if trigger.is_included(name):
        yield name, (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)


def changed(before: Seen, now: Seen) -> tuple[list[str], list[str]]:
    """The files that are new or other than before, and those that are gone."""
    return [name for name, one in now.items() if before.get(name) != one], [name for name in before if name not in now]


def places_gone(trigger: Trigger, names: Sequence[str]) -> list[str]:
    """What to remove in a container for files that are gone: a folder that went with them, as a whole."""
    found = dict[str, None]()
    for name in names:
        while above := os.path.dirname(name):
            if os.path.lexists(os.path.join(trigger.path, above)):
                break
            name = above
        found[trigger.place_of(name)] = None
    return list(found)
