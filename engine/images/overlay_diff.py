"""What an overlay's writable layer changes of the layers below it (Documentation/filesystems/overlayfs.rst).

The layers below belong to the store and don't change; a component of a path is looked at only where the one above it
was a folder and no link, so no link of an image leads out of its layer.
"""

from __future__ import annotations

import os
import stat
from typing import Iterator, NamedTuple, Sequence

from engine.kernel.namespaces import in_user_namespace


def opaque_xattr() -> str:
    """The attribute of a folder that hides what lies below it: among the user's in a user namespace (``userxattr``)."""
    return "user.overlay.opaque" if in_user_namespace() else "trusted.overlay.opaque"


STUBS = frozenset(
    {
        b"dev", b"dev/console", b"dev/mqueue", b"dev/pts", b"dev/shm", b"proc", b"sys", b"etc/hostname", b"etc/hosts",
        b"etc/resolv.conf",
    }
)  # fmt: skip
"""What the engine makes in every container to have something to mount on, where the image doesn't have it."""


class Change(NamedTuple):
    """One difference. ``kind`` is "added", "modified" or "deleted"; ``path`` has no slash at its beginning. Of what is
    there, ``folder_fd``, ``leaf`` and ``found`` (lstat) say where; the descriptor is valid until the next change.
    ``hides``: a folder that stands for itself alone, whatever the layers below have in a folder of that name."""

    path: bytes
    kind: str
    folder_fd: int
    leaf: bytes
    found: os.stat_result | None
    hides: bool = False


def is_whiteout(found: os.stat_result) -> bool:
    """Whether it stands for something that was deleted."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def changes(upper: str, lower: Sequence[str], stubs: frozenset[bytes] = STUBS) -> Iterator[Change]:
    """All differences, a folder before what is in it, names sorted. ``lower`` has the topmost layer first. Of ``stubs``
    (paths without a slash at their beginning) nothing is told, nor of folders that were touched only to make them."""
    fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield from _Walk(stubs).folder(b"", fd, [os.fsencode(layer) for layer in lower])
    finally:
        os.close(fd)


class _Walk:
    def __init__(self, stubs: frozenset[bytes]) -> None:
        self._stubs = stubs
        self._above_stubs = {stub.rpartition(b"/")[0] for stub in stubs} - {b""}

    def folder(self, path: bytes, fd: int, lower: list[bytes]) -> Iterator[Change]:
        """``lower`` are the folders that are merged into this one, topmost first."""
        for leaf in sorted(map(os.fsencode, os.listdir(fd))):
            below = path + b"/" + leaf if path else leaf
            found = os.lstat(leaf, dir_fd=fd)
            old, folders = _look_up(leaf, lower)
            if is_whiteout(found):
                if old is not None:  # else it was the engine's own, below the image
                    yield Change(below, "deleted", fd, leaf, None)
                continue
            if not stat.S_ISDIR(found.st_mode):
                if below not in self._stubs:
                    yield Change(below, "added" if old is None else "modified", fd, leaf, found)
                continue
            yield from self._subfolder(below, fd, leaf, found, old, folders)

    def _subfolder(
        self, path: bytes, parent_fd: int, leaf: bytes, found: os.stat_result, old: os.stat_result | None,
        lower: list[bytes],
    ) -> Iterator[Change]:  # fmt: skip
        fd = os.open(leaf, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            hides = old is not None and (not lower or _is_opaque(fd))
            inside = self.folder(path, fd, [] if hides else lower)
            first = next(inside, None)
            if first is None and self._is_incidental(path, found, old, hides):
                return
            yield Change(path, "added" if old is None else "modified", parent_fd, leaf, found, hides and bool(lower))
            if first is not None:
                yield first
                yield from inside
        finally:
            os.close(fd)

    def _is_incidental(self, path: bytes, found: os.stat_result, old: os.stat_result | None, hides: bool) -> bool:
        """Whether the folder is there, empty, because something had to be mounted on it or in it."""
        if path in self._stubs or path in self._above_stubs and old is None:
            return True
        if path not in self._above_stubs or hides or old is None:
            return False
        return (old.st_mode, old.st_uid, old.st_gid) == (found.st_mode, found.st_uid, found.st_gid)


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, opaque_xattr()) == b"y"
    except OSError:
        return False


def _look_up(leaf: bytes, lower: list[bytes]) -> tuple[os.stat_result | None, list[bytes]]:
    """What the layers below show under a name, and the folders that are merged where that is one."""
    shown: os.stat_result | None = None
    folders: list[bytes] = []
    for folder in lower:
        path = folder + b"/" + leaf
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        if is_whiteout(found):
            break
        shown = shown or found
        if not stat.S_ISDIR(found.st_mode):
            break
        folders.append(path)
        try:
            if os.getxattr(path, opaque_xattr(), follow_symlinks=False) == b"y":
                break
        except OSError:
            continue
    return shown, folders
