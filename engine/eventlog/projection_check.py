"""Verification of what follows from the log: each projected row against a replay of the events.

The replay begins intervals in the order of their events, and each table is read in the same order beside it: no row is
looked up, and what doesn't match is a row too many or one too few.
"""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from typing import Any, Callable, Iterable

from engine.domain.errors import EngineError
from engine.domain.nouns import NOUNS
from engine.eventlog.codec import decode_state
from engine.eventlog.findings import Findings
from engine.eventlog.layout import CURRENT, HISTORY, KEYS, PROJECTED
from engine.eventlog.projections import Row
from engine.eventlog.replay import Replay, StoredRow
from engine.eventlog.stretches import Stretch

_INTERVALS = (*HISTORY.values(), "names", "links")
_KEY: dict[str, Callable[[StoredRow], Any]] = {
    table: itemgetter(*map(columns.index, KEYS[table])) for table, columns in PROJECTED.items()
}
_SEQ: dict[str, Callable[[StoredRow], Any]] = {
    table: itemgetter(columns.index("since" if "since" in columns else "valid_from"))
    for table, columns in PROJECTED.items()
}
"""A projected row's key, and the event that it is about: what brought the object into that state, name or link."""


_VERSION = "(SELECT version FROM events WHERE seq = valid_from)"


class ProjectionCheck:
    """One run over a stretch, event by event. It is the ledger of its replay."""

    def __init__(self, connection: sqlite3.Connection, stretch: Stretch, findings: Findings) -> None:
        self._connection = connection
        self._stretch = stretch
        self._report = findings.report
        self._unfolded: set[str] = set()
        self._head = 0
        self._stored = {table: _Stored(connection, table, stretch, self._extra) for table in _INTERVALS}
        self._replay = Replay(self)
        if not stretch.begins_the_log:
            self._resume()

    def _resume(self) -> None:
        """What stood before the stretch, by the tables."""
        for noun, table in HISTORY.items():
            for row in _lasting_before(self._connection, table, self._stretch, _VERSION):
                since, born, id, text, *end, version = row
                try:
                    state = decode_state(NOUNS[noun], text)
                except (KeyError, TypeError, ValueError):  # whoever checks that row says so
                    self._unfolded.add(f"{noun}/{id}")
                    continue
                self._replay.resume(noun, Row(id, version, born, since, state), (since, born, id, text, *end))
        for row in _lasting_before(self._connection, "names", self._stretch):
            self._replay.resume_name(*row[:2], row[3], row)
        for row in _lasting_before(self._connection, "links", self._stretch):
            self._replay.resume_link(*row[:3], row)

    def fold(self, seq: int, stream: str, version: int, type_: str, schema: int, data: Any) -> None:
        """One event whose row is made of numbers and texts as it should be (else the chain's check says so)."""
        self._head = seq
        if stream in self._unfolded or not isinstance(data, dict):
            self._unfolded.add(stream)
            return
        try:
            self._replay.fold(seq, stream, version, type_, schema, data)
        except (EngineError, KeyError, TypeError, ValueError) as error:
            self._unfolded.add(stream)
            self._report(seq, f"the event has no place in {stream}: {error}")

    def finish(self) -> None:
        """What there is to say at the end of the stretch."""
        for table, begun in self._replay.lasting():
            self._lasts(table, begun)
        for stored in self._stored.values():
            stored.finish()
        if self._stretch.ends_the_log:
            expected = {table: dict[Any, StoredRow]() for table in CURRENT.values()}
            for table, row in self._replay.standing():
                expected[table][_KEY[table](row)] = row
            for table, rows in expected.items():
                self._check_standing(table, rows)

    # --- the replay's ledger ---

    def began(self, table: str, seq: int, row: StoredRow) -> StoredRow | None:
        """The row must be there, alike but for its end. Answers with it as it is stored; None where all has been said
        about it."""
        stored = self._stored[table]
        found = stored.next
        if found is not None and found[:stored.width] == row:
            stored.next = next(stored.rows, None)
            return found
        found = stored.take(seq, _KEY[table](row))
        if found is not None and found[:stored.width] == row:
            return found
        self._differs(table, row, "is missing" if found is None else "differs from what the log says")
        return None

    def ended(self, table: str, begun: StoredRow | None, end: StoredRow) -> None:
        if begun is not None and begun[-len(end):] != end:
            self._differs(table, begun, "differs from what the log says")

    def _lasts(self, table: str, begun: StoredRow | None) -> None:
        """Beyond the stretch: what its end is like, if it has one, is for the next one to say, which finds it so."""
        if begun is None:
            return
        width = self._stored[table].width
        if self._stretch.ends_the_log:
            self.ended(table, begun, (None,) * (len(begun) - width))
        elif isinstance(begun[width], int | float) and begun[width] <= self._stretch.last:
            self._differs(table, begun, "differs from what the log says")

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
        cut = self._stretch.ends_the_log and isinstance(seq, int) and seq > self._head
        what = f"is ahead of the log, whose tail after event {self._head} is cut" if cut else "follows from no event"
        self._report(seq, f"row {_shown(_KEY[table](row))} of {table} {what}")


class _Stored:
    """The rows of one table of intervals, in the order of the events that they began with: ``next`` is the first that
    nobody has looked at, ``rows`` are those behind it. ``extra`` is told of those that nobody takes. ``width`` is the
    number of columns that are known when an interval begins."""

    def __init__(
        self, connection: sqlite3.Connection, table: str, stretch: Stretch, extra: Callable[[str, StoredRow], None]
    ) -> None:
        self._connection = connection
        self._table = table
        self._stretch = stretch
        self._extra = extra
        self._key = _KEY[table]
        self._seq = _SEQ[table]
        within = "typeof(valid_from) = 'integer' AND valid_from >= ? AND valid_from <= ?"
        self.width = PROJECTED[table].index("valid_to")
        self.rows = connection.execute(f"{_select(table)} WHERE {within} ORDER BY valid_from", stretch)
        self._here: dict[Any, StoredRow] = {}
        self._place = 0
        self.next: StoredRow | None = next(self.rows, None)

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
            self.next = next(self.rows, None)
        return self._here.pop(key, None)

    def _leave(self, rows: Iterable[StoredRow]) -> None:
        for row in rows:
            self._extra(self._table, row)

    def finish(self) -> None:
        """In the last stretch of those, too, whose beginning is no number any more."""
        self._leave(self._here.values())
        if self.next is not None:
            self._leave([self.next])
        self._leave(self.rows)
        if self._stretch.ends_the_log:
            self._leave(self._connection.execute(f"{_select(self._table)} WHERE typeof(valid_from) != 'integer'"))


def _select(table: str, *more: str) -> str:
    """Asked for by name, so that a damaged schema is seen."""
    return f"SELECT {', '.join((*PROJECTED[table], *more))} FROM {table}"


def _lasting_before(connection: sqlite3.Connection, table: str, stretch: Stretch, *more: str) -> list[StoredRow]:
    """The rows of a table of intervals that began before a stretch and had not ended when it began."""
    standing = "valid_from < :first AND (valid_to IS NULL OR valid_to >= :first)"
    return connection.execute(f"{_select(table, *more)} WHERE {standing}", {"first": stretch.first}).fetchall()


def _shown(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
