"""The projections folded from the log in memory: what a rebuild writes and what a verification compares with."""

from __future__ import annotations

import sqlite3
from typing import Any, Iterator, Protocol

from engine.domain.errors import EngineError, NameTaken
from engine.domain.nouns import NOUNS
from engine.eventlog import statements
from engine.eventlog.codec import StateTexts, decode_event, parsed
from engine.eventlog.intervals import fork
from engine.eventlog.layout import CURRENT, HISTORY, PROJECTED
from engine.eventlog.projections import FINGERPRINT, Row, project

BATCH_ROWS = 1000

StoredRow = tuple[Any, ...]
"""A table's row, or part of it, in the order of ``PROJECTED``."""


class Ledger(Protocol):
    """Where the rows of a replay go: whole ones, and those of intervals when they begin, without their end."""

    def began(self, table: str, seq: int, row: StoredRow) -> Any:
        """Event ``seq`` began an interval. Answers with what ``ended`` is to be given for it."""

    def ended(self, table: str, begun: Any, end: StoredRow) -> None:
        """The columns that were missing."""


class _Life:
    """What a replay keeps of an object that exists."""

    __slots__ = ("row", "begun", "texts")

    def __init__(self, noun: str, row: Row, begun: Any = None) -> None:
        self.row = row
        self.begun = begun
        self.texts = StateTexts(NOUNS[noun].state)


class Replay:
    """Tables in memory, as ``projections.Tables``, of what exists at the moment: the rest is the ledger's."""

    def __init__(self, ledger: Ledger) -> None:
        self._began, self._ended = ledger.began, ledger.ended
        self._lives: dict[str, dict[str, _Life]] = {noun: {} for noun in NOUNS}
        self._names: dict[tuple[str, str], tuple[str, Any]] = {}
        self._links: dict[tuple[str, str], dict[str, Any]] = {}

    def fold(self, seq: int, stream: str, version: int, type_: str, schema: int, data: dict[str, Any]) -> None:
        """Project one stored event. Raises EngineError for an event that has no place there."""
        noun, _, id = stream.partition("/")
        if noun not in NOUNS:
            raise EngineError(f"no noun is named {noun!r}")
        life = self._lives[noun].get(id)
        project(self, NOUNS[noun], id, life and life.row, seq, version, decode_event(type_, schema, data))

    # --- what stood before the first event, where that is not the beginning of the log ---

    def resume(self, noun: str, row: Row, begun: Any) -> None:
        self._lives[noun][row.id] = _Life(noun, row, begun)

    def resume_name(self, noun: str, name: str, id: str, begun: Any) -> None:
        self._names[noun, name] = (id, begun)

    def resume_link(self, target: str, noun: str, id: str, begun: Any) -> None:
        self._links.setdefault((target, noun), {})[id] = begun

    # --- as Tables ---

    def open(self, noun: str, row: Row) -> None:
        lives = self._lives[noun]
        if (life := lives.get(row.id)) is None:
            life = lives[row.id] = _Life(noun, row)
        life.row = row
        life.begun = self._began(HISTORY[noun], row.since, (row.since, row.born, row.id, life.texts.of(row.state)))

    def close(self, noun: str, row: Row, seq: int) -> None:
        self._ended(HISTORY[noun], self._lives[noun][row.id].begun, (seq, fork(row.since, seq)))

    def drop(self, noun: str, id: str) -> None:
        del self._lives[noun][id]

    def take(self, noun: str, name: str, id: str, seq: int) -> None:
        if held := self._names.get((noun, name)):
            raise NameTaken(name, held[0])
        self._names[noun, name] = (id, self._began("names", seq, (noun, name, seq, id)))

    def release(self, noun: str, name: str, seq: int) -> None:
        _, begun = self._names.pop((noun, name))
        self._ended("names", begun, (seq,))

    def link(self, target: str, noun: str, id: str, seq: int) -> None:
        begun = self._began("links", seq, (target, noun, id, seq))
        self._links.setdefault((target, noun), {})[id] = begun

    def unlink(self, target: str, noun: str, id: str, seq: int) -> None:
        linked = self._links[target, noun]
        self._ended("links", linked.pop(id), (seq,))
        if not linked:
            del self._links[target, noun]

    def owned(self, noun: str, id: str, owned: str) -> list[Row]:
        return [self._lives[owned][belonging].row for belonging in self._links.get((f"{noun}/{id}", owned), ())]

    # --- what is so after the last event ---

    def standing(self) -> Iterator[tuple[str, StoredRow]]:
        """The current objects: table and row."""
        for noun, lives in self._lives.items():
            for id, life in lives.items():
                yield CURRENT[noun], (id, life.row.version, life.row.born, life.row.since)

    def lasting(self) -> Iterator[tuple[str, Any]]:
        """Each interval that has not ended: its table, and what the ledger answered with when it began."""
        for noun, lives in self._lives.items():
            for life in lives.values():
                yield HISTORY[noun], life.begun
        for _, begun in self._names.values():
            yield "names", begun
        for linked in self._links.values():
            for begun in linked.values():
                yield "links", begun


class _Writing:
    """The ledger of a rebuild."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: dict[str, list[StoredRow]] = {table: [] for table in PROJECTED}

    def began(self, table: str, seq: int, row: StoredRow) -> StoredRow:
        return row

    def ended(self, table: str, begun: StoredRow, end: StoredRow) -> None:
        self.write(table, begun + end)

    def write(self, table: str, row: StoredRow) -> None:
        rows = self._waiting[table]
        rows.append(row)
        if len(rows) >= BATCH_ROWS:
            self._write(table)

    def finish(self) -> None:
        for table in self._waiting:
            self._write(table)

    def _write(self, table: str) -> None:
        self._connection.executemany(_INSERTS[table], self._waiting[table])
        self._waiting[table].clear()


_INSERTS = {
    table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for table, columns in PROJECTED.items()
}


def rebuild(connection: sqlite3.Connection) -> None:
    """Empty the projections and fold the whole log anew, in the transaction that ``connection`` is in.

    Raises EngineError with the sequence number of an event that has no place where it stands.
    """
    for table in (*PROJECTED, "projections"):
        connection.execute(f"DELETE FROM {table}")
    writing = _Writing(connection)
    replay = Replay(writing)
    for seq, stream, version, type_, schema, data in connection.execute(statements.FOLDED_EVENTS):
        try:
            replay.fold(seq, stream, version, type_, schema, parsed(data))
        except (EngineError, ValueError) as error:
            raise EngineError(
                f"event {seq} of the log can't be folded: {error}: see `python -m engine.eventlog.verification`"
            ) from error
    for table, begun in replay.lasting():
        writing.write(table, begun + (None,) * (len(PROJECTED[table]) - len(begun)))
    for table, row in replay.standing():
        writing.write(table, row)
    writing.finish()
    connection.execute(statements.SET_FINGERPRINT, {"fingerprint": FINGERPRINT})
