"""What a layer's entry may be called, and how one that can't be stored is refused: with its name and a reason."""

from __future__ import annotations

import errno

from engine.domain.errors import InvalidArgument
from engine.images.tar import Entry
from engine.images.tar_fields import shown

_NOT_PLAIN = frozenset((b"", b".", b".."))

ARCHIVES_FAULT = {
    errno.EXDEV: "leads out of the layer",
    errno.ELOOP: "leads through too many links",
    errno.ENOTDIR: "lies below something that is no folder",
    errno.ENAMETOOLONG: "has too long a name",
    errno.ENOENT: "lies below, or links to, something that is not in the layer",
    errno.EINVAL: "can't be stored on this file system",
    errno.E2BIG: "has too large an extended attribute",
    errno.ERANGE: "has too long an extended attribute name",
    errno.EMLINK: "has too many hard links",
}
"""What the kernel says when the archive is at fault, not the machine."""


def refused(entry: Entry, reason: str) -> InvalidArgument:
    return InvalidArgument(f'layer entry "{shown(entry.name)}" {reason}')


def components_of(name: bytes, entry: Entry) -> list[bytes]:
    """The name's parts, without empty ones and dots. Raises InvalidArgument."""
    if name.startswith(b"/"):
        raise refused(entry, "has an absolute name")
    components = [part for part in name.split(b"/") if part and part != b"."]
    if b".." in components:
        raise refused(entry, 'has ".." in its name or link')
    if not name:
        raise refused(entry, "has no name")
    return components


class Names:
    """Takes names apart, one entry's after the other's: those of one folder mostly follow each other.

    ``folder`` is where the last one lies, as a path below the root, to which ``prefix`` belongs.
    """

    def __init__(self, prefix: tuple[bytes, ...]) -> None:
        self._prefix = prefix
        self._head: bytes | None = None
        self.folder = b""

    def enter(self, path: bytes, entry: Entry) -> bytes:
        """The name in ``folder``; b"" where it is the root's own. Raises InvalidArgument."""
        start = path.rfind(b"/") + 1
        head, name = path[:start], path[start:]
        is_plain = name not in _NOT_PLAIN
        if is_plain and head == self._head:
            return name
        components = components_of(path, entry)
        name = components.pop() if components else b""
        self._head = head if is_plain else None
        self.folder = b"/".join((*self._prefix, *components))
        return name
