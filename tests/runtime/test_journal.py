"""The shim's journal and its container's log, where the disk has no room for a line."""

from __future__ import annotations

import json
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from engine.runtime.journal import FILE_NAME, Journal, read
from engine.runtime.json_log import JsonLog


@contextmanager
def room_for(path: Path, more_bytes: int) -> Iterator[None]:
    """No file of this process may become larger than this one by so much; Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_half_of_a_record_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.append({"type": "started"})
    with room_for(tmp_path / FILE_NAME, 10):
        for _ in range(2):
            with pytest.raises(OSError):
                journal.append({"type": "oom", "kills": 1}, durable=False)
    journal.append({"type": "exited", "exit_code": 7})
    assert read(str(tmp_path)) == [{"type": "started"}, {"type": "exited", "exit_code": 7}]


def test_half_of_a_line_of_the_log_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    log = JsonLog(str(path))
    log.write("stdout", b"first\n")
    for room in (10, 0):
        with room_for(path, room), pytest.raises(OSError):
            log.write("stdout", b"lost\n")
    log.write("stdout", b"last\n")
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["log"] for line in (lines[0], lines[-1])] == ["first\n", "last\n"] and len(lines) == 3
    log.close()
