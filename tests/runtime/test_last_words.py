"""What is said of a shim whose connection has ended."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.runtime import supervisor
from engine.runtime.supervisor import LOCK_NAME, Supervisor


def test_a_shim_that_lives_and_cannot_be_reached_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FAREWELL_S", 0.0)
    unreachable = SimpleNamespace(_connect=lambda container_id, directory: None)
    lock = os.open(tmp_path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        told = Supervisor._last_words(unreachable, "web", str(tmp_path))  # type: ignore[arg-type]
    finally:
        os.close(lock)
    assert told is not None and told["type"] == "defect" and "can't be reached" in told["message"]
