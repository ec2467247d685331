"""Secrets and configs whose content is text or a variable: copied into the container before each of its starts."""

from __future__ import annotations

import io

from engine.compose.bodies.mounts import definition, place_of
from engine.compose.digests import digest
from engine.compose.project import ComposeError, Project
from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

_DEFAULT_MODE = 0o444


class InjectedFile(Record):
    """``path`` is absolute in the container."""

    path: str
    content: bytes
    mode: int
    uid: int
    gid: int

    @property
    def fingerprint(self) -> str:
        return digest(self.content)[:16]


def injected_files(project: Project, name: str, service: Mapping[str, Any]) -> list[InjectedFile]:
    """What has to be copied into each container of the service ``name``. Raises ComposeError."""
    found = [file for kind in ("secret", "config") for file in _of_kind(project, kind, service)]
    if found and service.get("read_only"):
        raise ComposeError(
            f"cannot put {found[0].path} into read-only service {name}: `file` is the sole supported option"
        )
    return found


def _of_kind(project: Project, kind: str, service: Mapping[str, Any]) -> Iterator[InjectedFile]:
    for use in service.get(f"{kind}s") or ():
        source = definition(project, kind, use["source"])
        if source.get("file"):
            continue
        mode, uid, gid = use.get("mode"), use.get("uid") or "0", use.get("gid") or "0"
        if not (str(uid).isdecimal() and str(gid).isdecimal()):
            raise ComposeError(f"{kind} {use['source']}: uid and gid must be numbers")
        yield InjectedFile(
            place_of(kind, use), _content(project, kind, use["source"], source),
            _DEFAULT_MODE if mode is None else _mode(mode), int(uid), int(gid),
        )  # fmt: skip


def _mode(mode: Any) -> int:
    """The canonical form writes it in octal ("0440")."""
    return mode if isinstance(mode, int) else int(str(mode), 8)


def _content(project: Project, kind: str, key: str, source: Mapping[str, Any]) -> bytes:
    if "content" in source:
        return str(source["content"]).encode("utf-8", "surrogateescape")
    variable = source.get("environment")
    if variable is None:
        raise ComposeError(f"{kind} {key}: one of file, environment and content is needed")
    if variable not in project.environment:
        raise ComposeError(f"environment variable {variable} required by {kind} {key} is not set")
    return project.environment[variable].encode("utf-8", "surrogateescape")


def archive(files: list[InjectedFile]) -> bytes:
    """A tar archive to be unpacked in the root of a container."""
    import tarfile

    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
            tar.addfile(entry, io.BytesIO(file.content))
    return target.getvalue()
