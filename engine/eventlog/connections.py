"""Connections to the database: the one that writes and checkpoints, and a pool of those that only read."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import quote

from engine.domain.errors import EngineError, Unavailable

IDLE_READERS = 8
BUSY_TIMEOUT_S = 10.0


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode, ``ro`` or ``rw``, that may wander between threads (one at a time)."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False,
        timeout=BUSY_TIMEOUT_S, cached_statements=256,
    )  # fmt: skip


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes and checkpoints: SQLite up to 3.51.2 can corrupt a WAL that two of them tend."""
    connection = connect(path, "rw")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("PRAGMA journal_size_limit=16777216")
    connection.execute("PRAGMA wal_autocheckpoint=3000")  # of 4 KiB: a page that changes often is written once a time
    return connection


class Readers:
    """Read-only connections, reused. Each question is a snapshot of its own and leaves no transaction open: a reader
    that lingers would keep the WAL from being reset. What is closed beyond IDLE_READERS keeps its descriptor until the
    next one is opened (closing it would drop the locks of the others, fcntl(2)): no more than asked at one moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = connect(self._path, "ro")
            connection.execute("PRAGMA cache_size=-512")
        except sqlite3.Error as error:
            raise EngineError(f'cannot open the event log "{self._path}": {error}') from error
        return connection

    def rows(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of one question. What can't be text in the database (a lone surrogate) matches nothing. A damaged or
        unreadable database becomes an EngineError that names it."""
        connection = self._borrowed()
        try:
            found = connection.execute(statement, values).fetchall()
        except UnicodeEncodeError:
            found = []
        except sqlite3.Error as error:
            connection.close()
            raise EngineError(f'cannot read the event log "{self._path}": {error}') from error
        except BaseException:
            connection.close()
            raise
        if self._closed or len(self._idle) >= IDLE_READERS:
            connection.close()
        else:
            self._idle.append(connection)
        return found

    def check(self) -> None:
        """Whether anything may be read: raises Unavailable once closed, EngineError in a forked child."""
        if self._closed:
            raise Unavailable("the event log is closed: the engine is stopping")
        if os.getpid() != self._pid:
            raise EngineError("the event log belongs to the process that opened it: nobody may fork with it open")

    def _borrowed(self) -> sqlite3.Connection:
        self.check()
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()
