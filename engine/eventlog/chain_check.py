"""Verification of the log itself: the database file, the guards, each row's place in the chain, the documents."""

from __future__ import annotations

import hashlib
import sqlite3
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer

from engine.eventlog import chain, statements
from engine.eventlog.codec import canonical, parsed
from engine.eventlog.findings import Findings
from engine.eventlog.records import Head
from engine.eventlog.tables import TRIGGERS, events

_TYPES = tuple(int if isinstance(column.type, Integer) else str for column in events.columns)


class ChainCheck:
    """One run over one snapshot."""

    def __init__(self, connection: sqlite3.Connection, against: Head | None) -> None:
        self._connection = connection
        self._against = against
        self._findings = Findings()
        self._report = self._findings.report
        self._named: dict[tuple[str, str], int] = {}  # (digest, kind) of documents -> seq of the event that names them

    def run(self) -> Findings:
        for (said,) in self._connection.execute("PRAGMA integrity_check(10)"):
            if said != "ok":
                self._report(0, f"the database file is damaged: {said}")
        self._check_guards()
        self._check_documents(self._check_chain())
        return self._findings

    def _check_guards(self) -> None:
        found = dict(self._connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        for name, text in TRIGGERS.items():
            if name not in found:
                self._report(0, f"trigger {name!r} is missing: the log could be changed unnoticed")
            elif found[name] != text:
                self._report(0, f"trigger {name!r} has been changed")
        for name in sorted(found.keys() - TRIGGERS.keys()):
            self._report(0, f"trigger {name!r} is not this engine's")

    def _check_chain(self) -> dict[str, int]:
        """Every row. Answers with the last version of each stream."""
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
            ends, latest_us = self._check_event(row, ends, latest_us, versions)
            if published is not None and seq == published.seq and published.hash not in ends:
                self._report(seq, f"the hash is {row[13]}, but {published.hash} was published")
        if published is not None and seq < published.seq:
            self._report(seq + 1, f"the log ends at event {seq}, but {published.seq} was published: its tail is cut")
        self._findings.events, self._findings.seq, self._findings.hash = count, seq, ends[0]
        return versions

    def _check_event(
        self, row: tuple[Any, ...], ends: tuple[str, ...], latest_us: int, versions: dict[str, int]
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
        if not _is_canonical.__wrapped__(data) or not _is_canonical(actor) or not _is_canonical(documents):
            self._report(seq, "actor, data or documents are not in canonical form")
        if documents != "{}" and _is_canonical(documents):
            for digest, kind in parsed(documents).items():
                self._named.setdefault((digest, kind), seq)
        return (stored_hash, computed), max(latest_us, time_us)

    # --- documents ------------------------------------------------------------------------------------------------

    def _check_documents(self, versions: dict[str, int]) -> None:
        for digest, kind, body in self._connection.execute(statements.ALL_DOCUMENTS):
            seq = self._named.pop((digest, kind), None)
            if seq is None:
                self._report(0, f"document {digest} ({kind}) is named by no event: inserted or changed")
            elif body is None:
                self._findings.redacted.append(digest)
                if f"document/{digest}" not in versions:
                    self._report(seq, f"document {digest} ({kind}) was taken out, and no event says so")
            elif type(body) is not bytes or "sha256:" + hashlib.sha256(body).hexdigest() != digest:
                self._report(seq, f"document {digest} ({kind}) does not fit its digest: it has been changed")
        for (digest, kind), seq in self._named.items():
            self._report(seq, f"document {digest} ({kind}) is missing")


@lru_cache(maxsize=64)
def _is_canonical(text: str) -> bool:
    try:
        return canonical(parsed(text)) == text
    except ValueError:
        return False
