"""Verification: is the log what was once committed, and do the projections follow from it?

Read with a connection of its own, in one snapshot, from the stored bytes up: each row's types, canonical form, place in
the chain and version; each document against its digest; the guards (triggers) against their text; each projected row
against a replay. What this can't see is a log rewritten as a whole: for that, publish the head and verify against it.

Also a program, for a log whose engine does not start: ``python -m engine.eventlog.verification PATH [SEQ:HASH]`` prints
the head and one line a problem, and exits with 1 if there are any.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from contextlib import closing
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Callable

from sqlalchemy import Integer

from engine.domain.errors import EngineError
from engine.eventlog import chain, statements
from engine.eventlog.codec import canonical
from engine.eventlog.connections import connect
from engine.eventlog.records import Head, Problem, Report
from engine.eventlog.replay import PROJECTED, Replay
from engine.eventlog.tables import TRIGGERS, events

MOST_PROBLEMS = 100
"""More are counted, not listed."""

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

_TYPES = tuple(int if isinstance(column.type, Integer) else str for column in events.columns)


def verify(path: Path, against: Head | None = None) -> Report:
    """Check everything. Raises EngineError where the database can't be read at all."""
    try:
        with closing(connect(path, "ro")) as connection:
            connection.execute("BEGIN")
            try:
                return _Verification(connection, against).run()
            except sqlite3.OperationalError as error:
                if "UTF-8" not in str(error):
                    raise
            # damaged text is to be found and named; this way of reading is slower
            connection.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
            return _Verification(connection, against).run()
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where the schema's own text is damaged
        raise EngineError(f'cannot verify the event log "{path}": {error}') from error


class _Verification:
    """One run; collects problems."""

    def __init__(self, connection: sqlite3.Connection, against: Head | None) -> None:
        self._connection = connection
        self._against = against
        self._problems: list[Problem] = []
        self._redacted: list[str] = []
        self._more = 0
        self._named: dict[tuple[str, str], int] = {}  # (digest, kind) of documents -> seq of the event that names them
        self._unfolded: set[str] = set()
        self._emitted: dict[str, set[Any]] = {table.name: set() for table in PROJECTED}

    def run(self) -> Report:
        for (said,) in self._connection.execute("PRAGMA integrity_check(10)"):
            if said != "ok":
                self._report(0, f"the database file is damaged: {said}")
        self._check_guards()
        replay = Replay(self._check_row)
        count, head = self._check_chain(replay)
        self._check_documents()
        replay.finish()
        self._check_extra_rows(head.seq)
        if self._more:
            self._problems.append(Problem(0, f"{self._more} more problems"))
        return Report(count, head, self._problems, self._redacted)

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
        for name in sorted(found.keys() - TRIGGERS.keys()):
            self._report(0, f"trigger {name!r} is not this engine's")

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
        if tuple(map(type, row)) != _TYPES:
            self._report(seq, "numbers and texts have been exchanged: the row has been changed")
            return (stored_hash, *ends), latest_us
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
            elif body is None:
                self._redacted.append(digest)
            elif type(body) is not bytes or "sha256:" + hashlib.sha256(body).hexdigest() != digest:
                self._report(seq, f"document {digest} ({kind}) does not fit its digest: it has been changed")
        for (digest, kind), seq in self._named.items():
            self._report(seq, f"document {digest} ({kind}) is missing")

    # --- projections ----------------------------------------------------------------------------------------------

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
        """Nothing may be there beyond what the replay emitted."""
        for table, emitted in self._emitted.items():
            (count,) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            if count == len(emitted):
                continue
            for row in self._connection.execute(f"SELECT * FROM {table}"):
                if (key := _KEY[table](row)) in emitted:
                    continue
                seq = _SEQ[table](row)
                cut = isinstance(seq, int) and seq > head
                what = f"is ahead of the log, whose tail after event {head} is cut" if cut else "follows from no event"
                self._report(seq, f"row {_shown(key)} of {table} {what}")


def _shown(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


@lru_cache(maxsize=64)
def _is_canonical(text: str) -> bool:
    try:
        return canonical(json.loads(text)) == text
    except ValueError:
        return False


def main(arguments: list[str]) -> int:
    """The program. Answers with its exit status: 0 sound, 1 not, 2 it could not be read."""
    path, *published = arguments
    seq, _, hash_ = published[0].partition(":") if published else ("", "", "")
    try:
        report = verify(Path(path), Head(int(seq), hash_) if published else None)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2
    for problem in report.problems:
        print(f"event {problem.seq}: {problem.what}" if problem.seq else problem.what)
    print(f"{report.events} events, head {report.head.seq}:{report.head.hash}, {len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
