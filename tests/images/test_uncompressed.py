"""What a process decompresses reaches its parent: whole, in order, and not without a word when that process ends."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import signal

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
