"""Verification: is the log what was once committed, and do the projections follow from it?

Read with a connection of its own, in one snapshot, from the stored bytes up: each row's types, canonical form, place in
the chain and version; each document against its digest; the guards (triggers) against their text; each projected row
against a replay. What this can't see is a log rewritten as a whole: for that, publish the head and verify against it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.domain.errors import EngineError
from engine.eventlog import chain, statements
from engine.eventlog.codec import canonical
from engine.eventlog.readers import connect
from engine.eventlog.records import Head, Problem, Report
from engine.eventlog.replay import PROJECTED, Replay
from engine.eventlog.tables import TRIGGERS

MOST_PROBLEMS = 100
"""More are counted, not listed."""

_INTEGERS = (0, 2, 4, 5, 14)
_TEXTS = (1, 3, 6, 7, 8, 9, 10, 11, 12, 13)
_COLUMNS = (
    "seq", "stream", "version", "type", "schema", "time_us", "boot_id", "actor", "correlation", "causation", "data",
    "documents", "prev_hash", "hash", "latest_us",
)  # fmt: skip


def verify(path: Path, against: Head | None = None) -> Report:
    """Check everything. Raises EngineError where the database can't be read at all."""
    try:
        with closing(connect(path, "ro")) as connection:
            # text that is no UTF-8 is to be found and named, not to end the reading
            connection.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
            connection.execute("BEGIN")
            return _Verification(connection, against).run()
    except sqlite3.Error as error:
        raise EngineError(f'cannot verify the event log "{path}": {error}') from error


class _Verification:
    """One run; collects problems."""

    def __init__(self, connection: sqlite3.Connection, against: Head | None) -> None:
        self._connection = connection
        self._against = against
        self._problems: list[Problem] = []
        self._more = 0
        self._named: dict[tuple[str, str], int] = {}  # (digest, kind) of documents -> seq of the event that names them
        self._unfolded: set[str] = set()
        self._emitted: dict[str, set[tuple[Any, ...]]] = {table.name: set() for table in PROJECTED}
        self._lookup = {
            table.name: f"SELECT * FROM {table.name} WHERE "
            + " AND ".join(f"{column.name} = ?" for column in table.primary_key.columns)
            for table in PROJECTED
        }
        self._keys = {
            table.name: [index for index, column in enumerate(table.columns) if column.primary_key]
            for table in PROJECTED
        }
        self._begins = {
            table.name: list(table.columns.keys()).index("since" if "since" in table.columns else "valid_from")
            for table in PROJECTED
        }

    def run(self) -> Report:
        self._check_guards()
        replay = Replay(self._check_row)
        count, head = self._check_chain(replay)
        self._check_documents()
        replay.finish()
        self._check_extra_rows(head.seq)
        if self._more:
            self._problems.append(Problem(0, f"{self._more} more problems"))
        return Report(count, head, self._problems)

    def _report(self, seq: int, what: str) -> None:
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(Problem(seq, what))
        else:
            self._more += 1

    def _check_guards(self) -> None:
        found = dict(self._connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        for name, text in TRIGGERS.items():
            if name not in found:
                self._report(0, f"trigger {name!r} is missing: the log could be changed unnoticed")
            elif found[name] != text:
                self._report(0, f"trigger {name!r} has been changed")

    # --- the chain ------------------------------------------------------------------------------------------------

    def _check_chain(self, replay: Replay) -> tuple[int, Head]:
        count = 0
        seq, ends, latest_us = 0, (chain.GENESIS,), 0
        versions: dict[str, int] = {}
        published = self._against
        for row in self._connection.execute(statements.ALL_EVENTS):
            count += 1
            if row[0] != seq + 1:
                missing = f"event {seq + 1} is" if row[0] == seq + 2 else f"events {seq + 1} to {row[0] - 1} are"
                self._report(seq + 1, f"{missing} missing")
            seq = row[0]
            ends, latest_us = self._check_event(row, ends, latest_us, versions, replay)
            if published is not None and seq == published.seq and published.hash not in ends:
                self._report(seq, f"the hash is {row[13]}, but {published.hash} was published")
        if published is not None and seq < published.seq:
            self._report(seq + 1, f"the log ends at event {seq}, but {published.seq} was published: its tail is cut")
        return count, Head(seq, ends[0])

    def _check_event(
        self, row: tuple[Any, ...], ends: tuple[str, ...], latest_us: int, versions: dict[str, int], replay: Replay
    ) -> tuple[tuple[str, ...], int]:
        """One row. Answers with the hashes that the next row may continue and with the running maximum."""
        (seq, stream, version, type_, schema, time_us, boot_id, actor, correlation, causation, data, documents,
         prev_hash, stored_hash, stored_latest_us) = row  # fmt: skip
        if wrong := [_COLUMNS[i] for i in _INTEGERS if type(row[i]) is not int]:
            self._report(seq, f"{', '.join(wrong)}: not a number")
            return (stored_hash, *ends), latest_us
        if wrong := [_COLUMNS[i] for i in _TEXTS if type(row[i]) is not str]:
            self._report(seq, f"{', '.join(wrong)}: not text")
            return (str(stored_hash), *ends), latest_us
        envelope = chain.envelope(
            seq, stream, version, type_, schema, time_us, boot_id, actor, correlation, causation, data, documents
        )
        computed = chain.row_hash(prev_hash, envelope)
        if computed != stored_hash:
            self._report(seq, "the hash does not fit the row: it has been changed")
        if prev_hash not in ends:
            self._report(seq, "the row does not continue the row before: one was changed, removed, inserted or moved")
        if version != versions.get(stream, 0) + 1:
            self._report(seq, f"version {version} of {stream} follows version {versions.get(stream, 0)}")
        versions[stream] = version
        if stored_latest_us != max(latest_us, time_us):
            self._report(seq, "the running maximum of times is wrong")
        self._check_content(replay, seq, stream, version, type_, schema, actor, data, documents)
        return (stored_hash, computed), max(latest_us, time_us)

    def _check_content(
        self, replay: Replay, seq: int, stream: str, version: int, type_: str, schema: int, actor: str, data: str,
        documents: str,
    ) -> None:  # fmt: skip
        """Canonical form; the documents named; the fold."""
        try:
            parsed = json.loads(data)
            is_canonical = canonical(parsed) == data
        except ValueError:
            parsed, is_canonical = None, False
        if not is_canonical or not _is_canonical(actor) or not _is_canonical(documents):
            self._report(seq, "actor, data or documents are not in canonical form")
        if documents != "{}" and _is_canonical(documents):
            for digest, kind in json.loads(documents).items():
                self._named.setdefault((digest, kind), seq)
        if stream in self._unfolded or not isinstance(parsed, dict):
            self._unfolded.add(stream)
            return
        try:
            replay.fold(seq, stream, version, type_, schema, parsed)
        except (EngineError, KeyError, TypeError, ValueError) as error:
            self._unfolded.add(stream)
            self._report(seq, f"the event has no place in {stream}: {error}")

    # --- documents ------------------------------------------------------------------------------------------------

    def _check_documents(self) -> None:
        for digest, kind, body in self._connection.execute(statements.ALL_DOCUMENTS):
            seq = self._named.pop((digest, kind), None)
            if seq is None:
                self._report(0, f"document {digest} ({kind}) is named by no event: inserted or changed")
            elif body is not None and (
                type(body) is not bytes or "sha256:" + hashlib.sha256(body).hexdigest() != digest
            ):
                self._report(seq, f"document {digest} ({kind}) does not fit its digest: it has been changed")
        for (digest, kind), seq in self._named.items():
            self._report(seq, f"document {digest} ({kind}) is missing")

    # --- projections ----------------------------------------------------------------------------------------------

    def _check_row(self, table: str, row: tuple[Any, ...]) -> None:
        """A row that the replay emits must be there, alike."""
        key = self._key(table, row)
        self._emitted[table].add(key)
        found = self._connection.execute(self._lookup[table], key).fetchone()
        if found != row:
            what = "is missing" if found is None else "differs from what the log says"
            self._report(self._seq(table, row), f"row {_shown(key)} of {table} {what}")

    def _check_extra_rows(self, head: int) -> None:
        """Nothing may be there beyond what the replay emitted."""
        for table, emitted in self._emitted.items():
            (count,) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            if count == len(emitted):
                continue
            for row in self._connection.execute(f"SELECT * FROM {table}"):
                if (key := self._key(table, row)) in emitted:
                    continue
                seq = self._seq(table, row)
                cut = isinstance(seq, int) and seq > head
                what = f"is ahead of the log, whose tail after event {head} is cut" if cut else "follows from no event"
                self._report(seq, f"row {_shown(key)} of {table} {what}")

    def _key(self, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(row[index] for index in self._keys[table])

    def _seq(self, table: str, row: tuple[Any, ...]) -> int:
        """The event that the row is about: the one that brought the object into the state, the name or the link."""
        return row[self._begins[table]]


def _shown(key: tuple[Any, ...]) -> str:
    return " ".join(str(part) for part in key)


@lru_cache(maxsize=64)
def _is_canonical(text: str) -> bool:
    try:
        return canonical(json.loads(text)) == text
    except ValueError:
        return False
