"""What a container has written so far, out of its log: for a client that attaches and wants that first.

The files are opened, and how far they reach is noted, in the moment of the attachment. Everything later comes to the
client from the streams themselves, so nothing is missing and nothing comes twice. It is read as the client takes it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Collection

from engine.kernel import json_text
from engine.runtime.log_compression import PACKED

CHUNK_BYTES = 65536


class _Plain:
    """What a file holds now."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._left = os.fstat(fd).st_size

    def read(self) -> bytes:
        data = os.read(self.fd, min(CHUNK_BYTES, self._left))
        self._left -= len(data)
        return data


class _Packed:
    """What a compressed file held; one that is damaged ends there."""

    def __init__(self, fd: int) -> None:
        import zlib  # here, since few logs are compressed

        self.fd = fd
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: a gzip header and its checksum
        self._damage = zlib.error

    def read(self) -> bytes:
        data = b""
        try:
            while not data and (packed := self._stream.unconsumed_tail or os.read(self.fd, CHUNK_BYTES)):
                data = self._stream.decompress(packed, CHUNK_BYTES)
        except self._damage:
            return b""
        return data


class Replay:
    """``paths`` are the files of a log, oldest first. ``pack(stream, data)`` makes of a line what the client gets."""

    def __init__(self, paths: Collection[str], streams: Collection[str], pack: Callable[[str, bytes], bytes]) -> None:
        self._streams = streams
        self._pack = pack
        self._files: list[_Plain | _Packed] = []
        for path in paths:
            for kind, name in ((_Plain, path), (_Packed, path + PACKED)):
                try:
                    self._files.append(kind(os.open(name, os.O_RDONLY | os.O_CLOEXEC)))
                    break
                except FileNotFoundError:
                    continue
        self._rest = b""

    def next(self) -> bytes:
        """The next piece of output; b"" at the end."""
        while self._files:
            data = self._files[0].read()
            if not data:
                os.close(self._files.pop(0).fd)
                self._rest = b""
                continue
            *lines, self._rest = (self._rest + data).split(b"\n")
            if found := b"".join(map(self._output, lines)):
                return found
        return b""

    def _output(self, line: bytes) -> bytes:
        try:
            record = json_text.loads(line.decode())
            stream, text = record["stream"], record["log"]
        except (ValueError, KeyError, TypeError):
            return b""  # a torn line of a crash
        if stream not in self._streams:
            return b""
        return self._pack(stream, text.encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        for file in self._files:
            os.close(file.fd)
        self._files.clear()
