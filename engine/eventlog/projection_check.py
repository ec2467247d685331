"""Verification of what follows from the log: each projected row against a replay of all events."""

from __future__ import annotations

import json
import sqlite3
from operator import itemgetter
from typing import Any, Callable

from sqlalchemy import Integer

from engine.domain.errors import EngineError
from engine.eventlog import statements
from engine.eventlog.findings import Findings
from engine.eventlog.replay import PROJECTED, Replay
from engine.eventlog.tables import events

_LOOKUP = {
    table.name: f"SELECT * FROM {table.name} WHERE "
    + " AND ".join(f"{column.name} = ?" for column in table.primary_key.columns)
    for table in PROJECTED
}
_KEY: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    table.name: itemgetter(*(index for index, column in enumerate(table.columns) if column.primary_key))
    for table in PROJECTED
}
_SEQ: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    table.name: itemgetter(table.columns.keys().index("since" if "since" in table.columns else "valid_from"))
    for table in PROJECTED
}
"""A projected row's key, and the event that it is about: what brought the object into that state, name or link."""


_TYPES = tuple(
    int if isinstance(events.c[name].type, Integer) else str
    for name in ("seq", "stream", "version", "type", "schema", "data")
)


class ProjectionCheck:
    """One run over one snapshot."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._findings = Findings()
        self._report = self._findings.report
        self._unfolded: set[str] = set()
        self._emitted: dict[str, set[Any]] = {table.name: set() for table in PROJECTED}

    def run(self) -> Findings:
        replay, seq = Replay(self._check_row), 0
        for row in self._connection.execute(statements.FOLDED_EVENTS):
            if tuple(map(type, row)) == _TYPES:  # else the chain doesn't hold, and its check says so
                seq = row[0]
                self._fold(replay, *row)
        replay.finish()
        self._check_extra_rows(seq)
        return self._findings

    def _fold(
        self, replay: Replay, seq: int, stream: str, version: int, type_: str, schema: int, data: str
    ) -> None:  # fmt: skip
        try:
            parsed = json.loads(data)
        except ValueError:
            parsed = None
        if stream in self._unfolded or not isinstance(parsed, dict):
            self._unfolded.add(stream)
            return
        try:
            replay.fold(seq, stream, version, type_, schema, parsed)
        except (EngineError, KeyError, TypeError, ValueError) as error:
            self._unfolded.add(stream)
            self._report(seq, f"the event has no place in {stream}: {error}")

    def _check_row(self, table: str, row: tuple[Any, ...]) -> None:
        """A row that the replay emits must be there, alike."""
        key = _KEY[table](row)
        self._emitted[table].add(key)
        values = key if isinstance(key, tuple) else (key,)
        try:
            found = self._connection.execute(_LOOKUP[table], values).fetchone()
        except UnicodeEncodeError:  # from an event with damaged text, which has been reported
            found = None
        if found != row:
            what = "is missing" if found is None else "differs from what the log says"
            self._report(_SEQ[table](row), f"row {_shown(key)} of {table} {what}")

    def _check_extra_rows(self, head: int) -> None:
        """Nothing may be there beyond what the replay emitted. Asked for by name, so that a damaged schema is seen."""
        for table in PROJECTED:
            emitted = self._emitted[table.name]
            for row in self._connection.execute(f"SELECT {', '.join(table.columns.keys())} FROM {table.name}"):
                if (key := _KEY[table.name](row)) in emitted:
                    continue
                seq = _SEQ[table.name](row)
                cut = isinstance(seq, int) and seq > head
                what = f"is ahead of the log, whose tail after event {head} is cut" if cut else "follows from no event"
                self._report(seq, f"row {_shown(key)} of {table.name} {what}")


def _shown(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
