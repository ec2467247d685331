"""The log, its documents, and the projections of five nouns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NOUNS = ("container", "exec", "image", "layer", "volume")

TRIGGERS = (
    "CREATE TRIGGER events_no_update BEFORE UPDATE ON events "
    "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END",
    "CREATE TRIGGER events_no_delete BEFORE DELETE ON events "
    "BEGIN SELECT RAISE(ABORT, 'events are never removed'); END",
    "CREATE TRIGGER documents_no_update BEFORE UPDATE ON documents "
    "WHEN NEW.digest IS NOT OLD.digest OR NEW.kind IS NOT OLD.kind "
    "OR (NEW.body IS NOT NULL AND OLD.body IS NOT NULL) "
    "BEGIN SELECT RAISE(ABORT, 'documents are never changed'); END",
    "CREATE TRIGGER documents_no_delete BEFORE DELETE ON documents "
    "BEGIN SELECT RAISE(ABORT, 'documents are never removed'); END",
)


def upgrade() -> None:
    """Make everything."""
    _make_log()
    for noun in NOUNS:
        op.create_noun(noun)
    _make_lookups()
    for trigger in TRIGGERS:
        op.execute(trigger)


def _make_log() -> None:
    texts = ("boot_id", "actor", "correlation", "causation", "data", "documents", "prev_hash", "hash")
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("time_us", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        sa.Column("latest_us", sa.Integer, nullable=False),
        sa.UniqueConstraint("stream", "version", name="events_stream_version"),
    )
    op.create_index("events_first", "events", ["stream"], sqlite_where=sa.text("version = 1"))
    op.create_table(
        "documents",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.PrimaryKeyConstraint("digest", "kind"),
    )


def _make_lookups() -> None:
    op.create_table(
        "names",
        sa.Column("noun", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Integer, nullable=False),
        sa.Column("valid_to", sa.Integer),
        sa.Column("id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("noun", "name", "valid_from"),
        sqlite_with_rowid=False,
    )
    op.create_index("names_held", "names", ["noun", "name"], unique=True, sqlite_where=sa.text("valid_to IS NULL"))
    op.create_table(
        "links",
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("noun", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Integer, nullable=False),
        sa.Column("valid_to", sa.Integer),
        sa.PrimaryKeyConstraint("target", "noun", "id", "valid_from"),
        sqlite_with_rowid=False,
    )
    op.create_table("projections", sa.Column("fingerprint", sa.Text, primary_key=True), sqlite_with_rowid=False)
