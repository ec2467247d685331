"""The rules by which tables follow from events: the same for a live append, for a rebuild and for verification.

``project`` takes an object as it stood and one event, and tells a ``Tables`` what changes. There are two of them:
``LiveTables`` writes through the connection of the append's transaction, ``replay.Replay`` keeps everything in memory
and hands over whole rows.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import fields
from operator import attrgetter
from typing import Any, Callable, NamedTuple, Protocol

from engine.domain.errors import NameTaken
from engine.domain.machine import Event, InvalidTransition
from engine.domain.nouns import NOUNS, Noun
from engine.eventlog import statements
from engine.eventlog.codec import decode_state, encode_state
from engine.eventlog.intervals import fork
from engine.eventlog.noun_statements import of
from engine.eventlog.recent import Changes, Recent, Stored

GONE = "removed"
"""The status of what no longer exists: such an object leaves the current table, and its next event starts anew."""

OWNED = {"container": ("exec", "endpoint"), "network": ("endpoint",)}
"""Noun -> the nouns of what ceases to exist with it (and belongs to its trail)."""

RULES = 1
"""Count this up when the rules here or a machine's fold change their outcome: projections are then rebuilt at start."""

FINGERPRINT = hashlib.sha256(
    repr((RULES, [(name, [(f.name, f.type) for f in fields(noun.state)]) for name, noun in NOUNS.items()])).encode()
).hexdigest()
"""Stands for the shape of the projections; stored with them."""


class Row(NamedTuple):
    """An object that exists. ``born`` and ``since`` are the sequence numbers of its first and its latest event."""

    id: str
    version: int
    born: int
    since: int
    state: Any


class Tables(Protocol):
    """Where projections are kept."""

    def open(self, noun: str, row: Row) -> None: ...
    def close(self, noun: str, row: Row, seq: int) -> None: ...
    def drop(self, noun: str, id: str) -> None: ...
    def take(self, noun: str, name: str, id: str, seq: int) -> None: ...
    def release(self, noun: str, name: str, seq: int) -> None: ...
    def link(self, target: str, noun: str, id: str, seq: int) -> None: ...
    def unlink(self, target: str, noun: str, id: str, seq: int) -> None: ...
    def owned(self, noun: str, id: str, owned: str) -> list[Row]: ...


def names_of(noun: str, state: Any) -> tuple[str, ...]:
    """The unique names that an object holds. A volume's name is its id, which is unique already; an endpoint's are its
    addresses on its network."""
    if noun in ("container", "network"):
        return (state.name,)
    if noun == "endpoint":
        return tuple(f"{state.network_id}/{address}" for address in state.held)
    return state.references if noun == "image" else ()


_NAMED_BY: dict[str, Callable[[Any], Any]] = {
    "container": attrgetter("name"), "network": attrgetter("name"), "endpoint": attrgetter("held"),
    "image": attrgetter("references"),
}  # fmt: skip
"""What ``names_of`` makes names of, and may change: they change with it, which few events do."""


def links_of(noun: str, state: Any) -> tuple[str, ...]:
    """The streams that an object refers to."""
    if noun == "container":
        volumes = sorted({*state.volumes, *state.anonymous_volumes})
        return (
            *((f"image/{state.image_id}",) if state.image_id else ()),  # a build from scratch has none
            *(f"volume/{volume}" for volume in volumes),
            *(f"layer/{chain_id}" for chain_id in dict.fromkeys(state.chain_ids)),
        )
    if noun in ("image", "cache"):
        return tuple(f"layer/{chain_id}" for chain_id in dict.fromkeys(state.chain_ids))
    if noun == "endpoint":
        return (f"container/{state.container_id}", f"network/{state.network_id}")
    if noun == "remap":
        return (f"layer/{state.chain_id}",)
    return (f"container/{state.container_id}",) if noun == "exec" else ()


def project(
    tables: Tables, noun: Noun, id: str, before: Row | None, seq: int, version: int, event: Event
) -> Row | None:
    """Fold one event and bring the tables up to date. Raises InvalidTransition, and NameTaken by the live tables."""
    state = noun.evolve(before.state if before else None, event)
    if state.id != id:
        raise InvalidTransition(f"{event.TYPE} of {state.id!r} does not belong to stream {noun.name}/{id}")
    if before is not None:
        tables.close(noun.name, before, seq)
    if state.status == GONE:
        assert before is not None  # no machine's first event removes
        _forget(tables, noun.name, before, seq)
        return None
    after = Row(id, version, before.born if before else seq, seq, state)
    tables.open(noun.name, after)
    if before is None:
        _settle(tables, noun.name, after)
    elif (named_by := _NAMED_BY.get(noun.name)) and named_by(before.state) != named_by(state):
        _rename(tables, noun.name, before, after)
    return after


def _settle(tables: Tables, noun: str, row: Row) -> None:
    """An object began: its names, and what it refers to, which is settled by that."""
    for name in names_of(noun, row.state):
        tables.take(noun, name, row.id, row.since)
    for target in links_of(noun, row.state):
        tables.link(target, noun, row.id, row.since)


def _rename(tables: Tables, noun: str, before: Row, after: Row) -> None:
    """Names that are no longer so end here, new ones begin here."""
    had, has = names_of(noun, before.state), names_of(noun, after.state)
    for name in had:
        if name not in has:
            tables.release(noun, name, after.since)
    for name in has:
        if name not in had:
            tables.take(noun, name, after.id, after.since)


def _forget(tables: Tables, noun: str, row: Row, seq: int) -> None:
    """The object is gone, and what belonged to it."""
    tables.drop(noun, row.id)
    for name in names_of(noun, row.state):
        tables.release(noun, name, seq)
    for target in links_of(noun, row.state):
        tables.unlink(target, noun, row.id, seq)
    for owned in OWNED.get(noun, ()):
        for belonging in tables.owned(noun, row.id, owned):
            tables.close(owned, belonging, seq)
            _forget(tables, owned, belonging, seq)


class LiveTables:
    """The projections in the database, within the transaction that ``connection`` is in."""

    def __init__(self, connection: sqlite3.Connection, recent: Recent, earlier: Changes) -> None:
        """``earlier`` are the changes of the same transaction that are not among the recent ones yet."""
        self._execute = connection.execute
        self._recent = recent
        self._earlier = earlier
        self.changes: Changes = {}

    def find(self, noun: str, id: str) -> Row | None:
        """The object as it is now, if it exists."""
        key = (noun, id)
        if key in self.changes:
            found = self.changes[key]
        elif key in self._earlier:
            found = self._earlier[key]
        elif (found := self._recent.get(noun, id)) is None:
            found = self._execute(of(noun).row, {"id": id}).fetchone()
        return Row(*found[:4], decode_state(NOUNS[noun], found[4])) if found else None

    def standing(self, noun: str, id: str) -> tuple[Row | None, int]:
        """The object, if it exists, and the version of its stream (0: it never existed)."""
        row = self.find(noun, id)
        if row is not None:
            return row, row.version
        (version,) = self._execute(statements.STREAM_VERSION, {"stream": f"{noun}/{id}"}).fetchone()
        return None, version or 0

    def open(self, noun: str, row: Row) -> None:
        prepared = of(noun)
        values = {"id": row.id, "version": row.version, "born": row.born, "since": row.since}
        self._execute(prepared.set_current, values)
        state = encode_state(row.state)
        interval = {"valid_from": row.since, "valid_to": None, "node": None}
        self._execute(prepared.open_history, {**interval, "born": row.born, "id": row.id, "state": state})
        self.changes[noun, row.id] = Stored(row.id, row.version, row.born, row.since, state)

    def close(self, noun: str, row: Row, seq: int) -> None:
        values = {"since": row.since, "seq": seq, "fork": fork(row.since, seq)}
        self._execute(of(noun).close_history, values)

    def drop(self, noun: str, id: str) -> None:
        self._execute(of(noun).drop_current, {"id": id})
        self.changes[noun, id] = None

    def take(self, noun: str, name: str, id: str, seq: int) -> None:
        values = {"noun": noun, "name": name, "valid_from": seq, "valid_to": None, "id": id}
        try:
            self._execute(statements.TAKE_NAME, values)
        except sqlite3.IntegrityError as error:
            holder = self._execute(statements.NAME_HOLDER, values).fetchone()
            if holder is None:
                raise
            raise NameTaken(name, holder[0]) from error

    def release(self, noun: str, name: str, seq: int) -> None:
        self._execute(statements.RELEASE_NAME, {"noun": noun, "name": name, "seq": seq})

    def link(self, target: str, noun: str, id: str, seq: int) -> None:
        values = {"target": target, "noun": noun, "id": id, "valid_from": seq, "valid_to": None}
        self._execute(statements.LINK, values)

    def unlink(self, target: str, noun: str, id: str, seq: int) -> None:
        self._execute(statements.UNLINK, {"target": target, "noun": noun, "id": id, "seq": seq})

    def owned(self, noun: str, id: str, owned: str) -> list[Row]:
        found = self._execute(statements.LINKED, {"target": f"{noun}/{id}", "noun": owned}).fetchall()
        rows = (self.find(owned, belonging) for (belonging,) in found)
        return [row for row in rows if row is not None]
