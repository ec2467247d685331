"""The one writer: appends that wait at the same time share one commit.

Whoever finds nobody writing becomes the leader and commits everything that waits, its own append among it; the others
find theirs settled when their turn comes. There is no thread of its own, so a lone append costs no change of thread.
Each append is a savepoint: what it violates (an expected version, a unique name, a machine's table) is told to its
caller alone. If the commit fails, nothing is applied, every caller in it gets the error, and the log stays usable.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from engine.domain.errors import EngineError, NotFound, Unavailable, VersionConflict
from engine.domain.nouns import NOUNS
from engine.eventlog import chain, statements
from engine.eventlog.codec import canonical, encode_event
from engine.eventlog.connections import BUSY_TIMEOUT_S, connect_writer
from engine.eventlog.projections import FINGERPRINT, LiveTables, project
from engine.eventlog.recent import Changes, Recent
from engine.eventlog.records import Change, Context, Document, Head, Recorded
from engine.eventlog.replay import rebuild
from engine.kernel.steps import step


SHORT_READ_S = 0.5
"""Any question but a verification's is answered within this time."""


@dataclass(slots=True)
class Append:
    """One caller's append, encoded by its own thread before its turn; later its outcome."""

    changes: Sequence[Change]
    context: Context
    documents: Mapping[str, Document]
    actor: str
    data: list[list[str]]
    redacted: str = ""
    settled: bool = False
    recorded: list[Recorded] = field(default_factory=list)
    error: Exception | None = None

    @classmethod
    def of(cls, changes: Sequence[Change], context: Context, documents: Sequence[Document]) -> Append:
        """Raises EngineError for what the log can't hold."""
        for change in changes:
            if change.noun not in NOUNS:
                raise EngineError(f"no noun is named {change.noun!r}")
        if documents and not any(change.events for change in changes):
            raise EngineError("a document enters the log only together with an event")
        try:
            data = [[encode_event(event) for event in change.events] for change in changes]
            actor = canonical(dict(context.actor))
            for text in (context.correlation, context.causation, *(change.id for change in changes)):
                text.encode()
        except (TypeError, ValueError) as error:
            raise EngineError(f"an event or its actor can't be written as text: {error}") from error
        return cls(changes, context, {document.digest: document for document in documents}, actor, data)


@dataclass(frozen=True, slots=True)
class _Tip:
    """The last row of the chain, which the next one continues."""

    seq: int
    hash: str
    latest_us: int


class Writer:
    """Owns the writing connection. ``committed`` is told, in order, of everything that has become durable."""

    def __init__(
        self, path: Path, clock: Callable[[], int], boot_id: str, committed: Callable[[list[Recorded]], None]
    ) -> None:
        self._path = path
        self._clock = clock
        self._boot_id = boot_id
        self._committed = committed
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self.recent = Recent()
        self._waiting: deque[Append] = deque()
        self._connection: sqlite3.Connection | None = None
        self._has_remains = False
        """Of a document that was taken out, in the WAL."""
        self._closed = False
        try:
            as_stored = self._usable().execute(statements.IS_FINGERPRINT, {"fingerprint": FINGERPRINT}).fetchall()
        except sqlite3.Error as error:
            raise EngineError(f'cannot open the event log "{path}": {error}') from error
        if as_stored != [(True,)]:
            self.rebuild()

    @property
    def head(self) -> Head:
        """The last event that is durable."""
        tip = self._tip
        return Head(tip.seq, tip.hash)

    def append(self, request: Append) -> list[Recorded]:
        """Durable on return. Raises what the append violates, or EngineError where the log can't be written."""
        if os.getpid() != self._pid:
            raise EngineError("the event log belongs to the process that opened it: nobody may fork with it open")
        self._waiting.append(request)
        with self._turn:
            if not request.settled:
                self._lead()
        if request.error is not None:
            raise request.error
        return request.recorded

    def rebuild(self) -> None:
        """Projections from nothing, in one transaction. Raises EngineError, and then they are as before."""
        self._alone(rebuild)

    def redact(self, request: Append, digest: str) -> Recorded:
        """An append that takes a document's body out of the database file and out of the WAL. Raises NotFound, too."""
        request.redacted = digest
        (recorded,) = self.append(request)
        with self._turn:
            self._has_remains = True
            self._wipe(SHORT_READ_S)
        return recorded

    def _wipe(self, wait_s: float) -> None:
        """Cut off the WAL, which holds what was taken out (the freed pages of the database are zeroed: secure_delete).
        While somebody reads an older state, as a verification does for minutes, that can't be: then each later commit
        tries it, without waiting. A failure costs nobody the commit: what the log says is durable already."""
        connection = self._usable()
        try:
            connection.execute(f"PRAGMA busy_timeout={int(wait_s * 1000)}")
            ((is_busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._has_remains = bool(is_busy)
            connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
        except sqlite3.Error as error:
            print(f"docket: what was redacted is still in the write-ahead log: {error}", file=sys.stderr, flush=True)
            self._drop_connection()

    def _alone(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """A transaction that is no append."""
        with self._turn:
            try:
                connection = self._usable()
                connection.execute("BEGIN IMMEDIATE")
                work(connection)
                with step("log.commit"):
                    connection.execute("COMMIT")
                self.recent.forget()
            except (sqlite3.Error, OSError) as error:
                self._undo()
                raise self._unwritable(error) from error
            except BaseException:
                self._undo()
                raise

    def close(self) -> None:
        """Waits for the commit under way; later appends are refused."""
        with self._turn:
            self._closed = True
            self._drop_connection()

    # --- the connection -------------------------------------------------------------------------------------------

    def _usable(self) -> sqlite3.Connection:
        """The connection, opened again if a failure has cost it."""
        if self._closed:
            raise Unavailable("the event log is closed: the engine is stopping")
        if self._connection is None:
            self._connection = connect_writer(self._path)
            self._read_tip(self._connection)
        return self._connection

    def _read_tip(self, connection: sqlite3.Connection) -> None:
        found = connection.execute(statements.LAST_EVENT).fetchone()
        self._tip = _Tip(*found) if found else _Tip(0, chain.GENESIS, 0)

    def _undo(self) -> None:
        """Back to what is durable, whatever went wrong. A failed commit may have ended the transaction or not, and
        after an I/O error nobody knows what the file holds: the tip is read again."""
        self.recent.forget()
        if self._connection is None:
            return
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._read_tip(self._connection)
        except sqlite3.Error:
            self._drop_connection()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unwritable(self, error: Exception) -> EngineError:
        return EngineError(f'log.commit: cannot write the event log "{self._path}": {error}: nothing was recorded')

    # --- one commit -----------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """Commit what waits. On return, or on an interruption, everything taken is settled."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            self._commit(batch)
        except (sqlite3.Error, OSError) as error:
            self._undo()
            self._fail(batch, error)
        except BaseException as error:
            self._undo()
            self._fail(batch, error)
            raise
        finally:
            for request in batch:
                request.settled = True

    def _fail(self, batch: list[Append], error: BaseException) -> None:
        for request in batch:
            if request.error is None:
                request.error = self._unwritable(error)
                request.error.__cause__ = error

    def _commit(self, batch: list[Append]) -> None:
        connection = self._usable()
        connection.execute("BEGIN IMMEDIATE")
        before = tip = self._tip
        recorded: list[Recorded] = []
        changes: Changes = {}
        for request in batch:
            if len(batch) > 1:
                connection.execute("SAVEPOINT append")
            tables = LiveTables(connection, self.recent, changes)
            try:
                tip = self._apply(connection, request, tip, tables)
            except sqlite3.DatabaseError:
                raise  # the disk or the file, not this append: the transaction may be gone already
            except Exception as error:
                request.error = error
                if len(batch) > 1:
                    connection.execute("ROLLBACK TO append")
            else:
                recorded += request.recorded
                latest = {row.seq: row for row in request.recorded}
                for key, row in tables.changes.items():
                    changes[key] = row and row._replace(latest=latest.get(row.since))
            if len(batch) > 1:
                connection.execute("RELEASE append")
        if tip is before:
            connection.execute("ROLLBACK")
            return
        with step("log.commit"):
            connection.execute("COMMIT")
        self._tip = tip
        self.recent.put(changes)
        self._committed(recorded)
        if self._has_remains:
            self._wipe(0)

    def _apply(
        self, connection: sqlite3.Connection, request: Append, tip: _Tip, tables: LiveTables
    ) -> _Tip:  # fmt: skip
        """One append: documents, events and projections. Answers with the new end of the chain."""
        named = {digest: document.kind for digest, document in request.documents.items()}
        for digest, kind in named.items():
            values = {"digest": digest, "kind": kind, "body": request.documents[digest].body}
            connection.execute(statements.STORE_DOCUMENT, values)
        if request.redacted and not connection.execute(
            statements.REDACT_DOCUMENT, {"redacted": request.redacted}
        ).rowcount:
            raise NotFound(f'no document "{request.redacted}"')
        time_us = self._clock()
        for change, texts in zip(request.changes, request.data):
            row, version = tables.standing(change.noun, change.id)
            if version != change.expected_version:
                raise VersionConflict(
                    f'{change.noun} "{change.id}" has changed meanwhile: '
                    f"it is at version {version}, not {change.expected_version}"
                )
            for event, data in zip(change.events, texts):
                version += 1
                envelope = {
                    "seq": tip.seq + 1, "stream": change.stream, "version": version, "type": event.TYPE,
                    "schema": event.SCHEMA, "time_us": time_us, "boot_id": self._boot_id, "actor": request.actor,
                    "correlation": request.context.correlation, "causation": request.context.causation, "data": data,
                    "documents": canonical(named) if named else "{}",
                }  # fmt: skip
                tip = self._insert(connection, request, envelope, tip)
                row = project(tables, NOUNS[change.noun], change.id, row, tip.seq, version, event)
                named = {}  # documents are named by the append's first event
        return tip

    def _insert(self, connection: sqlite3.Connection, request: Append, envelope: dict[str, Any], tip: _Tip) -> _Tip:
        """Chain one row to the end of the log."""
        hash_ = chain.row_hash(tip.hash, chain.envelope(**envelope))
        latest_us = max(tip.latest_us, envelope["time_us"])
        stored = {**envelope, "prev_hash": tip.hash, "hash": hash_}
        try:
            connection.execute(statements.INSERT_EVENT, {**stored, "latest_us": latest_us})
        except sqlite3.IntegrityError as error:
            if "events.version" in str(error):
                raise VersionConflict(f"{envelope['stream']} has changed meanwhile") from error
            raise EngineError(f'somebody else has written to the event log "{self._path}": {error}') from error
        request.recorded.append(Recorded(*stored.values()))
        return _Tip(tip.seq + 1, hash_, latest_us)
