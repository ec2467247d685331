"""A folder as the context of a build: a tar stream of what ``.dockerignore`` leaves, made while it is sent.

What is ignored is not even opened. Links go as links, so that nothing outside of the folder is read. Everything belongs
to root in the stream; times are kept, since ``COPY`` keeps them.
"""

from __future__ import annotations

import os
import stat
import tarfile

from engine.client.dockerignore import Ignored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Mapping

    from engine.client.dockerignore import Matches

_PIECE_BYTES = 1 << 18
_HEADERS_BYTES = 1 << 16  # small files are sent together
_CAPABILITY = "security.capability"
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE,
}  # fmt: skip


class ContextError(Exception):
    """The context can't be read."""


class ContextFolder:
    """``always`` are paths that are sent even where they are ignored, with their parents; ``extra`` are files that
    don't lie in the folder, by the name they are to have. ``sent_bytes`` counts what left."""

    def __init__(
        self, path: str, ignored: Ignored, always: frozenset[str] = frozenset(),
        extra: Mapping[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        self._path = path
        self._ignored = ignored
        self._always = always
        self._above = {name[:at] for name in always for at, char in enumerate(name) if char == "/"}
        self._extra = extra or {}
        self.sent_bytes = 0

    def pieces(self) -> Iterator[bytes]:
        """The archive. Raises ContextError."""
        waiting = bytearray()
        for piece in self._archive():
            waiting += piece
            if len(waiting) >= _HEADERS_BYTES:
                self.sent_bytes += len(waiting)
                yield bytes(waiting)
                waiting.clear()
        self.sent_bytes += len(waiting)
        yield bytes(waiting)

    def _archive(self) -> Iterator[bytes]:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed(self._path, error) from error
        try:
            yield from self._folder(fd, "", self._ignored.nothing)
        finally:
            os.close(fd)
        for name, content in self._extra.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            yield _header(info) + content + bytes(-len(content) % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _folder(self, fd: int, path: str, above: Matches) -> Iterator[bytes]:
        try:
            names = sorted(os.listdir(fd))
        except OSError as error:
            raise _failed(path or self._path, error) from error
        for name in names:
            below = f"{path}/{name}" if path else name
            matches = self._ignored.match(below, above)
            is_ignored = self._ignored.decide(matches) and below not in self._always
            try:
                found = os.lstat(name, dir_fd=fd)
            except FileNotFoundError:
                continue  # it is gone since the folder was listed
            if stat.S_ISDIR(found.st_mode):
                if not is_ignored or below in self._above or self._ignored.may_take_back(below):
                    yield from self._subfolder(fd, name, below, matches, found, is_ignored)
            elif not is_ignored:
                yield from self._entry(fd, name, below, found)

    def _subfolder(
        self, parent_fd: int, name: str, path: str, matches: Matches, found: os.stat_result, is_ignored: bool
    ) -> Iterator[bytes]:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            inside = self._folder(fd, path, matches)
            first = next(inside, None) if is_ignored else b""
            if first is None:
                return  # nothing in it was taken back
            yield _header(_info(path, found, fd, ".")) + first
            yield from inside
        finally:
            os.close(fd)

    def _entry(self, folder_fd: int, name: str, path: str, found: os.stat_result) -> Iterator[bytes]:
        if stat.S_IFMT(found.st_mode) not in _KINDS:
            return  # a socket can't be in an archive
        if not stat.S_ISREG(found.st_mode):
            yield _header(_info(path, found, folder_fd, name))
            return
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise ContextError(f"{path} has become something else while the context was read")
            info = _info(path, found, folder_fd, name)
            yield _header(info)
            yield from _content(fd, path, info.size)
        finally:
            os.close(fd)


def _content(fd: int, path: str, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = os.read(fd, min(left, _PIECE_BYTES))
        if not piece:
            raise ContextError(f"{path} was cut short while the context was read")
        left -= len(piece)
        yield piece
    if padding := -size % tarfile.BLOCKSIZE:
        yield bytes(padding)


def _info(path: str, found: os.stat_result, folder_fd: int, name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type = _KINDS[stat.S_IFMT(found.st_mode)]
    info.mode = stat.S_IMODE(found.st_mode)
    info.mtime = max(0, int(found.st_mtime))
    if info.type == tarfile.REGTYPE:
        info.size = found.st_size
        try:
            value = os.getxattr(f"/proc/self/fd/{folder_fd}/{name}", _CAPABILITY, follow_symlinks=False)
            info.pax_headers = {f"SCHILY.xattr.{_CAPABILITY}": value.decode("utf-8", "surrogateescape")}
        except OSError:
            info.pax_headers = {}
    elif info.type == tarfile.SYMTYPE:
        info.linkname = os.readlink(name, dir_fd=folder_fd)
    elif info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _failed(path: str, error: OSError) -> ContextError:
    return ContextError(f"can't read {path!r} of the build context: {(error.strerror or '').lower()}")
