"""The folders of a layer that is being written, by descriptor: found once, and made where an entry lies below one that
has no entry of its own."""

from __future__ import annotations

import errno
import os

from engine.images.overlay_diff import is_whiteout, opaque_xattr
from engine.kernel.paths import openat2

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_OPEN = 128
_IMPLIED_MODE = 0o755


def lstat(parent_fd: int, name: bytes) -> os.stat_result | None:
    """None where there is nothing."""
    try:
        return os.lstat(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return None


class Folders:
    """Below ``root_fd``, which stays the caller's. ``resolve`` is how openat2(2) walks from there."""

    def __init__(self, root_fd: int, resolve: int) -> None:
        self._root_fd = root_fd
        self._resolve = resolve
        self._kept: dict[bytes, int] = {}
        self._forgotten: list[int] = []

    def open(self, path: bytes) -> int:
        """A descriptor of the caller's own. Raises OSError where no folder is there."""
        return openat2(self._root_fd, path, FOLDER, resolve=self._resolve) if path else os.dup(self._root_fd)

    def get(self, path: bytes) -> int:
        """A descriptor that stays this object's, of a folder that is made where it is missing."""
        if not path:
            return self._root_fd
        if (known := self._kept.get(path)) is not None:
            return known
        try:
            fd = self.open(path)
        except (FileNotFoundError, NotADirectoryError):
            parent, _, name = path.rpartition(b"/")
            fd = self._implied(self.get(parent), name)
        self.keep(path, fd)
        return fd

    def _implied(self, parent_fd: int, name: bytes) -> int:
        """Make a folder that an entry lies below, on top of its own whiteout if need be."""
        found = lstat(parent_fd, name)
        if found is not None and not is_whiteout(found):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        return self.make(parent_fd, name, found, _IMPLIED_MODE)

    def make(self, parent_fd: int, name: bytes, found: os.stat_result | None, mode: int) -> int:
        """A new folder in the place of what is ``found`` there, which is no folder; the descriptor is the caller's."""
        if found is not None:
            self.unlink(parent_fd, name)
        os.mkdir(name, mode, dir_fd=parent_fd)
        fd = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=parent_fd)
        if found is not None and is_whiteout(found):
            os.setxattr(fd, opaque_xattr(), b"y")  # the lower layers' folder stays deleted
        return fd

    def keep(self, path: bytes, fd: int) -> None:
        """Have ``fd`` for this path from now on."""
        if (old := self._kept.pop(path, None)) is not None:
            os.close(old)
        if len(self._kept) >= _MOST_OPEN:
            os.close(self._kept.pop(next(iter(self._kept))))
        self._kept[path] = fd

    def unlink(self, parent_fd: int, name: bytes) -> None:
        """Remove what is no folder."""
        os.unlink(name, dir_fd=parent_fd)
        self.forget()  # a path may have led through a link of this name

    def forget(self) -> None:
        """All are found anew from now on; whoever holds one goes on with it until ``close_forgotten``."""
        self._forgotten += self._kept.values()
        self._kept.clear()

    def close_forgotten(self) -> None:
        while self._forgotten:
            os.close(self._forgotten.pop())

    def close(self) -> None:
        self.forget()
        self.close_forgotten()
