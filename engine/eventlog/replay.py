"""The projections folded from the log in memory: what a rebuild writes and what a verification compares with."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Callable

from engine.domain.errors import EngineError, NameTaken
from engine.domain.nouns import NOUNS
from engine.eventlog import statements
from engine.eventlog.codec import decode_event, encode_state
from engine.eventlog.intervals import fork
from engine.eventlog.projections import FINGERPRINT, Row, project
from engine.eventlog.tables import current, history, links, names, projections

BATCH_ROWS = 1000

Emit = Callable[[str, tuple[Any, ...]], None]
"""Takes a table's name and one of its rows, whole and final."""


class Replay:
    """Tables in memory, as ``projections.Tables``. Rows that end are emitted at once, those that last by ``finish``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._rows: dict[str, dict[str, Row]] = {noun: {} for noun in NOUNS}
        self._names: dict[tuple[str, str], tuple[int, str]] = {}
        self._links: dict[tuple[str, str], dict[str, int]] = {}

    def fold(self, seq: int, stream: str, version: int, type_: str, schema: int, data: dict[str, Any]) -> None:
        """Project one stored event. Raises EngineError for an event that has no place there."""
        noun, _, id = stream.partition("/")
        if noun not in NOUNS:
            raise EngineError(f"no noun is named {noun!r}")
        before = self._rows[noun].get(id)
        project(self, NOUNS[noun], id, before, seq, version, decode_event(type_, schema, data))

    def open(self, noun: str, row: Row) -> None:
        self._rows[noun][row.id] = row

    def close(self, noun: str, row: Row, seq: int) -> None:
        values = (row.since, seq, fork(row.since, seq), row.born, row.id, encode_state(row.state))
        self._emit(history[noun].name, values)

    def drop(self, noun: str, id: str) -> None:
        del self._rows[noun][id]

    def take(self, noun: str, name: str, id: str, seq: int) -> None:
        if held := self._names.get((noun, name)):
            raise NameTaken(name, held[1])
        self._names[noun, name] = (seq, id)

    def release(self, noun: str, name: str, seq: int) -> None:
        began, id = self._names.pop((noun, name))
        self._emit(names.name, (noun, name, began, seq, id))

    def link(self, target: str, noun: str, id: str, seq: int) -> None:
        self._links.setdefault((target, noun), {})[id] = seq

    def unlink(self, target: str, noun: str, id: str, seq: int) -> None:
        began = self._links[target, noun].pop(id)
        self._emit(links.name, (target, noun, id, began, seq))

    def owned(self, noun: str, id: str, owned: str) -> list[Row]:
        return [self._rows[owned][belonging] for belonging in self._links.get((f"{noun}/{id}", owned), ())]

    def finish(self) -> None:
        """Emit everything that still is so at the end of the log."""
        for noun, rows in self._rows.items():
            for row in rows.values():
                self._emit(current[noun].name, (row.id, row.version, row.born, row.since))
                values = (row.since, None, None, row.born, row.id, encode_state(row.state))
                self._emit(history[noun].name, values)
        for (noun, name), (began, id) in self._names.items():
            self._emit(names.name, (noun, name, began, None, id))
        for (target, noun), linked in self._links.items():
            for id, began in linked.items():
                self._emit(links.name, (target, noun, id, began, None))


PROJECTED = (*current.values(), *history.values(), names, links)


def rebuild(connection: sqlite3.Connection) -> None:
    """Empty the projections and fold the whole log anew, in the transaction that ``connection`` is in.

    Raises EngineError with the sequence number of an event that has no place where it stands.
    """
    for table in (*PROJECTED, projections):
        connection.execute(f"DELETE FROM {table.name}")
    inserts = {
        table.name: f"INSERT INTO {table.name} VALUES ({','.join('?' * len(table.columns))})" for table in PROJECTED
    }
    waiting: dict[str, list[tuple[Any, ...]]] = {table.name: [] for table in PROJECTED}

    def emit(table: str, row: tuple[Any, ...]) -> None:
        rows = waiting[table]
        rows.append(row)
        if len(rows) >= BATCH_ROWS:
            connection.executemany(inserts[table], rows)
            rows.clear()

    replay = Replay(emit)
    for seq, stream, version, type_, schema, data in connection.execute(statements.FOLDED_EVENTS):
        try:
            replay.fold(seq, stream, version, type_, schema, json.loads(data))
        except (EngineError, ValueError) as error:
            raise EngineError(
                f"event {seq} of the log can't be folded: {error}: see `python -m engine.eventlog.verification`"
            ) from error
    replay.finish()
    for name, rows in waiting.items():
        connection.executemany(inserts[name], rows)
    connection.execute(statements.SET_FINGERPRINT, {"fingerprint": FINGERPRINT})
