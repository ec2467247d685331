"""Verification of the log itself: each row's types and form, and its place in the chain."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

from engine.eventlog import chain, statements
from engine.eventlog.codec import canonical, parsed
from engine.eventlog.findings import Findings
from engine.eventlog.layout import EVENT_COLUMNS
from engine.eventlog.records import Head
from engine.eventlog.stretches import Stretch

_TYPES = [*EVENT_COLUMNS.values()]


class ChainCheck:
    """One run over a stretch, row by row."""

    def __init__(
        self, connection: sqlite3.Connection, stretch: Stretch, findings: Findings, against: Head | None
    ) -> None:
        self._stretch = stretch
        self._findings = findings
        self._report = findings.report
        self._published = against if against and stretch.first <= against.seq <= stretch.last else None
        self._seq, self._latest_us = 0, 0
        self._ends: tuple[str, ...] = (chain.GENESIS,)
        """The hashes that the next row may continue: the one that is stored, and the one that should be."""
        if not stretch.begins_the_log:
            self._continue(connection)

    def _continue(self, connection: sqlite3.Connection) -> None:
        """The row before the stretch is the business of whoever checks it: here it counts as it is."""
        for row in connection.execute(statements.EVENT_BEFORE, {"first": self._stretch.first}):
            stored = row[13]
            self._seq, self._latest_us = row[0], row[14] if type(row[14]) is int else 0
            self._ends = (stored, chain.row_hash(row[12], chain.envelope(*row[:12]))) if _is_typed(row) else (stored,)

    def check(self, row: tuple[Any, ...]) -> Any:
        """One row. Answers with its data; None where that is no JSON."""
        (seq, _, _, _, _, time_us, _, actor, _, _, data, documents, prev_hash, stored_hash, stored_latest_us) = row
        if seq != self._seq + 1:
            self._missing(seq)
        self._seq = seq
        self._findings.events += 1
        if not _is_typed(row):
            self._report(seq, "numbers and texts have been exchanged: the row has been changed")
            self._ends = (stored_hash, *self._ends)
            return None
        computed = chain.row_hash(prev_hash, chain.envelope(*row[:12]))
        if computed != stored_hash:
            self._report(seq, "the hash does not fit the row: it has been changed")
        if prev_hash not in self._ends:
            self._report(seq, "the row does not continue the row before: one was changed, removed, inserted or moved")
        self._ends = (stored_hash, computed)
        if time_us > self._latest_us:
            self._latest_us = time_us
        if stored_latest_us != self._latest_us:
            self._report(seq, "the running maximum of times is wrong")
        if self._published is not None and seq == self._published.seq and self._published.hash not in self._ends:
            self._report(seq, f"the hash is {stored_hash}, but {self._published.hash} was published")
        try:
            value = parsed(data)
            is_canonical = canonical(value) == data
        except ValueError:
            value, is_canonical = None, False
        if not is_canonical or not _is_canonical(actor) or not _is_canonical(documents):
            self._report(seq, "actor, data or documents are not in canonical form")
        return value

    def _missing(self, seq: int) -> None:
        missing = self._seq + 1
        what = f"event {missing} is" if seq == missing + 1 else f"events {missing} to {seq - 1} are"
        self._report(missing, f"{what} missing")

    def finish(self) -> None:
        """What there is to say at the end of the stretch."""
        if not self._stretch.ends_the_log:
            return
        if self._published is not None and self._seq < self._published.seq:
            self._report(
                self._seq + 1,
                f"the log ends at event {self._seq}, but {self._published.seq} was published: its tail is cut",
            )
        self._findings.seq, self._findings.hash = self._seq, self._ends[0]


def _is_typed(row: tuple[Any, ...]) -> bool:
    return [*map(type, row)] == _TYPES


@lru_cache(maxsize=64)
def _is_canonical(text: str) -> bool:
    try:
        return canonical(parsed(text)) == text
    except ValueError:
        return False
