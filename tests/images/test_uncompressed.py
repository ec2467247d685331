"""What a process decompresses reaches its parent: whole, in order, and not without a word when that process ends."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import signal
import struct
import zlib

import pytest

from engine.domain.errors import EngineError, InvalidArgument
from engine.images.compression import Uncompressed
from engine.images.limits import Limits
from engine.images.ring import SLOT_BYTES


@pytest.mark.parametrize("size", [0, 1, SLOT_BYTES, SLOT_BYTES + 1, 40 * SLOT_BYTES + 7])
def test_all_of_it_comes(size: int) -> None:
    data = random.Random(size).randbytes(size)
    with Uncompressed(io.BytesIO(gzip.compress(data, 1)), Limits()) as pieces:
        assert b"".join(map(bytes, pieces)) == data
        assert pieces.size_bytes == size
        assert pieces.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("size", [7, 40 * SLOT_BYTES])
def test_what_came_before_an_error_comes_first(size: int) -> None:
    data = random.Random(1).randbytes(size)
    with Uncompressed(io.BytesIO(gzip.compress(data, 1) + b"something else"), Limits()) as pieces:
        came = b""
        with pytest.raises(InvalidArgument, match="something else follows"):
            for piece in pieces:
                came += piece
        assert came == data and pieces.digest == ""


def test_an_error_of_the_file_stays_what_it_is() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 1 << 20:
                raise PermissionError(1, "Operation not permitted", b"/some/file")
            return super().read(size)

    with Uncompressed(Broken(bytes(2 << 20)), Limits()) as pieces, pytest.raises(PermissionError, match="/some/file"):
        list(pieces)


def test_a_process_that_is_killed_is_noticed() -> None:
    class Deadly(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 1 << 20:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read(size)

    with Uncompressed(Deadly(bytes(2 << 20)), Limits()) as pieces, pytest.raises(EngineError, match="was it killed"):
        list(pieces)


def test_nothing_is_left_of_one_that_is_not_read_to_its_end() -> None:
    before = os.listdir("/proc/self/fd")
    with Uncompressed(io.BytesIO(bytes(40 * SLOT_BYTES)), Limits()) as pieces:
        next(iter(pieces))
    assert len(os.listdir("/proc/self/fd")) == len(before)


def member(data: bytes, flags: int = 0, fields: bytes = b"", crc: int | None = None, size: int | None = None) -> bytes:
    """A gzip member, with all that its header may have."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    start = b"\x1f\x8b\x08" + bytes((flags,)) + bytes(6) + fields
    end = struct.pack("<II", zlib.crc32(data) if crc is None else crc, len(data) if size is None else size)
    return start + packer.compress(data) + packer.flush() + end


def uncompressed(blob: bytes, step: int, *, is_known: bool = True) -> bytes:
    """By way of reads that give ``step`` bytes each."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(step)

    with Uncompressed(Slow(blob), Limits(), is_known=is_known) as pieces:
        data = b"".join(map(bytes, pieces))
        assert pieces.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data


HEADERS = {
    "plain": (0, b""),
    "extra": (0x04, b"\x03\x00abc"),
    "name": (0x08, b"a name\0"),
    "comment": (0x10, b"a comment\0"),
    "crc": (0x02, b"xx"),
    "all": (0x1E, b"\x00\x00name\0\0xx"),
}


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("kind", HEADERS)
def test_members_of_what_is_compared_anyway(kind: str, step: int) -> None:
    data = random.Random(5).randbytes(3000)
    flags, fields = HEADERS[kind]
    blob = member(data, flags, fields) + member(b"", flags, fields) + member(data[::-1], flags, fields) + bytes(9)
    assert uncompressed(blob, step) == data + data[::-1]


@pytest.mark.parametrize("step", [1, 1 << 16])
@pytest.mark.parametrize(
    "blob", [member(b"abc", 0x08, b"name\0")[:cut] for cut in (5, 12, 16, -9, -8, -1)] + [member(b"abc")[:-3]]
)
def test_a_member_that_is_cut_short_is_refused(blob: bytes, step: int) -> None:
    with pytest.raises(InvalidArgument, match="truncated"):
        uncompressed(blob, step)


@pytest.mark.parametrize(
    "blob",
    [member(b"abc", 0x20), member(b"abc", size=4), member(b"abc") + b"more", b"\x1f\x8b\x08\x08" + b"a" * (2 << 20)],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_member_that_is_wrong_is_refused(blob: bytes, is_known: bool) -> None:
    with pytest.raises(InvalidArgument, match="corrupt|truncated"):
        uncompressed(blob, 1 << 16, is_known=is_known)


def test_the_checksum_counts_where_no_digest_does() -> None:
    blob = member(b"abc", crc=1)
    assert uncompressed(blob, 1 << 16) == b"abc"
    with pytest.raises(InvalidArgument, match="corrupt"):
        uncompressed(blob, 1 << 16, is_known=False)
