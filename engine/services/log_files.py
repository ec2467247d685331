"""A log and what rotation has made of it: ``path`` is written, ``path.1`` was before it, ``path.2`` before that.

A reader knows its place by the file's inode, not by its name, so that no line is lost or doubled when files are renamed
under it; only what rotation has deleted before it was read is missing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Iterator

from engine.kernel.inotify import IN_CLOSE_WRITE, IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, Watch

_BLOCK_BYTES = 65536
_ATTEMPTS = 100
"""How often a rotation may come in between before the rest is left to the next call."""


def chain(path: Path) -> list[Path]:
    """The files that there are, oldest first. Raises FileNotFoundError where the log has not begun."""
    numbers = (entry.name.rpartition(".")[2] for entry in path.parent.glob(f"{path.name}.*"))
    older = sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)
    return [*(path.with_name(f"{path.name}.{number}") for number in older), path]


def size_bytes(path: Path) -> int:
    """What the log takes on disk, rotated files included."""
    return sum(file.stat().st_size for file in chain(path) if file.exists())


class Reader:
    """Reads whole lines, from a file on through all that are newer. Close it, or use it as a context manager."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._watch: Watch | None = None

    @classmethod
    def at_start(cls, path: Path) -> Reader:
        """At the first line that rotation has left. Raises FileNotFoundError."""
        for file in chain(path):
            try:
                return cls(file.open("rb"), path)
            except FileNotFoundError:
                continue  # renamed since: the next one is newer
        raise FileNotFoundError(path)

    @classmethod
    def at_end(cls, path: Path) -> Reader:
        """Behind the last whole line. Raises FileNotFoundError."""
        file = path.open("rb")
        file.seek(_end_of_lines(file))
        return cls(file, path)

    def lines(self) -> Iterator[bytes]:
        """What can be read now; what lies behind the last newline is still being written: a later call gives it."""
        while True:
            if os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)  # a rotation with one file begins it anew
            yield from self._whole_lines()
            newer = self._newer()
            if newer is None:
                return
            yield from self._whole_lines()  # the last that were written before the file was renamed
            self.close()
            self._file = newer

    def _whole_lines(self) -> Iterator[bytes]:
        while line := self._file.readline():
            if not line.endswith(b"\n"):
                self._file.seek(-len(line), os.SEEK_CUR)
                return
            yield line

    def _newer(self) -> BinaryIO | None:
        """The file that followed ours, where rotation has put ours aside."""
        for _ in range(_ATTEMPTS):
            own = os.fstat(self._file.fileno())
            if not own.st_nlink:
                return _open(chain(self._path)[0])  # a rotation has deleted it
            if own.st_ino == _inode(self._path):
                return None
            if (file := self._successor(own.st_ino)) is not None:
                return file
        return None

    def _successor(self, own: int) -> BinaryIO | None:
        """The file whose number is one less than ours; None where a rotation came in between."""
        name = next((file for file in chain(self._path) if _inode(file) == own), self._path)
        if name == self._path:
            return None
        number = int(name.name.rpartition(".")[2]) - 1
        newer = self._path.with_name(f"{self._path.name}.{number}") if number else self._path
        file = _open(newer)
        if file is None:
            return None
        # files are renamed from the oldest to the newest: if both still have their names, nothing lies between them
        if _inode(name) == own and _inode(newer) == os.fstat(file.fileno()).st_ino:
            return file
        file.close()
        return None

    def lines_backwards(self) -> Iterator[bytes]:
        """The lines before the place of the reader, newest first, through all older files."""
        own = os.fstat(self._file.fileno()).st_ino
        yield from _backwards(self._file, self._file.tell())
        for path in reversed(chain(self._path)):
            try:
                with path.open("rb") as file:
                    if os.fstat(file.fileno()).st_ino != own:
                        yield from _backwards(file, _end_of_lines(file))
            except FileNotFoundError:
                continue  # deleted by a rotation

    def wait(self, timeout_s: float) -> bool:
        """Whether the file was written to, renamed or closed within the time."""
        if self._watch is None:
            events = IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF
            self._watch = Watch(f"/proc/self/fd/{self._file.fileno()}", events)
            return True  # what came before the watch was there has not been read yet
        return self._watch.wait(timeout_s)

    def close(self) -> None:
        """Give the descriptors back."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _end_of_lines(file: BinaryIO) -> int:
    """The place behind the last newline."""
    end = os.fstat(file.fileno()).st_size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(file.fileno(), end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """The lines of the first ``end`` bytes, which a newline ends, last one first."""
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        first, *lines = (os.pread(file.fileno(), end - start, start) + rest).split(b"\n")
        if lines and not lines[-1]:
            lines.pop()  # behind the newline that ends the last line
        for line in reversed(lines):
            yield line + b"\n"
        rest, end = first + b"\n", start
    if rest.strip(b"\n"):
        yield rest
