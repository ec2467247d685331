"""The log in the mode "non-blocking": all of it where the disk keeps up, and nobody waits where it doesn't."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from engine.runtime.buffered_log import BufferedLog
from engine.runtime.json_log import JsonLog
from engine.runtime.loop import Loop


def texts(folder: Path) -> list[str]:
    files = [folder / "log.2", folder / "log.1", folder / "log"]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [json.loads(line)["log"] for line in lines]


def opened(folder: Path, max_bytes: int, *, file_bytes: int = 0) -> BufferedLog:
    return BufferedLog(Loop(), JsonLog(str(folder / "log"), file_bytes, 3), max_bytes)


def assert_gone(log: BufferedLog) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(log.writer, 0)


def test_everything_is_written_and_in_order(tmp_path: Path) -> None:
    log = opened(tmp_path, 1_000_000, file_bytes=30_000)
    for number in range(1000):
        log.write("stdout" if number % 2 else "stderr", b"line %d\n" % number)
    log.write("stdout", b"no end")
    log.finish("stdout")
    log.close()
    assert_gone(log)
    found = texts(tmp_path)
    assert found[-1] == "no end" and len(os.listdir(tmp_path)) == 3
    assert found[:-1] == [f"line {number}\n" for number in range(1000 - len(found) + 1, 1000)]


def test_a_disk_that_is_stuck_holds_nobody_up(tmp_path: Path) -> None:
    log = opened(tmp_path, 200_000)
    os.kill(log.writer, signal.SIGSTOP)
    began, refused = time.monotonic(), 0
    for number in range(10_000):
        try:
            log.write("stdout", b"%099d\n" % number)
        except OSError as error:
            refused += 1
            assert "left out of the log" in str(error)
    assert refused == 1 and time.monotonic() - began < 5
    os.kill(log.writer, signal.SIGCONT)
    log.close()
    assert_gone(log)
    found = texts(tmp_path)
    assert 1500 < len(found) < 10_000 and found == [f"{number:099d}\n" for number in range(len(found))]


def test_a_full_disk_is_told_with_its_reason(tmp_path: Path) -> None:
    log = BufferedLog(Loop(), JsonLog("/dev/full"), 100_000)
    with pytest.raises(OSError, match="No space left"):
        for _ in range(1000):
            log.write("stdout", b"x" * 1000 + b"\n")
            time.sleep(0.001)
    log.close()
    assert_gone(log)
