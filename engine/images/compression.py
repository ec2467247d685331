"""A compressed or plain file as a stream of uncompressed bytes, digested on the way.

The format is told by its first bytes: gzip, bzip2, xz, zstd (where Python has it, from 3.14 on) or none. Several
members one after the other are one stream, as pigz and estargz write them; zeros may follow, anything else may not.
Output is produced in bounded pieces whatever the ratio, so a bomb costs time up to its limit and no memory.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import signal
import zlib
from typing import Any, Callable, Iterator, NoReturn

from engine.domain.error_reports import from_report, to_report
from engine.domain.errors import EngineError, InvalidArgument, NotSupported
from engine.images.content import Readable
from engine.images.limits import Limits
from engine.images.ring import Ring
from engine.kernel.process import set_parent_death_signal

PIECE_BYTES = 32 * 1024
"""What zlib's wrapper makes in one block: a larger one it puts together out of several, by copying them."""
_SMALL_BYTES = 1 << 20
"""What is no larger is decompressed in less time than a process takes to begin."""
_HEADER_BYTES, _TRAILER_BYTES, _LONGEST_HEADER_BYTES = 10, 8, 1 << 20
_HEADER_CRC, _EXTRA, _NAME, _COMMENT = 0x02, 0x04, 0x08, 0x10
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


class _Inflate:
    """As ``_Gunzip``, for what is compared with a SHA-256 anyway: CRC-32, a tenth of the work, is not computed. What
    RFC 1952 asks of a decompressor is checked, and the length."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=-15)
        self._start: bytes | None = b""
        self._end = b""
        self._size_bytes = 0

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._start is not None:
            self._start += data
            size = _header_bytes(self._start)
            if size is None:
                return b""
            self._start, data = None, self._start[size:]
        if self._inflate.eof:
            self._end += data
            piece = b""
        else:
            piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
            self._size_bytes += len(piece)
            self._end = self._inflate.unused_data
        if self.eof and int.from_bytes(self._end[4:_TRAILER_BYTES], "little") != self._size_bytes & 0xFFFFFFFF:
            raise zlib.error("incorrect length check")
        return piece

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inflate.eof and len(self._end) >= _TRAILER_BYTES

    @property
    def unused_data(self) -> bytes:
        return self._end[_TRAILER_BYTES:]


def _header_bytes(data: bytes) -> int | None:
    """How long the header is that a gzip member begins with (RFC 1952, 2.3); None where the rest of it is to come."""
    if len(data) < _HEADER_BYTES:
        return None
    flags, at = data[3], _HEADER_BYTES
    if data[2] != zlib.DEFLATED or flags & 0xE0:
        raise zlib.error("unknown compression method or header flags set")
    if flags & _EXTRA:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (_NAME, _COMMENT):
        if flags & flag and at <= len(data):
            at = data.find(b"\0", at) + 1 or len(data) + 1
    if flags & _HEADER_CRC:
        at += 2
    if at > _LONGEST_HEADER_BYTES or len(data) > _LONGEST_HEADER_BYTES + PIECE_BYTES:
        raise zlib.error("a header that does not end")
    return at if at <= len(data) else None


def _decoder_of(name: str, *, is_known: bool = False) -> tuple[Callable[[], Any], type[Exception]]:
    """What makes a decompressor, and its own error class. Raises NotSupported. Only what is needed is imported.
    ``is_known``: the digest of what comes out is, and will be compared."""
    if name == "gzip":
        return _Inflate if is_known else _Gunzip, zlib.error
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
    """A file of which the beginning has been read already; counts what is read of it."""

    def __init__(self, beginning: bytes, file: Readable) -> None:
        self._beginning = io.BytesIO(beginning)
        self._file = file
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._beginning.read(size) or self._file.read(size)
        self.count += len(data)
        return data


def _plain(source: _Counted, first: bytes) -> Iterator[bytes]:
    while first:
        yield first
        first = source.read(PIECE_BYTES)


def _decompressed(source: _Counted, first: bytes, name: str, is_known: bool) -> Iterator[bytes]:
    new_decoder, error_class = _decoder_of(name, is_known=is_known)
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


class Uncompressed:
    """Iterates over the uncompressed pieces of a file, each good until the next is asked for. After the last one
    ``digest`` is theirs.

    Of a large file a process of its own reads, decompresses and digests while the consumer writes files: in one
    interpreter the two would hold each other up. ``close`` ends it early. Its errors are raised from the iteration.
    """

    def __init__(self, file: Readable, limits: Limits, *, is_known: bool = False) -> None:
        """``is_known``: the caller knows what ``digest`` must be, and compares it."""
        self.size_bytes = 0
        self.digest = ""
        self._is_known = is_known
        beginning, is_whole = _beginning(file)
        self._source = _Counted(beginning, io.BytesIO() if is_whole else file)
        self._limits = limits
        self._helper = None if is_whole else _Helper(self._source, limits, is_known)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        hashed = hashlib.sha256()
        for piece in self._helper.taken() if self._helper else self._here(hashed):
            self.size_bytes += len(piece)
            yield piece
        self.digest = self._helper.digest if self._helper else _shown(hashed)

    def _here(self, hashed: hashlib._Hash) -> Iterator[bytes]:
        return _digested(self._source, self._limits, hashed, self._is_known)

    def close(self) -> None:
        if self._helper:
            self._helper.close()

    def __enter__(self) -> Uncompressed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _beginning(file: Readable) -> tuple[bytes, bool]:
    """What comes first, and whether that is all."""
    data = bytearray()
    while len(data) < _SMALL_BYTES:
        if not (more := file.read(PIECE_BYTES)):
            return bytes(data), True
        data += more
    return bytes(data), False


def _digested(source: _Counted, limits: Limits, hashed: hashlib._Hash, is_known: bool) -> Iterator[bytes]:
    """The uncompressed pieces, as soon as they are counted and digested."""
    size_bytes = 0
    first = source.read(PIECE_BYTES)
    name = format_of(first)
    for piece in _decompressed(source, first, name, is_known) if name else _plain(source, first):
        size_bytes += len(piece)
        limits.check_stream(size_bytes, source.count if name else size_bytes)
        hashed.update(piece)
        yield piece


def _shown(hashed: hashlib._Hash) -> str:
    return "sha256:" + hashed.hexdigest()


class _Helper:
    """The process that decompresses: all of it goes into the ring, and then the digest, or what went wrong, is told."""

    def __init__(self, source: _Counted, limits: Limits, is_known: bool) -> None:
        self.digest = ""
        self._ring = Ring()
        self._end_fd, told_fd = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _help(source, limits, is_known, self._ring, told_fd, parent)
        os.close(told_fd)

    def taken(self) -> Iterator[memoryview]:
        yield from self._ring.taken(self._end_fd)
        with open(self._end_fd, "rb", closefd=False) as told:
            answer = json.loads(told.read() or "{}")
        if "error" in answer:
            raise from_report(answer["error"])
        if "digest" not in answer:
            raise EngineError("the process that decompresses ended before it was done (was it killed?)")
        self.digest = answer["digest"]

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._end_fd)
        self._ring.close()


def _help(
    source: _Counted, limits: Limits, is_known: bool, ring: Ring, told_fd: int, parent: int
) -> NoReturn:  # fmt: skip
    try:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == parent:
            hashed = hashlib.sha256()
            for piece in _digested(source, limits, hashed, is_known):
                ring.put(piece)
            ring.flush()
            os.write(told_fd, json.dumps({"digest": _shown(hashed)}).encode())
    except Exception as error:  # carried over to the consumer, which raises it
        ring.flush()
        os.write(told_fd, json.dumps({"error": to_report(error, "decompressing")}).encode())
    finally:
        os._exit(0)
