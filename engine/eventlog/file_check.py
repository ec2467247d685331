"""Verification of what is about the database as a whole: the file, the guards, versions, and documents."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from engine.eventlog import statements
from engine.eventlog.codec import parsed
from engine.eventlog.findings import Findings
from engine.eventlog.layout import TRIGGERS


def check_file(connection: sqlite3.Connection) -> Findings:
    """One run over one snapshot."""
    findings = Findings()
    for (said,) in connection.execute("PRAGMA integrity_check(10)"):
        if said != "ok":
            findings.report(0, f"the database file is damaged: {said}")
    _check_guards(connection, findings)
    for seq, stream, version, before in connection.execute(statements.MISNUMBERED_EVENTS):
        findings.report(seq, f"version {version} of {stream} follows version {before}")
    _check_documents(connection, findings)
    return findings


def _check_guards(connection: sqlite3.Connection, findings: Findings) -> None:
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    for name, text in TRIGGERS.items():
        if name not in found:
            findings.report(0, f"trigger {name!r} is missing: the log could be changed unnoticed")
        elif found[name] != text:
            findings.report(0, f"trigger {name!r} has been changed")
    for name in sorted(found.keys() - TRIGGERS.keys()):
        findings.report(0, f"trigger {name!r} is not this engine's")


def _check_documents(connection: sqlite3.Connection, findings: Findings) -> None:
    named = _named_documents(connection)
    for digest, kind, body in connection.execute(statements.ALL_DOCUMENTS):
        seq = named.pop((digest, kind), None)
        if seq is None:
            findings.report(0, f"document {digest} ({kind}) is named by no event: inserted or changed")
        elif body is None:
            findings.redacted.append(digest)
            ((version,),) = connection.execute(statements.STREAM_VERSION, {"stream": f"document/{digest}"})
            if version is None:
                findings.report(seq, f"document {digest} ({kind}) was taken out, and no event says so")
        elif type(body) is not bytes or "sha256:" + hashlib.sha256(body).hexdigest() != digest:
            findings.report(seq, f"document {digest} ({kind}) does not fit its digest: it has been changed")
    for (digest, kind), seq in named.items():
        findings.report(seq, f"document {digest} ({kind}) is missing")


def _named_documents(connection: sqlite3.Connection) -> dict[tuple[str, Any], int]:
    """(digest, kind) of each document -> the first event that names it. What can't be read is the chain's to report."""
    named: dict[tuple[str, Any], int] = {}
    for seq, text in connection.execute(statements.NAMING_EVENTS):
        try:
            for document in parsed(text).items():
                named.setdefault(document, seq)
        except (AttributeError, TypeError, ValueError):
            continue
    return named
