"""A log and what rotation has made of it: ``path`` is written, ``path.1`` was before it, ``path.2`` before that; those
with a number may be compressed, and then have ``.gz`` behind it.

A reader knows its place by the file's inode, not by its name, so that no line is lost or doubled when files are renamed
under it; a compressed file says which inode it was. Only what rotation has deleted before it was read is missing.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zlib
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import BinaryIO, Iterator, cast

from engine.kernel.inotify import IN_CLOSE_WRITE, IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, Watch
from engine.runtime.log_compression import PACKED

_BLOCK_BYTES = 65536
_HEAD_BYTES = 64
_DAMAGE = (EOFError, BadGzipFile, zlib.error)
_ATTEMPTS = 100
"""How often a rotation may come in between before the rest is left to the next call."""


def chain(path: Path) -> list[Path]:
    """The files that there are, oldest first. Raises FileNotFoundError where the log has not begun."""
    for _ in range(_ATTEMPTS):
        names = {entry.name for entry in path.parent.glob(f"{path.name}.*")}
        numbers = sorted({_number(path.with_name(name)) for name in names} - {0}, reverse=True)
        if len(numbers) == max(numbers, default=0):
            break  # else files were renamed while they were listed (or somebody has deleted one)
    plain = [f"{path.name}.{number}" for number in numbers]
    # while it is being replaced, and where a crash came then, a file is there in both forms
    return [*(path.with_name(name if name in names else name + PACKED) for name in plain), path]


def size_bytes(path: Path) -> int:
    """What the log takes on disk, rotated files included."""
    return sum(file.stat().st_size for file in chain(path) if file.exists())


def _number(path: Path) -> int:
    """What rotation has made of it; 0 for the one that is written."""
    number = path.name.removesuffix(PACKED).rpartition(".")[2]
    return int(number) if number.isdecimal() else 0


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
                return cls(_opened(file), path)
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
            if not self._packed and os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)  # a rotation with one file begins it anew
            yield from self._whole_lines()
            newer = self._newer()
            if newer is None:
                return
            yield from self._whole_lines()  # the last that were written before the file was renamed
            self.close()
            self._file = newer

    @property
    def _packed(self) -> bool:
        return isinstance(self._file, GzipFile)

    def _whole_lines(self) -> Iterator[bytes]:
        while line := self._next_line():
            if not line.endswith(b"\n"):
                if not self._packed:  # what is compressed grows no more
                    self._file.seek(-len(line), os.SEEK_CUR)
                return
            yield line

    def _next_line(self) -> bytes:
        """A compressed file that is damaged ends where the damage begins."""
        try:
            return self._file.readline()
        except _DAMAGE as error:
            if not self._packed:
                raise
            print(f"docket: {self._path}: a rotated file is damaged: {error}", file=sys.stderr, flush=True)
            return b""

    def _newer(self) -> BinaryIO | None:
        """The file that followed ours, where rotation has put ours aside."""
        for _ in range(_ATTEMPTS):
            own = os.fstat(self._file.fileno())
            if own.st_ino == _inode(self._path):
                return None
            files = chain(self._path)
            place = next((n for n, file in reversed([*enumerate(files)]) if _is(file, own.st_ino)), None)
            if place is None and not own.st_nlink:
                return _open(files[0])  # a rotation has deleted it
            if place is not None and (file := self._successor(files, place, own.st_ino)) is not None:
                return file
        return None

    @staticmethod
    def _successor(files: list[Path], place: int, own: int) -> BinaryIO | None:
        """The file behind ours, which is at that place; None where a rotation came in between."""
        if place == len(files) - 1 or _number(files[place]) - 1 != _number(files[place + 1]):
            return None  # files were renamed while they were listed
        file = _open(files[place + 1])
        if file is None:
            return None
        # files are renamed from the oldest to the newest: if both still have their names, nothing lies between them
        if _is(files[place], own) and _is(files[place + 1], os.fstat(file.fileno()).st_ino):
            return file
        file.close()
        return None

    def lines_backwards(self) -> Iterator[bytes]:
        """The lines before the place of the reader, newest first, through all older files."""
        own = os.fstat(self._file.fileno()).st_ino
        yield from _backwards(self._file, self._file.tell())
        files = chain(self._path)
        while files and not _is(files.pop(), own):
            continue  # a rotation has begun it meanwhile
        for path in reversed(files):
            try:
                with _opened(path) as file, _unpacked(file) as plain:
                    yield from _backwards(plain, _end_of_lines(plain))
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


def _opened(path: Path) -> BinaryIO:
    """Raises FileNotFoundError."""
    return cast(BinaryIO, GzipFile(path)) if path.name.endswith(PACKED) else path.open("rb")


def _open(path: Path) -> BinaryIO | None:
    try:
        return _opened(path)
    except FileNotFoundError:
        return None


@contextmanager
def _unpacked(file: BinaryIO) -> Iterator[BinaryIO]:
    """A file that can be read from its end: what is compressed is written out, as far as it is whole."""
    if not isinstance(file, GzipFile):
        yield file
        return
    with tempfile.TemporaryFile() as plain:
        try:
            shutil.copyfileobj(file, plain)
        except _DAMAGE as error:
            print(f"docket: {file.name}: a rotated file is damaged: {error}", file=sys.stderr, flush=True)
        plain.flush()
        yield plain


def _is(path: Path, inode: int) -> bool:
    """Whether a file is, or was before it was compressed, the one of that number."""
    return _inode(path) == inode or path.name.endswith(PACKED) and _inode_before(path) == inode


def _inode_before(path: Path) -> int:
    """The name in the header of a compressed file (RFC 1952); 0 where there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return 0
    name = head[10:].partition(b"\0")[0]
    return int(name) if head[3:4] == b"\x08" and name.isdigit() else 0


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
