"""The command line as runc has it: global flags, a verb, its flags, arguments. Both ``-`` and ``--`` begin a flag."""

from __future__ import annotations


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

FLAG, VALUE, LIST = "flag", "value", "list"

GLOBAL = {
    "root": VALUE, "log": VALUE, "log-format": VALUE, "debug": FLAG, "systemd-cgroup": FLAG, "rootless": VALUE,
    "version": FLAG, "v": FLAG, "help": FLAG, "h": FLAG,
}  # fmt: skip
_LAUNCH = {
    "bundle": VALUE, "b": VALUE, "console-socket": VALUE, "pid-file": VALUE, "no-pivot": FLAG, "no-new-keyring": FLAG,
    "preserve-fds": VALUE,
}  # fmt: skip
VERBS: dict[str, dict[str, str]] = {
    "create": _LAUNCH,
    "run": {**_LAUNCH, "detach": FLAG, "d": FLAG, "keep": FLAG, "no-subreaper": FLAG},
    "start": {},
    "state": {},
    "kill": {"all": FLAG, "a": FLAG},
    "delete": {"force": FLAG, "f": FLAG},
    "exec": {
        "console-socket": VALUE, "cwd": VALUE, "env": LIST, "e": LIST, "tty": FLAG, "t": FLAG, "user": VALUE,
        "u": VALUE, "additional-gids": LIST, "g": LIST, "process": VALUE, "p": VALUE, "detach": FLAG, "d": FLAG,
        "pid-file": VALUE, "no-new-privs": FLAG, "cap": LIST, "c": LIST, "preserve-fds": VALUE, "no-subreaper": FLAG,
    },
    "list": {"format": VALUE, "f": VALUE, "quiet": FLAG, "q": FLAG},
    "ps": {"format": VALUE, "f": VALUE},
    "pause": {},
    "resume": {},
    "update": {
        "resources": VALUE, "r": VALUE, "memory": VALUE, "memory-swap": VALUE, "memory-reservation": VALUE,
        "cpu-share": VALUE, "cpu-quota": VALUE, "cpu-period": VALUE, "cpuset-cpus": VALUE, "cpuset-mems": VALUE,
        "pids-limit": VALUE, "blkio-weight": VALUE, "cpu-burst": VALUE, "cpu-idle": VALUE, "cpu-rt-period": VALUE,
        "cpu-rt-runtime": VALUE,
    },
    "events": {"interval": VALUE, "stats": FLAG},
    "spec": {"bundle": VALUE, "b": VALUE},
    "features": {},
    "verify": {},
}  # fmt: skip
_LONG = {
    "b": "bundle", "d": "detach", "a": "all", "f": "force", "e": "env", "t": "tty", "u": "user", "g": "additional-gids",
    "p": "process", "c": "cap", "q": "quiet", "r": "resources", "v": "version", "h": "help",
}  # fmt: skip


class UsageError(Exception):
    """The command line is not understood; one line."""


class Arguments:
    """``options`` by long name: text, True, or a list."""

    __slots__ = ("root", "verb", "options", "rest")

    def __init__(self, root: dict[str, object], verb: str, options: dict[str, object], rest: list[str]) -> None:
        self.root, self.verb, self.options, self.rest = root, verb, options, rest


def parse(words: Sequence[str]) -> Arguments:
    """Raises UsageError."""
    left = list(words)
    root = _flags(left, GLOBAL)
    if not left:
        return Arguments(root, "", {}, [])
    verb = left.pop(0)
    if verb not in VERBS:
        raise UsageError(f"unknown command {verb!r}: use {', '.join(VERBS)}")
    return Arguments(root, verb, _flags(left, VERBS[verb]), left)


def _flags(left: list[str], known: dict[str, str]) -> dict[str, object]:
    """Take the flags from the front of ``left``."""
    found: dict[str, object] = {}
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        name, has_value, value = word.lstrip("-").partition("=")
        if name in ("help", "h"):
            found["help"] = True
            continue
        if name not in known:
            raise UsageError(f"flag provided but not defined: {word}")
        kind = known[name]
        name = "format" if name == "f" and "format" in known else _LONG.get(name, name)
        if kind == FLAG:
            if value.lower() not in ("", "true", "1", "t", "false", "0", "f"):
                raise UsageError(f"invalid boolean value {value!r}: {word}")
            found[name] = not has_value or value.lower() in ("true", "1", "t")
            continue
        if not has_value:
            if not left:
                raise UsageError(f"flag needs an argument: {word}")
            value = left.pop(0)
        if name == "preserve-fds" and not value.isdecimal():
            raise UsageError(f"invalid value {value!r}: {word}")
        if kind == LIST:
            found.setdefault(name, []).append(value)  # type: ignore[attr-defined]
        else:
            found[name] = value
    return found
