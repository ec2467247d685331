"""What a container has written so far, out of its log: for a client that attaches and wants that first.

The files are opened, and how far they reach is noted, in the moment of the attachment. Everything later comes to the
client from the streams themselves, so nothing is missing and nothing comes twice. It is read as the client takes it.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Collection

CHUNK_BYTES = 65536


class Replay:
    """``paths`` are the files of a log, oldest first. ``pack(stream, data)`` makes of a line what the client gets."""

    def __init__(self, paths: Collection[str], streams: Collection[str], pack: Callable[[str, bytes], bytes]) -> None:
        self._streams = streams
        self._pack = pack
        self._files: list[tuple[int, int]] = []
        for path in paths:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            self._files.append((fd, os.fstat(fd).st_size))
        self._at = 0
        self._rest = b""

    def next(self) -> bytes:
        """The next piece of output; b"" at the end."""
        while self._files:
            fd, size = self._files[0]
            data = os.pread(fd, min(CHUNK_BYTES, size - self._at), self._at)
            self._at += len(data)
            if not data:
                os.close(fd)
                del self._files[0]
                self._at, self._rest = 0, b""
                continue
            *lines, self._rest = (self._rest + data).split(b"\n")
            if found := b"".join(map(self._output, lines)):
                return found
        return b""

    def _output(self, line: bytes) -> bytes:
        try:
            record = json.loads(line)
            stream, text = record["stream"], record["log"]
        except (ValueError, KeyError, TypeError):
            return b""  # a torn line of a crash
        if stream not in self._streams:
            return b""
        return self._pack(stream, text.encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        for fd, _ in self._files:
            os.close(fd)
        self._files.clear()
