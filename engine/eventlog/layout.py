"""What the engine knows of its tables when it runs: their names and columns, their revision, the log's triggers.

A test holds this against ``tables``, which needs SQLAlchemy.
"""

from __future__ import annotations

from typing import Mapping

from engine.domain.nouns import NOUNS

REVISION = "0007"
"""The newest migration. Revisions are counted in four digits, so that newer is greater."""

EVENT_COLUMNS: Mapping[str, type] = {
    "seq": int, "stream": str, "version": int, "type": str, "schema": int, "time_us": int, "boot_id": str,
    "actor": str, "correlation": str, "causation": str, "data": str, "documents": str, "prev_hash": str, "hash": str,
    "latest_us": int,
}  # fmt: skip

CURRENT = {noun: f"{noun}_current" for noun in NOUNS}
HISTORY = {noun: f"{noun}_history" for noun in NOUNS}

PROJECTED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(CURRENT.values(), ("id", "version", "born", "since")),
    **dict.fromkeys(HISTORY.values(), ("valid_from", "born", "id", "state", "valid_to", "node")),
    "names": ("noun", "name", "valid_from", "id", "valid_to"),
    "links": ("target", "noun", "id", "valid_from", "valid_to"),
}
"""Table -> its columns; those that the end of an interval fills come last."""

KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(CURRENT.values(), ("id",)),
    **dict.fromkeys(HISTORY.values(), ("valid_from",)),
    "names": ("noun", "name", "valid_from"),
    "links": ("target", "noun", "id", "valid_from"),
}

TRIGGERS = {
    "events_no_update": (
        "CREATE TRIGGER events_no_update BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END"
    ),
    "events_no_delete": (
        "CREATE TRIGGER events_no_delete BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are never removed'); END"
    ),
    "documents_no_update": (
        "CREATE TRIGGER documents_no_update BEFORE UPDATE ON documents "
        "WHEN NEW.digest IS NOT OLD.digest OR NEW.kind IS NOT OLD.kind "
        "OR (NEW.body IS NOT NULL AND OLD.body IS NOT NULL) "
        "BEGIN SELECT RAISE(ABORT, 'documents are never changed'); END"
    ),
    "documents_no_delete": (
        "CREATE TRIGGER documents_no_delete BEFORE DELETE ON documents "
        "BEGIN SELECT RAISE(ABORT, 'documents are never removed'); END"
    ),
}
"""Normal work only adds. A document's body alone may be redacted (set to NULL), and be stored again after that."""
