"""A file that is read while it is written: its end is where the writer says so."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from engine.domain.errors import InvalidArgument
from engine.images.growing import WHOLE, Growing


@pytest.mark.parametrize("whole", [True, False])
def test_the_end(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as writer, path.open("rb", buffering=0) as reader:
        pipe_fd, end_fd = os.pipe()
        growing = Growing(reader, pipe_fd)
        writer.write(b"one")
        assert growing.read(2) == b"on" and growing.read(100) == b"e"
        threading.Timer(0.03, lambda: writer.write(b"two")).start()
        assert growing.read(100) == b"two"
        writer.write(b"three")
        if whole:
            os.write(end_fd, WHOLE)
        os.close(end_fd)
        assert growing.read(100) == b"three"
        if whole:
            assert growing.read(100) == growing.read(100) == b""
        else:
            with pytest.raises(InvalidArgument, match="does not come"):
                growing.read(100)
        os.close(pipe_fd)
