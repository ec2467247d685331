"""The tables, as SQLAlchemy sees them: for the statements that are compiled from them, and for tests.

They are made by the migrations alone; a test compares what those leave behind with what stands here. ``layout`` is what
an engine that runs needs to know of them.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy import UniqueConstraint, text

from engine.domain.nouns import NOUNS

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("time_us", Integer, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("causation", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("documents", Text, nullable=False),  # digest -> kind of the documents that came with this event
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("latest_us", Integer, nullable=False),  # the running maximum of time_us: never falls, so it can be bisected
    UniqueConstraint("stream", "version", name="events_stream_version"),
)
Index("events_first", events.c.stream, sqlite_where=text("version = 1"))

documents = Table(
    "documents",
    metadata,
    Column("digest", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary),  # NULL: redacted
    PrimaryKeyConstraint("digest", "kind"),
)

current = {
    noun: Table(
        f"{noun}_current",
        metadata,
        Column("id", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("born", Integer, nullable=False),  # seq of the event that made the object exist
        Column("since", Integer, nullable=False),  # seq of its latest event, the key of its state in the history
        sqlite_with_rowid=False,
    )
    for noun in NOUNS
}

history = {
    noun: Table(
        f"{noun}_history",
        metadata,
        Column("valid_from", Integer, primary_key=True),  # an event changes one object, so this is unique
        Column("valid_to", Integer),  # NULL: still so
        Column("node", Integer),  # where the closed interval hangs in the interval tree, see intervals.py
        Column("born", Integer, nullable=False),
        Column("id", Text, nullable=False),
        Column("state", Text, nullable=False),
    )
    for noun in NOUNS
}
for _noun, _table in history.items():
    Index(f"{_noun}_history_node", _table.c.node, sqlite_where=text("node IS NOT NULL"))

names = Table(
    "names",
    metadata,
    Column("noun", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("valid_from", Integer, nullable=False),
    Column("valid_to", Integer),
    Column("id", Text, nullable=False),
    PrimaryKeyConstraint("noun", "name", "valid_from"),
    sqlite_with_rowid=False,
)
Index("names_held", names.c.noun, names.c.name, unique=True, sqlite_where=text("valid_to IS NULL"))

links = Table(
    "links",
    metadata,
    Column("target", Text, nullable=False),  # the stream that is referred to
    Column("noun", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("valid_from", Integer, nullable=False),
    Column("valid_to", Integer),
    PrimaryKeyConstraint("target", "noun", "id", "valid_from"),
    sqlite_with_rowid=False,
)

projections = Table("projections", metadata, Column("fingerprint", Text, primary_key=True), sqlite_with_rowid=False)
