"""Writing a container's log in Docker's json-file format: {"log":"line\\n","stream":"stdout","time":"..."} a line.

A line longer than 16 KiB is written in pieces, of which only the last ends with a newline, as Docker splits it. Bytes
that are no UTF-8 become U+FFFD. Times are UTC with nanoseconds.
"""

from __future__ import annotations

import os
import time

from engine.kernel import json_text
from engine.runtime.log_compression import PACKED, Compression

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping

PIECE_BYTES = 16 * 1024


class JsonLog:
    """``max_bytes`` 0: no rotation. With it, ``path`` becomes ``path.1`` and so on, ``max_files`` in all, all but the
    first with ``.gz`` behind it where they are to be compressed. ``attributes`` go into every line."""

    def __init__(
        self, path: str, max_bytes: int = 0, max_files: int = 1, attributes: Mapping[str, str] | None = None,
        compress: bool = False,
    ) -> None:  # fmt: skip
        self.path = path
        self._max_bytes = max_bytes
        self._max_files = max(1, max_files)
        self._compression = Compression() if compress and self._max_files > 1 else None
        self._partial: dict[str, bytes] = {}
        self._attributes = f'"attrs":{json_text.dumps_sorted(attributes)},' if attributes else ""
        self._open(path, 0)

    def _open(self, path: str, flags: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o640)
        self._size = os.fstat(self._fd).st_size
        self._is_torn = False

    def write(self, stream: str, data: bytes) -> None:
        """Take in what a stream gave. What follows its last newline is kept until more comes. Raises OSError."""
        pending = self._partial.pop(stream, b"")
        lines = (pending + data).split(b"\n")
        last = lines.pop()
        stamp = _now()
        entries = []
        for line in lines:
            while len(line) >= PIECE_BYTES:
                entries.append(self._entry(line[:PIECE_BYTES], "", stream, stamp))
                line = line[PIECE_BYTES:]
            entries.append(self._entry(line, "\\n", stream, stamp))
        while len(last) >= PIECE_BYTES:
            entries.append(self._entry(last[:PIECE_BYTES], "", stream, stamp))
            last = last[PIECE_BYTES:]
        if last:
            self._partial[stream] = last
        self._append(entries)

    def paths(self) -> list[str]:
        """The files of the log, oldest first; some may not be there yet, or be compressed."""
        return [*(f"{self.path}.{number}" for number in range(self._max_files - 1, 0, -1)), self.path]

    def unfinished(self) -> list[tuple[str, bytes]]:
        """What each stream has given since its last newline, which is not in the files."""
        return list(self._partial.items())

    def finish(self, stream: str) -> None:
        """The stream has ended: write what it left unfinished. Raises OSError."""
        left = self._partial.pop(stream, b"")
        if left:
            self._append([self._entry(left, "", stream, _now())])

    def _append(self, entries: list[str]) -> None:
        text = "".join(entries).encode()
        if not self._max_bytes or self._size + len(text) <= self._max_bytes:
            self._write(text)
            return
        batch: list[bytes] = []
        size = self._size
        for entry in map(str.encode, entries):
            if size and size + len(entry) > self._max_bytes:
                self._write(b"".join(batch))
                self._rotate()
                batch, size = [], 0
            batch.append(entry)
            size += len(entry)
        self._write(b"".join(batch))

    def _write(self, text: bytes) -> None:
        if self._is_torn:  # by a disk that was full: that line must not swallow this one
            text = b"\n" + text
        while text:
            count = os.write(self._fd, text)
            self._size += count
            self._is_torn, text = count < len(text), text[count:]

    def _rotate(self) -> None:
        """The old file stays open, and where it is, until there is another one: what can't be had is tried again."""
        before, size = self._fd, self._size
        if self._max_files == 1:
            self._open(self.path, os.O_TRUNC)
        else:
            self._open(f"{self.path}.new", os.O_TRUNC)
            try:
                self._move_on()
            except OSError:
                os.close(self._fd)
                self._fd, self._size = before, size
                raise
        os.close(before)
        if self._compression is not None:
            try:
                self._compression.begin(f"{self.path}.1")
            except OSError:
                return  # without a process for it, it stays as it is and is read all the same

    def _move_on(self) -> None:
        suffixes = [""]
        if self._compression is not None:
            self._compression.wait()
            suffixes.append(PACKED)
            for suffix in suffixes:  # one that could not be compressed has another name than the next one there
                _try(os.unlink, f"{self.path}.{self._max_files - 1}{suffix}")
        for number in range(self._max_files - 1, 0, -1):
            older = self.path if number == 1 else f"{self.path}.{number - 1}"
            for suffix in suffixes:
                _try(os.rename, older + suffix, f"{self.path}.{number}{suffix}")
        os.rename(f"{self.path}.new", self.path)

    def _entry(self, line: bytes, newline: str, stream: str, stamp: str) -> str:
        quoted = json_text.quoted(line.decode("utf-8", "replace"))
        if "\u2028" in quoted or "\u2029" in quoted:  # escaped as Docker does: some readers take them for line ends
            quoted = quoted.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        return f'{{"log":{quoted[:-1]}{newline}","stream":"{stream}",{self._attributes}"time":"{stamp}"}}\n'

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Wait for what is being compressed, too: the next one that writes here must find nobody at work."""
        os.close(self._fd)
        if self._compression is not None:
            self._compression.wait()


def _try(change: Callable[..., None], *paths: str) -> None:
    """There are not that many files yet, or not of this kind."""
    try:
        change(*paths)
    except FileNotFoundError:
        return


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{nanoseconds:09d}".rstrip("0").rstrip(".") + "Z"
