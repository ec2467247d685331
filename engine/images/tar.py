"""Reading tar from a stream: ustar, PAX, GNU, star and the seventh edition's format.

Written for layers, hostile ones included: one pass, bounded memory (a header's extension is at most 1 MiB), and
strict where readers are known to differ. Entries come with their metadata; the data of an entry is taken from the
stream, or skipped, before the next. POSIX pax(1) and the GNU tar manual, "Tar Internals".
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from typing import Iterable, Iterator

from engine.domain.errors import InvalidArgument
from engine.images import tar_sparse
from engine.images.limits import Limits
from engine.images.tar_fields import check_name, decimal, number, pax_records, pax_time_ns, shown, text

BLOCK = 512
EXTENSION_LIMIT_BYTES = 1 << 20
"""PAX records or a long name; Go's reader, and so Docker, has the same limit."""

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_REGULAR_FLAGS = frozenset((b"0", b"\0", b"7", b"S"))  # 7 is a contiguous file, S GNU's sparse one
_WITHOUT_DATA = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO))
_LINKS = frozenset((HARD_LINK, SYMLINK))
_DEVICES = frozenset((CHARACTER, BLOCK_DEVICE))
_EXTENSIONS = frozenset((b"x", b"X", b"g", b"L", b"K"))
_GLOBAL_ALLOWED = frozenset((b"comment", b"charset", b"hdrcharset", b"mtime", b"atime", b"ctime"))
_XATTR = b"SCHILY.xattr."
_HEADER = struct.Struct("100s24s12s12s8sc100s")
"""Name; mode, uid and gid; size; mtime; checksum; type; link. The rest is looked at where it matters."""
_MAGIC, _MAJOR, _MINOR = slice(257, 263), slice(329, 337), slice(337, 345)
_PREFIX_AT = 345
_ZEROS = bytes(BLOCK)
_LARGEST_ID = (1 << 32) - 2  # 2**32 - 1 means "leave it" to chown(2)


class Stream:
    """Exact reads from an iteration of pieces; ends with InvalidArgument where the pieces end too early.

    A piece may be gone when the next is asked for, and so is what ``parts`` gave of it."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._piece = memoryview(b"")
        self._at = self._length = 0

    def _more(self) -> bool:
        self._piece, self._at = memoryview(next(self._pieces, b"")), 0
        self._length = len(self._piece)
        return self._length > 0

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises InvalidArgument."""
        end = self._at + size
        if end <= self._length:
            data = bytes(self._piece[self._at : end])
            self._at = end
            return data
        return b"".join(map(bytes, self.parts(size)))

    def read_block(self) -> bytes:
        """The next 512 bytes; b"" at the end."""
        if self._at >= self._length and not self._more():
            return b""
        return self.read(BLOCK)

    def parts(self, size: int) -> Iterator[memoryview]:
        """``size`` bytes as they come, without copying. Raises InvalidArgument."""
        while size:
            if self._at >= self._length and not self._more():
                raise InvalidArgument("archive is truncated")
            part = self._piece[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            yield part

    def copy(self, size: int, fd: int) -> None:
        """``size`` bytes into a file at its position."""
        end = self._at + size
        if size and end <= self._length:  # most files lie in one piece
            written = os.write(fd, self._piece[self._at : end])
            self._at += written
            if written == size:
                return
            size -= written
        for part in self.parts(size):
            while part:
                part = part[os.write(fd, part) :]

    def skip(self, size: int) -> None:
        end = self._at + size
        if end <= self._length:
            self._at = end
            return
        for _ in self.parts(size):
            pass

    def skip_padding(self, size: int) -> None:
        """As ``skip``, but it may be missing at the end: what follows is no entry then, and Go's writer leaves it out
        where it isn't closed (as by the docker client that sends a Dockerfile from outside of the context)."""
        end = self._at + size
        if end <= self._length:
            self._at = end
            return
        while size and (self._at < self._length or self._more()):
            taken = min(size, self._length - self._at)
            self._at += taken
            size -= taken

    def drain(self) -> None:
        """Everything that is left: it belongs to the digest."""
        while self._more():
            pass


class Entry:
    """One member. ``name`` and ``link`` are bytes as stored; ``size_bytes`` is the file's, holes included;
    ``stored_bytes`` what lies in the archive; ``fragments`` the sparse map or None."""

    __slots__ = (
        "name", "kind", "mode", "uid", "gid", "size_bytes", "stored_bytes", "mtime_ns", "link", "device", "xattrs",
        "fragments",
    )  # fmt: skip

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size_bytes: int
    stored_bytes: int
    mtime_ns: int
    link: bytes
    device: int
    xattrs: dict[bytes, bytes]
    fragments: tar_sparse.Fragments | None


def entries(stream: Stream, limits: Limits) -> Iterator[Entry]:
    """The members in order. Before the next one the consumer must have taken or skipped exactly ``stored_bytes`` from
    the stream; padding is skipped here. Raises InvalidArgument, which names the entry."""
    reader = _Reader(stream)
    count = 0
    while (entry := reader.next_entry()) is not None:
        count += 1
        if count > limits.entries:
            raise InvalidArgument(f"archive has more than the limit of {limits.entries} entries")
        yield entry
        if padding := -entry.stored_bytes % BLOCK:
            stream.skip_padding(padding)


class _Reader:
    """Puts extension headers and the header that they belong to together."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._global: dict[bytes, bytes] = {}

    def next_entry(self) -> Entry | None:
        extensions: dict[bytes, bytes] = {}
        while True:
            header = self._stream.read_block()
            if not header or header == _ZEROS:
                if extensions:
                    raise InvalidArgument("archive ends behind an extended header")
                self._check_end(header)
                return None
            fields = _HEADER.unpack_from(header)
            try:
                _check_sum(header, fields[4])
                flag = fields[5]
                if flag not in _EXTENSIONS:
                    return self._entry(header, fields, extensions)
                self._take_extension(flag, number(fields[2]), extensions)
            except ValueError as error:
                name = text(fields[0])
                raise InvalidArgument(f'archive is corrupt at entry "{shown(name)}": {error}') from error

    def _check_end(self, header: bytes) -> None:
        """Two zero blocks end an archive; one, or the end of the file, is accepted as every reader does."""
        if header and self._stream.read_block().strip(b"\0"):
            raise InvalidArgument("archive is corrupt: data follows its end")

    def _take_extension(self, flag: bytes, size: int, extensions: dict[bytes, bytes]) -> None:
        if not 0 <= size <= EXTENSION_LIMIT_BYTES:
            raise ValueError(f"an extended header of {size} bytes, the limit is {EXTENSION_LIMIT_BYTES}")
        body = self._stream.read(size)
        self._stream.skip(-size % BLOCK)
        if flag == b"g":
            self._take_global(body)
            return
        flag = b"x" if flag == b"X" else flag
        if flag in extensions:
            raise ValueError("two extended headers of one kind")
        extensions[flag] = body

    def _take_global(self, body: bytes) -> None:
        """Records for all entries that follow. Readers differ about them, so only harmless ones are accepted."""
        for key, value in pax_records(body):
            if key not in _GLOBAL_ALLOWED:
                raise ValueError(f"the global PAX record {shown(key)!r} is not supported")
            self._global[key] = value

    def _entry(self, header: bytes, fields: tuple[bytes, ...], extensions: dict[bytes, bytes]) -> Entry:
        entry = Entry()
        name, access, size, mtime, _, flag, link = fields
        entry.kind = REGULAR if flag in _REGULAR_FLAGS else flag
        entry.name = _header_name(header, name)
        entry.link = text(link) if flag in _LINKS else b""
        entry.mode, entry.uid, entry.gid = _access(access)
        entry.size_bytes = number(size)
        entry.mtime_ns = _repeated(mtime) * 1_000_000_000
        entry.device = 0
        entry.xattrs = {}
        entry.fragments = None
        records: list[tuple[bytes, bytes]] = []
        if extensions or self._global:
            records = self._apply_extensions(entry, extensions)
        if flag in _DEVICES:
            entry.device = _device(header)
        self._set_sizes(entry, header, flag, records)
        if entry.kind == REGULAR and entry.name.endswith(b"/"):
            entry.kind = FOLDER  # as the seventh edition wrote folders
        if not (0 <= entry.uid <= _LARGEST_ID and 0 <= entry.gid <= _LARGEST_ID):
            raise ValueError(f"owner {entry.uid}:{entry.gid} is out of range")
        return entry

    def _apply_extensions(self, entry: Entry, extensions: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """Answers with the PAX records. A name out of the header itself ends at a NUL and is short."""
        if b"L" in extensions:
            entry.name = text(extensions[b"L"])
        if b"K" in extensions:
            entry.link = text(extensions[b"K"])
        records = pax_records(extensions[b"x"]) if b"x" in extensions else []
        _apply_pax(entry, records, self._global)
        check_name(entry.name)
        check_name(entry.link)
        return records

    def _set_sizes(
        self, entry: Entry, header: bytes, flag: bytes, records: list[tuple[bytes, bytes]]
    ) -> None:  # fmt: skip
        """Work out what is stored and what it becomes; a sparse map may lie in the data."""
        if entry.size_bytes < 0:
            raise ValueError("a negative size")
        if entry.kind in _WITHOUT_DATA:
            entry.size_bytes = 0
        entry.stored_bytes = entry.size_bytes
        if entry.kind != REGULAR or not (records or flag == b"S"):
            return
        pax = dict(records)
        if flag == b"S":
            entry.fragments, entry.size_bytes = tar_sparse.gnu_header_map(header, self._stream.read)
        elif b"GNU.sparse.major" in pax:
            if (pax[b"GNU.sparse.major"], pax.get(b"GNU.sparse.minor")) != (b"1", b"0"):
                raise ValueError("a sparse format other than 0.0, 0.1 and 1.0")
            entry.fragments, taken = tar_sparse.data_map(self._stream.read)
            entry.stored_bytes -= taken
            entry.size_bytes = tar_sparse.real_size(pax)
        elif b"GNU.sparse.map" in pax or b"GNU.sparse.numblocks" in pax:
            entry.fragments = tar_sparse.pax_map(records)
            entry.size_bytes = tar_sparse.real_size(pax)
        if entry.fragments is not None:
            tar_sparse.check(entry.fragments, entry.size_bytes, entry.stored_bytes)


def _check_sum(header: bytes, field: bytes) -> None:
    """The sum of all bytes, those of its own field counted as spaces."""
    spaces = 8 * ord(" ")
    # Adler's lower half is 1 + sum modulo 65521: most headers' sum, in a tenth of the time
    likely = ((zlib.adler32(header) & 0xFFFF) - (zlib.adler32(field) & 0xFFFF)) % 65521 + spaces
    if field == b"%06o\0 " % likely:
        return
    try:
        expected = number(field)
    except ValueError:
        expected = -1
    if expected == likely:
        return
    rest = header[:148] + header[156:]
    excess = sum(rest) + spaces - expected
    if excess and excess != 256 * sum(byte > 127 for byte in rest):  # old writers summed signed bytes
        raise ValueError("the header's checksum is wrong, or this is no tar archive")


_repeated = functools.lru_cache(maxsize=1024)(number)
"""Many entries have the same time."""


@functools.lru_cache(maxsize=256)
def _access(field: bytes) -> tuple[int, int, int]:
    """Mode, uid and gid, of which a layer has few."""
    return number(field[:8]) & 0o7777, number(field[8:16]), number(field[16:])


def _header_name(header: bytes, field: bytes) -> bytes:
    """Name with prefix. GNU's format keeps times where the others have the prefix; star's prefix is shorter."""
    name = text(field)
    if not header[_PREFIX_AT] or header[_MAGIC] != b"ustar\0":
        return name
    is_star = header[508:512] == b"tar\0"
    return text(header[_PREFIX_AT : _PREFIX_AT + (131 if is_star else 155)]) + b"/" + name


def _device(header: bytes) -> int:
    major, minor = number(header[_MAJOR]), number(header[_MINOR])
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise ValueError(f"device {major}:{minor} is out of range")
    return os.makedev(major, minor)


def _apply_pax(entry: Entry, records: list[tuple[bytes, bytes]], global_records: dict[bytes, bytes]) -> None:
    """Let records override the header. What is not known is ignored, as POSIX asks."""
    pax = {**global_records, **dict(records)}
    for key, value in pax.items():
        if key.startswith(_XATTR):
            entry.xattrs[key[len(_XATTR) :]] = value
        elif not value:
            continue  # POSIX: an empty record leaves the header's field
        elif key == b"path":
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"size":
            entry.size_bytes = decimal(value, "size")
        elif key == b"uid":
            entry.uid = decimal(value, "uid")
        elif key == b"gid":
            entry.gid = decimal(value, "gid")
        elif key == b"mtime":
            entry.mtime_ns = pax_time_ns(value)
    if b"GNU.sparse.name" in pax:
        entry.name = pax[b"GNU.sparse.name"]
