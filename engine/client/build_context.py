"""A folder as the context of a build: a tar stream of what ``.dockerignore`` leaves, made while it is sent.

What is ignored is not even opened. Links go as links, so that nothing outside of the folder is read. Everything belongs
to root in the stream; times are kept, since ``COPY`` keeps them.
"""

from __future__ import annotations

import os
import stat

from engine.client import tar_header
from engine.client.dockerignore import Ignored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Mapping

    from engine.client.dockerignore import Matches

    Walk = Iterator["bytes | Walk"]

_PIECE_BYTES = 1 << 18
_HEADERS_BYTES = 1 << 16  # small files are sent together
_CAPABILITY = "security.capability"
_KINDS = {
    stat.S_IFREG: tar_header.FILE, stat.S_IFDIR: tar_header.FOLDER, stat.S_IFLNK: tar_header.SYMLINK,
    stat.S_IFIFO: tar_header.FIFO, stat.S_IFCHR: tar_header.CHARACTERS, stat.S_IFBLK: tar_header.BLOCKS,
}  # fmt: skip


class ContextError(Exception):
    """The context can't be read."""


class ContextFolder:
    """``always`` are paths that are sent even where they are ignored, with their parents; ``extra`` are files that
    don't lie in the folder, by the name they are to have; ``beside`` are other folders that are sent along, by the
    place that they are to have. ``sent_bytes`` counts what left."""

    def __init__(
        self, path: str, ignored: Ignored, always: frozenset[str] = frozenset(),
        extra: Mapping[str, bytes] | None = None, beside: Mapping[str, ContextFolder] | None = None,
    ) -> None:  # fmt: skip
        self._path = path
        self._ignored = ignored
        self._always = always
        self._above = {name[:at] for name in always for at, char in enumerate(name) if char == "/"}
        self._extra = extra or {}
        self._beside = beside or {}
        self._place = ""
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
        yield from self._entries("")
        for place, other in self._beside.items():
            yield tar_header.header(os.fsencode(place) + b"/", tar_header.FOLDER, mode=0o755)
            yield from other._entries(f"{place}/")
        yield bytes(2 * tar_header.BLOCK)

    def _entries(self, place: str) -> Iterator[bytes]:
        """What is sent of this folder, below ``place`` of the archive."""
        self._place = place
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed(self._path, error) from error
        try:
            yield from _flattened(self._folder(fd, "", self._ignored.nothing))
        finally:
            os.close(fd)
        for name, content in self._extra.items():
            head = tar_header.header(os.fsencode(name), size=len(content), mode=0o600)
            yield head + content + tar_header.padding(len(content))

    def _folder(self, fd: int, path: str, above: Matches) -> Walk:
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
                    yield self._subfolder(fd, name, below, matches, found, is_ignored)
            elif not is_ignored:
                yield from self._entry(fd, name, below, found)

    def _subfolder(
        self, parent_fd: int, name: str, path: str, matches: Matches, found: os.stat_result, is_ignored: bool
    ) -> Walk:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            inside = self._folder(fd, path, matches)
            if is_ignored:
                inside = _flattened(inside)
                first = next(inside, None)
                if first is None:
                    return  # nothing in it was taken back
                yield _header(self._place + path, found, fd, ".") + first
            else:
                yield _header(self._place + path, found, fd, ".")
            yield inside
        finally:
            os.close(fd)

    def _entry(self, folder_fd: int, name: str, path: str, found: os.stat_result) -> Iterator[bytes]:
        if stat.S_IFMT(found.st_mode) not in _KINDS:
            return  # a socket can't be in an archive
        if not stat.S_ISREG(found.st_mode):
            yield _header(self._place + path, found, folder_fd, name)
            return
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise ContextError(f"{path} has become something else while the context was read")
            yield _header(self._place + path, found, folder_fd, name)
            yield from _content(fd, path, found.st_size)
        finally:
            os.close(fd)


def _flattened(walk: Walk) -> Iterator[bytes]:
    """The bytes of a walk and of those in it, which may lie deeper in each other than calls may."""
    walks = [walk]
    while walks:
        item = next(walks[-1], None)
        if item is None:
            walks.pop()
        elif isinstance(item, bytes):
            yield item
        else:
            walks.append(item)


def _content(fd: int, path: str, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = os.read(fd, min(left, _PIECE_BYTES))
        if not piece:
            raise ContextError(f"{path} was cut short while the context was read")
        left -= len(piece)
        yield piece
    yield tar_header.padding(size)


def _header(path: str, found: os.stat_result, folder_fd: int, name: str) -> bytes:
    kind, link, size, device, records = _KINDS[stat.S_IFMT(found.st_mode)], b"", 0, (0, 0), {}
    if kind == tar_header.FILE:
        size = found.st_size
        try:
            value = os.getxattr(f"/proc/self/fd/{folder_fd}/{name}", _CAPABILITY, follow_symlinks=False)
            records[b"SCHILY.xattr." + _CAPABILITY.encode()] = value
        except OSError:
            records = {}  # most files have none
    elif kind == tar_header.SYMLINK:
        link = os.fsencode(os.readlink(name, dir_fd=folder_fd))
    elif kind in (tar_header.CHARACTERS, tar_header.BLOCKS):
        device = os.major(found.st_rdev), os.minor(found.st_rdev)
    encoded = os.fsencode(path) + (b"/" if kind == tar_header.FOLDER else b"")
    return tar_header.header(
        encoded, kind, size=size, mode=stat.S_IMODE(found.st_mode), mtime=int(found.st_mtime), link=link, device=device,
        records=records,
    )  # fmt: skip


def _failed(path: str, error: OSError) -> ContextError:
    return ContextError(f"can't read {path!r} of the build context: {(error.strerror or '').lower()}")
