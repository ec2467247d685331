"""A compressed or plain file as a stream of uncompressed bytes, digested on the way.

The format is told by its first bytes: gzip, bzip2, xz, zstd (where Python has it, from 3.14 on) or none. Several
members one after the other are one stream, as pigz and estargz write them; zeros may follow, anything else may not.
Output is produced in bounded pieces whatever the ratio, so a bomb costs time up to its limit and no memory.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import queue
import threading
import zlib
from typing import Any, Callable, Iterator

from engine.domain.errors import InvalidArgument, NotSupported
from engine.images.content import Readable
from engine.images.limits import Limits

PIECE_BYTES = 64 * 1024
"""What malloc(3) keeps when it is freed: larger ones would be mapped and faulted in anew, one after the other."""
_TOGETHER = 4
"""Pieces that are handed from thread to thread at once, so that these don't wake each other for each."""
_AHEAD = 8
"""How many such bundles the reading thread may be ahead of the consumer, and of the digest."""
_CLOSE_TIMEOUT_S = 2.0
_XZ_MEMORY_BYTES = 256 << 20
_ZSTD_WINDOW_LOG = 27

MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


def format_of(first: bytes) -> str:
    """The compression that a file with these first bytes has; "" where it is plain."""
    return next((name for magic, name in MAGICS if first.startswith(magic)), "")


class _Gunzip:
    """zlib's decompressor with the interface that those of bz2 and lzma share."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data


def _decoder_of(name: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What makes a decompressor, and its own error class. Raises NotSupported. Only what is needed is imported."""
    if name == "gzip":
        return _Gunzip, zlib.error
    if name == "bzip2":
        return importlib.import_module("bz2").BZ2Decompressor, OSError
    if name == "xz":
        lzma = importlib.import_module("lzma")
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES), lzma.LZMAError
    try:
        zstd = importlib.import_module(f"compression.{name}")
    except ImportError as error:
        raise NotSupported("zstd compression needs Python 3.14: compress the layer with gzip") from error
    options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError


def check_supported(name: str, layer: str) -> None:
    """Raises NotSupported, with the layer's name, where this Python can't read the compression."""
    try:
        _decoder_of(name or "gzip")
    except NotSupported as error:
        raise NotSupported(f"layer {layer!r}: {error}") from error


class _Counted:
    """Counts what was read from a file."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


def _plain(source: _Counted, first: bytes) -> Iterator[bytes]:
    while first:
        yield first
        first = source.read(PIECE_BYTES)


def _decompressed(source: _Counted, first: bytes, name: str) -> Iterator[bytes]:
    new_decoder, error_class = _decoder_of(name)
    decoder, data = new_decoder(), first
    while True:
        if not data and decoder.needs_input and not (data := source.read(PIECE_BYTES)):
            raise InvalidArgument(f"archive is truncated in the middle of its {name} data")
        try:
            piece = decoder.decompress(data, PIECE_BYTES)
        except (error_class, EOFError, ValueError) as error:
            raise InvalidArgument(f"archive is corrupt: {name}: {error}") from error
        data = b""
        if piece:
            yield piece
        if decoder.eof:
            data = _next_member(source, decoder.unused_data, name)
            if not data:
                return
            decoder = new_decoder()


def _next_member(source: _Counted, data: bytes, name: str) -> bytes:
    """What follows a member: the start of the next, or nothing but zeros."""
    magic = next(magic for magic, format_name in MAGICS if format_name == name)
    while True:
        data = data.lstrip(b"\0")
        if len(data) < len(magic):
            more = source.read(PIECE_BYTES)
            data += more
            if more:
                continue
        if data and not data.startswith(magic):
            raise InvalidArgument(f"archive is corrupt: something else follows its {name} data")
        return data


class _Channel:
    """Pieces on their way from one thread to another. queue.Queue does the same in Python, and takes longer for it."""

    def __init__(self) -> None:
        self._bundles: queue.SimpleQueue[list[bytes] | BaseException | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_AHEAD):
            self._room.put(None)

    def put(self, pieces: list[bytes]) -> None:
        """Wait for room."""
        self._room.get()
        self._bundles.put(pieces)

    def end(self, error: BaseException | None) -> None:
        """Nothing follows; ``error`` is what the taker gets to see."""
        self._bundles.put(error)

    def make_room(self) -> None:
        """For one more bundle, whoever takes it."""
        self._room.put(None)

    def taken(self) -> Iterator[bytes]:
        """The pieces in order. Raises what ``end`` was given."""
        while (bundle := self._bundles.get()) is not None:
            if isinstance(bundle, BaseException):
                raise bundle
            self._room.put(None)
            yield from bundle


class Uncompressed:
    """Iterates over the uncompressed pieces of a file. After the last one ``digest`` is theirs.

    Reading and decompressing happen in one thread and hashing in another (all three release the GIL) while the consumer
    writes files. ``close`` ends them early. Errors of the threads are raised from the iteration.
    """

    def __init__(self, file: Readable, limits: Limits) -> None:
        self._source = _Counted(file)
        self._limits = limits
        self._hash = hashlib.sha256()
        self._pieces = _Channel()
        self._unhashed = _Channel()
        self._stopped = False
        self.size_bytes = 0
        self.format = ""
        self._hashing = threading.Thread(target=self._digest, name="digest", daemon=True)
        self._hashing.start()
        self._thread = threading.Thread(target=self._run, name="decompress", daemon=True)
        self._thread.start()

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces.taken()
        self._hashing.join()

    def _digest(self) -> None:
        for piece in self._unhashed.taken():
            self._hash.update(piece)

    def _run(self) -> None:
        try:
            first = self._source.read(PIECE_BYTES)
            while first and len(first) < 6 and (more := self._source.read(PIECE_BYTES)):
                first += more  # a pipe may give less than a magic number at once
            self.format = format_of(first)
            plain = not self.format
            pieces = _plain(self._source, first) if plain else _decompressed(self._source, first, self.format)
            while bundle := list(itertools.islice(pieces, _TOGETHER)):
                if self._stopped:
                    return
                self.size_bytes += sum(map(len, bundle))
                self._limits.check_stream(self.size_bytes, self.size_bytes if plain else self._source.count)
                self._unhashed.put(bundle)
                self._pieces.put(bundle)
            self._pieces.end(None)
        except BaseException as error:  # carried over to the consumer, who raises it
            self._pieces.end(error)
        finally:
            self._unhashed.end(None)

    def close(self) -> None:
        """End the thread. One that waits for a pipe that says nothing is left behind: it ends with the worker."""
        self._stopped = True
        self._pieces.make_room()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def __enter__(self) -> Uncompressed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
