"""Verification of what follows from the log: each projected row against a replay of all events.

The replay begins intervals in the order of their events, and each table is read in the same order beside it: no row is
looked up, and what doesn't match is a row too many or one too few.
"""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from typing import Any, Callable, Iterable

from sqlalchemy import Integer

from engine.domain.errors import EngineError
from engine.eventlog import statements
from engine.eventlog.codec import parsed
from engine.eventlog.findings import Findings
from engine.eventlog.replay import COLUMNS, PROJECTED, Replay, StoredRow
from engine.eventlog.tables import current, events, history, links, names

_INTERVALS = tuple(table.name for table in (*history.values(), names, links))
_STANDING = tuple(table.name for table in current.values())
_KEY: dict[str, Callable[[StoredRow], Any]] = {
    table.name: itemgetter(*(COLUMNS[table.name].index(column.name) for column in table.primary_key))
    for table in PROJECTED
}
_SEQ: dict[str, Callable[[StoredRow], Any]] = {
    table: itemgetter(columns.index("since" if "since" in columns else "valid_from"))
    for table, columns in COLUMNS.items()
}
"""A projected row's key, and the event that it is about: what brought the object into that state, name or link."""

_TYPES = tuple(
    int if isinstance(events.c[name].type, Integer) else str
    for name in ("seq", "stream", "version", "type", "schema", "data")
)


class ProjectionCheck:
    """One run over one snapshot. It is the ledger of its replay."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._findings = Findings()
        self._report = self._findings.report
        self._unfolded: set[str] = set()
        self._head = 0
        self._stored = {table: _Stored(connection, table, self._extra) for table in _INTERVALS}
        self._standing = {table: dict[Any, StoredRow]() for table in _STANDING}

    def run(self) -> Findings:
        replay = Replay(self)
        for row in self._connection.execute(statements.FOLDED_EVENTS):
            if tuple(map(type, row)) == _TYPES:  # else the chain doesn't hold, and its check says so
                self._head = row[0]
                self._fold(replay, *row)
        replay.finish()
        for stored in self._stored.values():
            stored.finish()
        for table, expected in self._standing.items():
            self._check_standing(table, expected)
        return self._findings

    def _fold(
        self, replay: Replay, seq: int, stream: str, version: int, type_: str, schema: int, data: str
    ) -> None:  # fmt: skip
        try:
            value = parsed(data)
        except ValueError:
            value = None
        if stream in self._unfolded or not isinstance(value, dict):
            self._unfolded.add(stream)
            return
        try:
            replay.fold(seq, stream, version, type_, schema, value)
        except (EngineError, KeyError, TypeError, ValueError) as error:
            self._unfolded.add(stream)
            self._report(seq, f"the event has no place in {stream}: {error}")

    # --- the replay's ledger ---

    def began(self, table: str, seq: int, row: StoredRow) -> tuple[StoredRow, StoredRow | None]:
        """The row must be there, alike but for its end. Answers with it, and with its end as it is stored (None where
        all has been said about it)."""
        stored, width = self._stored[table], len(row)
        found = stored.next
        if found is not None and found[:width] == row:
            stored.pass_on()
            return row, found[width:]
        found = stored.take(seq, _KEY[table](row))
        if found is not None and found[:width] == row:
            return row, found[width:]
        self._differs(table, row, "is missing" if found is None else "differs from what the log says")
        return row, None

    def ended(self, table: str, begun: tuple[StoredRow, StoredRow | None], end: StoredRow) -> None:
        row, stored = begun
        if stored is not None and stored != end:
            self._differs(table, row, "differs from what the log says")

    def stands(self, table: str, row: StoredRow) -> None:
        self._standing[table][_KEY[table](row)] = row

    # --- what is said ---

    def _check_standing(self, table: str, expected: dict[Any, StoredRow]) -> None:
        for row in self._connection.execute(_select(table)):
            wanted = expected.pop(_KEY[table](row), None)
            if wanted is None:
                self._extra(table, row)
            elif wanted != row:
                self._differs(table, wanted, "differs from what the log says")
        for row in expected.values():
            self._differs(table, row, "is missing")

    def _differs(self, table: str, row: StoredRow, how: str) -> None:
        self._report(_SEQ[table](row), f"row {_shown(_KEY[table](row))} of {table} {how}")

    def _extra(self, table: str, row: StoredRow) -> None:
        """Nothing may be there beyond what the replay says."""
        seq = _SEQ[table](row)
        cut = isinstance(seq, int) and seq > self._head
        what = f"is ahead of the log, whose tail after event {self._head} is cut" if cut else "follows from no event"
        self._report(seq, f"row {_shown(_KEY[table](row))} of {table} {what}")


class _Stored:
    """The rows of one table of intervals, in the order of the events that they began with; ``next`` is the first that
    nobody has looked at. ``extra`` is told of those that nobody takes."""

    def __init__(self, connection: sqlite3.Connection, table: str, extra: Callable[[str, StoredRow], None]) -> None:
        self._connection = connection
        self._table = table
        self._extra = extra
        self._key = _KEY[table]
        self._seq = _SEQ[table]
        self._rows = connection.execute(f"{_select(table)} WHERE typeof(valid_from) = 'integer' ORDER BY valid_from")
        self._here: dict[Any, StoredRow] = {}
        self._place = 0
        self.next: StoredRow | None = None
        self.pass_on()

    def pass_on(self) -> None:
        self.next = next(self._rows, None)

    def take(self, seq: int, key: Any) -> StoredRow | None:
        """The row of that key that began with event ``seq``, wherever it is among those that did. Sequence numbers
        never fall."""
        if seq != self._place:
            self._leave(self._here.values())
            self._here, self._place = {}, seq
        while self.next is not None and (began := self._seq(self.next)) <= seq:
            if began == seq:
                self._here[self._key(self.next)] = self.next
            else:
                self._leave([self.next])
            self.pass_on()
        return self._here.pop(key, None)

    def _leave(self, rows: Iterable[StoredRow]) -> None:
        for row in rows:
            self._extra(self._table, row)

    def finish(self) -> None:
        """Of those, too, whose beginning is no number any more."""
        self._leave(self._here.values())
        if self.next is not None:
            self._leave([self.next])
        self._leave(self._rows)
        self._leave(self._connection.execute(f"{_select(self._table)} WHERE typeof(valid_from) != 'integer'"))


def _select(table: str) -> str:
    """Asked for by name, so that a damaged schema is seen."""
    return f"SELECT {', '.join(COLUMNS[table])} FROM {table}"


def _shown(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
