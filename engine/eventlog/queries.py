"""Every statement of the log, written in SQLAlchemy.

They are compiled into the module ``statements`` by ``python -m engine.eventlog.queries``, and a test holds the two
together: so an engine that starts doesn't import SQLAlchemy, which takes longer than all else that it imports.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Select, Text, bindparam, column, delete, func, insert, literal_column, null, or_, select, union_all, update,
)  # fmt: skip
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.sql.expression import ColumnElement, Executable, TableValuedAlias

from engine.eventlog.tables import current, documents, events, history, links, names, projections

_DIALECT = sqlite.dialect(paramstyle="named")


def sql(statement: Executable) -> str:
    """The statement's text, with its constant numbers written out and its bindparams left as parameters."""
    compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
    text = str(compiled)
    for name, value in compiled.params.items():
        if value is not None:
            text = re.sub(rf":{name}\b", str(int(value)), text)
    return " ".join(text.split())


def _listed(parameter: str) -> TableValuedAlias:
    """A parameter that holds a JSON list, as a table of one column: one statement for lists of any length."""
    return func.json_each(bindparam(parameter)).table_valued(column("value", Text), name=parameter)


def _misnumbered() -> Select[Any]:
    """Events whose version does not follow that of the event before in their stream: seq, stream, version, and that one
    (0: there is none). A stream's versions lie in one index, so nothing is sorted."""
    in_order: dict[str, Any] = {"partition_by": events.c.stream, "order_by": events.c.version}
    seq, version = events.c.seq, events.c.version
    placed = select(
        seq, events.c.stream, version,
        func.lag(version, literal_column("1"), literal_column("0")).over(**in_order).label("version_before"),
        func.lag(seq, literal_column("1"), seq).over(**in_order).label("seq_before"),
    ).subquery("placed")  # fmt: skip
    return select(placed.c.seq, placed.c.stream, placed.c.version, placed.c.version_before).where(
        or_(placed.c.version != placed.c.version_before + literal_column("1"), placed.c.seq < placed.c.seq_before)
    )


# --- the log itself -----------------------------------------------------------------------------------------------

_STORED = [column for column in events.c if column.name != "latest_us"]

INSERT_EVENT = sql(insert(events))
LAST_EVENT = sql(select(events.c.seq, events.c.hash, events.c.latest_us).order_by(events.c.seq.desc()).limit(1))
LATEST_US = sql(select(events.c.latest_us).where(events.c.seq == bindparam("seq")))
STREAM_VERSION = sql(select(func.max(events.c.version)).where(events.c.stream == bindparam("stream")))
EVENTS_OF_STRETCH = sql(
    select(*_STORED, events.c.latest_us)
    .where(events.c.seq >= bindparam("first"), events.c.seq <= bindparam("last"))
    .order_by(events.c.seq)
)  # fmt: skip
EVENT_BEFORE = sql(
    select(*_STORED, events.c.latest_us)
    .where(events.c.seq < bindparam("first"))
    .order_by(events.c.seq.desc())
    .limit(1)
)  # fmt: skip
MISNUMBERED_EVENTS = sql(_misnumbered())
FOLDED_EVENTS = sql(
    select(events.c.seq, events.c.stream, events.c.version, events.c.type, events.c.schema, events.c.data)
    .order_by(events.c.seq)
)  # fmt: skip
FIRST_EVENTS = sql(
    select(events.c.stream, events.c.seq)
    .where(events.c.version == 1, events.c.stream >= bindparam("low"), events.c.stream < bindparam("high"))
)  # fmt: skip

LABELLED = sql(
    select(events.c.stream)
    .where(events.c.version == 1, func.json_extract(events.c.data, bindparam("path")) == bindparam("wanted"))
    .order_by(events.c.seq)
)  # fmt: skip
CORRELATED = sql(
    select(*_STORED)
    .where(events.c.correlation.in_(
        select(events.c.correlation)
        .where(events.c.causation >= bindparam("low"), events.c.causation < bindparam("high"))
    ))
    .order_by(events.c.seq)
)  # fmt: skip

STORE_DOCUMENT = sql(
    (stored := upsert(documents)).on_conflict_do_update(
        index_elements=["digest", "kind"], set_={"body": stored.excluded.body}, where=documents.c.body.is_(None)
    )
)
REDACT_DOCUMENT = sql(update(documents).where(documents.c.digest == bindparam("redacted")).values(body=null()))
DOCUMENT = sql(select(documents.c.body).where(documents.c.digest == bindparam("digest")).limit(1))
NAMING_EVENTS = sql(
    select(events.c.seq, events.c.documents)
    .where(events.c.documents != literal_column("'{}'"))
    .order_by(events.c.seq)
)  # fmt: skip
ALL_DOCUMENTS = sql(select(documents.c.digest, documents.c.kind, documents.c.body))


def _page(streams: int, by_type: bool) -> str:
    """A page of events after ``after`` and not beyond ``until``, in order, of certain types or of all; of no certain
    streams (0), of one (1), or of those of a list (2)."""
    source: Any = events
    if streams > 1:  # they drive the join (SQLite keeps the order of a CROSS JOIN), else the whole log is read
        wanted = _listed("streams")
        source = wanted.join(events, events.c.stream == wanted.c.value)
    page = select(*_STORED).select_from(source).limit(bindparam("limit"))
    page = page.where(events.c.seq > bindparam("after"), events.c.seq <= bindparam("until"))
    if streams == 1:
        page = page.where(events.c.stream == bindparam("stream")).order_by(events.c.version)
    else:
        page = page.order_by(events.c.seq)
    if by_type:
        page = page.where(events.c.type.in_(select(_listed("types").c.value)))
    return sql(page).replace(" JOIN ", " CROSS JOIN ")


PAGES = {(streams, by_type): _page(streams, by_type) for streams in (0, 1, 2) for by_type in (False, True)}
"""Pages of events: of no certain streams (0), of one (1) or of those of a list (2); of certain types or of all."""
LAST_OF_TYPES = sql(
    select(*_STORED)
    .where(events.c.stream == bindparam("stream"), events.c.type.in_(select(_listed("types").c.value)))
    .order_by(events.c.version.desc())
    .limit(1)
)


# --- names and links ----------------------------------------------------------------------------------------------

_THIS_NAME = (names.c.noun == bindparam("noun"), names.c.name == bindparam("name"))
_THIS_LINK = (links.c.target == bindparam("target"), links.c.noun == bindparam("noun"))

TAKE_NAME = sql(insert(names))
RELEASE_NAME = sql(update(names).where(*_THIS_NAME, names.c.valid_to.is_(None)).values(valid_to=bindparam("seq")))
NAME_HOLDER = sql(select(names.c.id).where(*_THIS_NAME, names.c.valid_to.is_(None)))
NAME_EVER = sql(select(names.c.id, names.c.valid_from).where(*_THIS_NAME))
NAME_AS_OF = sql(
    select(names.c.id, names.c.valid_to)
    .where(*_THIS_NAME, names.c.valid_from <= bindparam("moment"))
    .order_by(names.c.valid_from.desc())
    .limit(1)
)
NAMES_HELD = sql(
    select(names.c.name).where(
        names.c.noun == bindparam("noun"),
        names.c.name >= bindparam("low"),
        names.c.name < bindparam("high"),
        names.c.valid_to.is_(None),
    )
)
LINK = sql(insert(links))
UNLINK = sql(
    update(links)
    .where(*_THIS_LINK, links.c.id == bindparam("id"), links.c.valid_to.is_(None))
    .values(valid_to=bindparam("seq"))
)
LINKED = sql(select(links.c.id).where(*_THIS_LINK, links.c.valid_to.is_(None)).order_by(links.c.valid_from))
LINKED_EVER = sql(select(links.c.id).distinct().where(*_THIS_LINK))

IS_FINGERPRINT = sql(select(projections.c.fingerprint == bindparam("fingerprint")))
SET_FINGERPRINT = sql(insert(projections))


# --- each noun's projections --------------------------------------------------------------------------------------


def _as_of(noun: str, *conditions: ColumnElement[bool]) -> str:
    """States that were valid at ``moment``: those that still are, and those at the moment's nodes of the tree."""
    past, now, nodes = history[noun], current[noun], _listed("nodes")
    began = past.c.valid_from <= bindparam("moment")
    columns = (past.c.state, past.c.born.label("born"))
    still = (
        select(*columns)
        .select_from(now.join(past, past.c.valid_from == now.c.since))
        .where(began, *conditions)
    )  # fmt: skip
    ended = (
        select(*columns)
        .select_from(nodes.join(past, past.c.node == nodes.c.value))
        .where(past.c.node.is_not(None), began, past.c.valid_to > bindparam("moment"), *conditions)
    )
    return sql(union_all(still, ended).order_by("born")).replace(" JOIN ", " CROSS JOIN ")


def _of(noun: str) -> dict[str, str]:
    """The fields of ``noun_statements.NounStatements``."""
    now, past = current[noun], history[noun]
    this = now.c.id == bindparam("id")
    state = past.c.state
    existing = now.join(past, past.c.valid_from == now.c.since)
    prefixed = (past.c.id >= bindparam("low"), past.c.id < bindparam("high"))
    held = names.join(now, now.c.id == names.c.id).join(past, past.c.valid_from == now.c.since)
    stream_rows = events.join(past, past.c.valid_from == events.c.seq)
    replaced = upsert(now)

    def states(*conditions: ColumnElement[bool]) -> Select[Any]:
        return select(state).select_from(existing).where(*conditions)

    return dict(
        row=sql(select(now, state).select_from(existing).where(this)),
        set_current=sql(
            replaced.on_conflict_do_update(
                index_elements=["id"],
                set_={name: replaced.excluded[name] for name in ("version", "born", "since")},
            )
        ),
        drop_current=sql(delete(now).where(this)),
        open_history=sql(insert(past)),
        close_history=sql(
            update(past)
            .where(past.c.valid_from == bindparam("since"))
            .values(valid_to=bindparam("seq"), node=bindparam("fork"))
        ),
        all=sql(states().order_by(now.c.born)),
        all_as_of=_as_of(noun),
        state_as_of=sql(
            select(state)
            .select_from(stream_rows)
            .where(events.c.stream == bindparam("stream"), events.c.seq <= bindparam("moment"))
            .where(or_(past.c.valid_to.is_(None), past.c.valid_to > bindparam("moment")))
            .order_by(events.c.version.desc())
            .limit(1)
        ),
        by_name=sql(select(state).select_from(held).where(*_THIS_NAME, names.c.valid_to.is_(None))),
        by_prefix=sql(
            states(now.c.id >= bindparam("low"), now.c.id < bindparam("high")).order_by(now.c.id)
            .limit(bindparam("limit"))
        ),
        by_prefix_as_of=_as_of(noun, *prefixed),
    )  # fmt: skip


# --- what is compiled ---------------------------------------------------------------------------------------------

OF_A_NOUN = {name: text.replace("container_", "{noun}_") for name, text in _of("container").items()}
"""Tables of all nouns are alike but for their names."""

_FILE = Path(__file__).with_name("statements.py")

_DOCSTRING = """Every statement of the log as text.

Written by `python -m engine.eventlog.queries` from the module of that name, and not by hand.
"""


def module() -> str:
    """The text of the module ``statements``."""
    parts = [f'"""{_DOCSTRING}"""\n\nfrom __future__ import annotations\n']
    for name, value in globals().items():
        if name.isupper() and not name.startswith("_"):
            parts.append(f"{name} = {_literal(value)}")
    return "\n".join(parts) + "\n"


def _literal(value: str | dict[Any, str], indent: str = "") -> str:
    inner = indent + "    "
    if isinstance(value, dict):
        entries = (f"{inner}{_key(key)}: {_literal(text, inner)}," for key, text in value.items())
        return "\n".join(("{", *entries, indent + "}"))
    lines = textwrap.wrap(value, 100, drop_whitespace=False, break_long_words=False)
    return "\n".join(("(", *(inner + json.dumps(line) for line in lines), indent + ")"))


def _key(key: object) -> str:
    return json.dumps(key) if isinstance(key, str) else repr(key)


if __name__ == "__main__":
    _FILE.write_text(module(), encoding="utf-8")
