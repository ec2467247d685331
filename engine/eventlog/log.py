"""The event log: append, read, travel in time, verify, subscribe. Everything that services need of this package.

Any thread may call any method. Reads take no lock and wait for no writer; each is a snapshot. Moments are sequence
numbers: ``as_of=n`` asks for the world right after event n. Errors: NotFound, VersionConflict, NameTaken and
InvalidTransition as documented; EngineError where the database can't be read or written; Unavailable once closed.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from pathlib import Path
from typing import Any, Callable, Collection, Iterator, Sequence

from engine.domain.document import RedactDocument
from engine.domain.errors import NotFound
from engine.domain.nouns import NOUNS
from engine.eventlog import statements
from engine.eventlog.codec import decode_state
from engine.eventlog.connections import Readers
from engine.eventlog.intervals import ancestors
from engine.eventlog.migrate import ensure
from engine.eventlog.noun_statements import of
from engine.eventlog.projections import OWNED
from engine.eventlog.recent import Bodies, Stored
from engine.eventlog.records import Change, Context, Document, Head, Problem, Recorded, Report
from engine.eventlog.subscriptions import Board, Subscription
from engine.eventlog.verification import SMALL_LOG, verify, verify_apart
from engine.eventlog.writer import Append, Writer

__all__ = [
    "Change", "Context", "Document", "EventLog", "Head", "Problem", "Recorded", "Report", "Subscription",
]  # fmt: skip

PAGE_ROWS = 64
"""What each of those holds who read the past, a hundred of them at once: some 2 KB an event."""
END = 2**63 - 1
"""Greater than every sequence number."""


def _beyond(prefix: str) -> str:
    """What sorts after everything that starts with ``prefix``."""
    return prefix + "\U0010ffff"


class EventLog:
    """The log of one engine, in the SQLite database at ``path``. One process at a time; see the package on forks."""

    def __init__(
        self, path: Path, *, clock: Callable[[], int], boot_id: str, migrate: Callable[[Path], None] = ensure
    ) -> None:
        """Make or migrate the database and open it. ``clock`` tells microseconds since the epoch; ``boot_id`` is the
        kernel's. Raises EngineError, for a database of a newer engine too."""
        migrate(path)
        self._path = path
        self._readers = Readers(path)
        self._bodies = Bodies()
        self._board = Board()
        self._writer = Writer(path, clock, boot_id, self._board.committed)

    def close(self) -> None:
        """Waits for the commit under way and wakes all subscribers."""
        self._writer.close()
        self._board.close()
        self._readers.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def append(
        self, changes: Sequence[Change], context: Context, documents: Sequence[Document] = ()
    ) -> list[Recorded]:
        """All or nothing, durable on return: documents, events and what follows from them.

        Raises VersionConflict, NameTaken (a container's name, an image's reference), InvalidTransition (a machine's
        table forbids the event), or EngineError where the disk refuses.
        """
        return self._writer.append(Append.of(changes, context, documents))

    def rebuild(self) -> None:
        """Make all projections anew from the events. Appends wait meanwhile, reads see the old ones until the end."""
        self._writer.rebuild()

    def redact(self, digest: str, reason: str, context: Context) -> Recorded:
        """Take the body of a document out for good, and record that: both in one transaction. The events keep its
        digest, so the chain still verifies; ``verify`` lists it. Raises NotFound, VersionConflict."""
        state, version = self.load("document", digest)
        events = NOUNS["document"].decide(state, RedactDocument(digest, reason))
        request = Append.of([Change("document", digest, version, events)], context, ())
        try:
            return self._writer.redact(request, digest)
        finally:
            self._bodies.empty()

    # --- objects, now or at a moment ------------------------------------------------------------------------------

    def load(self, noun: str, id: str) -> tuple[Any | None, int]:
        """The object's state (None: absent or removed) and its stream's version (0: it never existed)."""
        if row := self._row(noun, id):
            return decode_state(NOUNS[noun], row.state), row.version
        found = self._readers.rows(statements.STREAM_VERSION, {"stream": f"{noun}/{id}"})
        return None, (found[0][0] or 0) if found else 0

    def get(self, noun: str, id: str, *, as_of: int | None = None) -> Any | None:
        """The object's state; None if it does not exist (then)."""
        if as_of is not None:
            return self._one(noun, of(noun).state_as_of, {"stream": f"{noun}/{id}", "moment": as_of})
        row = self._row(noun, id)
        return decode_state(NOUNS[noun], row.state) if row else None

    def _row(self, noun: str, id: str) -> Stored | None:
        """The row of an object that exists: without asking the database, where somebody has done so lately."""
        self._readers.check()
        recent = self._writer.recent
        if known := recent.get(noun, id):
            return known
        changes = recent.changes
        for values in self._readers.rows(of(noun).row, {"id": id}):
            row = Stored(*values)
            recent.offer(noun, row, changes)
            return row
        return None

    def all(self, noun: str, *, as_of: int | None = None) -> list[Any]:
        """All objects that exist (then), oldest first."""
        prepared = of(noun)
        if as_of is None:
            return self._states(noun, prepared.all, {})
        return self._states(noun, prepared.all_as_of, self._moment(as_of))

    def by_name(self, noun: str, name: str, *, as_of: int | None = None) -> Any | None:
        """The holder (then) of a container's name, an image's normalized reference, a volume's name."""
        if noun == "volume":
            return self.get(noun, name, as_of=as_of)
        held = {"noun": noun, "name": name}
        if as_of is None:
            return self._one(noun, of(noun).by_name, held)
        for id, valid_to in self._readers.rows(statements.NAME_AS_OF, {**held, "moment": as_of}):
            if valid_to is None or valid_to > as_of:
                return self.get(noun, id, as_of=as_of)
        return None

    def by_prefix(self, noun: str, prefix: str, *, as_of: int | None = None, limit: int = 10) -> list[Any]:
        """At most ``limit`` objects whose ids start so; a digest's ``sha256:`` may be left out."""
        if noun in ("image", "layer"):
            prefix = "sha256:" + prefix.removeprefix("sha256:")
        between = {"low": prefix, "high": _beyond(prefix)}
        prepared = of(noun)
        if as_of is None:
            return self._states(noun, prepared.by_prefix, {**between, "limit": limit})
        return self._states(noun, prepared.by_prefix_as_of, {**between, **self._moment(as_of)})[:limit]

    def document(self, digest: str) -> bytes:
        """The body of a stored document. Raises NotFound."""
        self._readers.check()
        if (body := self._bodies.get(digest)) is not None:
            return body
        emptied = self._bodies.emptied
        found = self._readers.rows(statements.DOCUMENT, {"digest": digest})
        if not found:
            raise NotFound(f'no document "{digest}"')
        if (body := found[0][0]) is None:
            raise NotFound(f'document "{digest}" has been redacted')
        self._bodies.put(digest, body, emptied)
        return body

    def _moment(self, as_of: int) -> dict[str, Any]:
        moment = max(min(as_of, self._writer.head.seq), 0)
        return {"moment": moment, "nodes": json.dumps(ancestors(moment) if moment else [])}

    def _states(self, noun: str, statement: str, values: dict[str, Any]) -> list[Any]:
        return [decode_state(NOUNS[noun], row[0]) for row in self._readers.rows(statement, values)]

    def _one(self, noun: str, statement: str, values: dict[str, Any]) -> Any | None:
        found = self._states(noun, statement, values)
        return found[0] if found else None

    # --- who refers to whom ---------------------------------------------------------------------------------------

    def containers_of_image(self, id: str) -> list[str]:
        """Ids of the containers made from an image, oldest first."""
        return self._linked(f"image/{id}", "container")

    def containers_of_volume(self, name: str) -> list[str]:
        """Ids of the containers that mount a volume, oldest first."""
        return self._linked(f"volume/{name}", "container")

    def images_of_layer(self, chain_id: str) -> list[str]:
        """Ids of the images that hold a layer, oldest first."""
        return self._linked(f"layer/{chain_id}", "image")

    def users_of_layer(self, chain_id: str) -> list[str]:
        """Streams of everything that a layer is kept for: images, cached steps of builds, containers of builds."""
        target, users = f"layer/{chain_id}", ("image", "cache", "container")
        return [f"{noun}/{id}" for noun in users for id in self._linked(target, noun)]

    def remaps_of_layer(self, chain_id: str) -> list[str]:
        """Ids of the copies with other owners that there are of a layer, oldest first."""
        return self._linked(f"layer/{chain_id}", "remap")

    def execs_of_container(self, id: str) -> list[str]:
        """Ids of a container's execs, oldest first."""
        return self._linked(f"container/{id}", "exec")

    def endpoints_of_container(self, id: str) -> list[str]:
        """Ids of a container's endpoints, oldest first."""
        return self._linked(f"container/{id}", "endpoint")

    def endpoints_of_network(self, id: str) -> list[str]:
        """Ids of the endpoints on a network, oldest first."""
        return self._linked(f"network/{id}", "endpoint")

    def addresses_of_network(self, id: str) -> set[str]:
        """The addresses on a network that somebody holds."""
        between = {"noun": "endpoint", "low": f"{id}/", "high": _beyond(f"{id}/")}
        return {name.partition("/")[2] for (name,) in self._readers.rows(statements.NAMES_HELD, between)}

    def _linked(self, target: str, noun: str) -> list[str]:
        return [id for (id,) in self._readers.rows(statements.LINKED, {"target": target, "noun": noun})]

    # --- events ---------------------------------------------------------------------------------------------------

    def events(
        self, *, after: int = 0, until: int | None = None, since_us: int | None = None, until_us: int | None = None,
        streams: Collection[str] | None = None, types: Collection[str] | None = None, limit: int | None = None,
    ) -> Iterator[Recorded]:  # fmt: skip
        """Events in order, those after sequence number ``after`` up to and including ``until``.

        The times mean the running maximum of the clock, as ``seq_at`` does; both ends belong to it. What is committed
        while the caller iterates is seen too, unless an end is given.
        """
        until = END if until is None else until
        if since_us is not None:
            after = max(after, self.seq_at(since_us - 1))
        if until_us is not None:
            until = min(until, self.seq_at(until_us))
        wanted = sorted(set(streams or ()))
        statement = statements.PAGES[0 if streams is None else 1 if len(wanted) == 1 else 2, types is not None]
        values: dict[str, Any] = {"until": until}
        values |= {"stream": wanted[0]} if len(wanted) == 1 else {"streams": json.dumps(wanted)}
        values |= {} if types is None else {"types": json.dumps(sorted(set(types)))}
        remaining = END if limit is None else limit
        while remaining > 0:
            size = min(remaining, PAGE_ROWS)
            rows = self._readers.rows(statement, {**values, "after": after, "limit": size})
            for row in rows:
                yield Recorded(*row)
            if len(rows) < size:
                return
            after = rows[-1][0]
            remaining -= size

    def last_event(self, stream: str, types: Collection[str]) -> Recorded | None:
        """The latest event of a stream that is of one of these types."""
        noun, _, id = stream.partition("/")
        known = self._writer.recent.get(noun, id)
        if known and known.latest and known.latest.type in types:
            return known.latest
        values = {"stream": stream, "types": json.dumps([*types])}
        rows = self._readers.rows(statements.LAST_OF_TYPES, values)
        return Recorded(*rows[0]) if rows else None

    def trail(self, noun: str, id: str) -> list[Recorded]:
        """The events of an object and of what belonged to it (a container's execs), in order; of removed ones too."""
        streams = [f"{noun}/{id}"]
        for owned in OWNED.get(noun, ()):
            rows = self._readers.rows(statements.LINKED_EVER, {"target": streams[0], "noun": owned})
            streams += [f"{owned}/{belonging}" for (belonging,) in rows]
        return list(self.events(streams=streams))

    def labelled(self, label: str, value: str) -> list[str]:
        """The streams of all objects there ever were that were made with that label."""
        values = {"path": f'$.labels."{label}"', "wanted": value}
        return [stream for (stream,) in self._readers.rows(statements.LABELLED, values)]

    def correlated(self, cause: str) -> list[Recorded]:
        """In order, the events of all correlations of which one event's causation begins with ``cause``. Reads the
        whole log."""
        values = {"low": cause, "high": _beyond(cause)}
        return [Recorded(*row) for row in self._readers.rows(statements.CORRELATED, values)]

    def find_streams(self, noun: str, text: str) -> list[str]:
        """Ids of all objects there ever were whose id starts so or that ever held that name, newest first."""
        prefix = f"{noun}/"
        if noun in ("image", "layer"):
            prefix += "sha256:"
            text = text.removeprefix("sha256:")
        low = prefix + text
        found = {
            stream.partition("/")[2]: seq
            for stream, seq in self._readers.rows(statements.FIRST_EVENTS, {"low": low, "high": _beyond(low)})
        }
        for id, seq in self._readers.rows(statements.NAME_EVER, {"noun": noun, "name": text}):
            found[id] = max(seq, found.get(id, 0))
        return sorted(found, key=lambda id: found[id], reverse=True)

    def head(self) -> Head:
        """The last event and its hash: worth publishing where nobody who could rewrite the log can reach it."""
        return self._writer.head

    def seq_at(self, time_us: int) -> int:
        """The last event whose running maximum of times is not later than ``time_us``; 0 if there is none."""

        def latest_us(seq: int) -> int:
            return self._readers.rows(statements.LATEST_US, {"seq": seq})[0][0]

        return bisect_right(range(1, self._writer.head.seq + 1), time_us, key=latest_us)

    def verify(self, against: Head | None = None, *, log_only: bool = False) -> Report:
        """Check chain, documents and guards, and the projections unless ``log_only``; ``against`` is a head that was
        published earlier."""
        check = verify if self._writer.head.seq < SMALL_LOG else verify_apart
        return check(self._path, against, log_only=log_only)

    def subscribe(self, streams: Collection[str] | None = None) -> Subscription:
        """A cursor over what is committed from now on, to certain streams or (None) to all. Close it."""
        subscription = Subscription(self._board, self._after, streams)
        self._board.add(subscription, lambda: self._writer.head.seq)
        return subscription

    def _after(self, seq: int, streams: Collection[str] | None, most: int) -> list[Recorded]:
        return list(self.events(after=seq, until=self._writer.head.seq, streams=streams, limit=most))
