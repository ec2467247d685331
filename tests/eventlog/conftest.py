"""Logs for tests, on databases of their own."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.eventlog.log import EventLog
from engine.eventlog.migrate import ensure
from support.fresh_log import place_empty_log

from lives import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty database for one test."""
    place_empty_log(tmp_path)
    return tmp_path / "docket.db"


@pytest.fixture
def open_log(path: Path) -> Iterator[Callable[..., EventLog]]:
    """Opens logs on ``path`` (again and again), and closes them at the end."""
    opened: list[EventLog] = []

    def open_again(**changes: Any) -> EventLog:
        settings = {"clock": Clock(random.Random(0)), "boot_id": "boot-1", "migrate": ensure}
        opened.append(EventLog(path, **{**settings, **changes}))
        return opened[-1]

    yield open_again
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log: Callable[..., EventLog]) -> EventLog:
    """An empty log."""
    return open_log()


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """A second, intruding connection to the log's database, in autocommit mode."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    yield connection
    connection.close()
