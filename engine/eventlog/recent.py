"""What is kept in memory of what the database holds: the rows that were changed last, and documents that were read.

What a command has just written is what the next one asks for.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from engine.eventlog.records import Recorded

MOST_ROWS = 128
"""Some 4 KB each."""
MOST_BODIES = 64
LARGEST_BODY = 16 * 1024
"""Bytes."""


class Stored(NamedTuple):
    """A current object's row; ``state`` is the text of its state, ``latest`` the event that brought it about, where
    that is known."""

    id: str
    version: int
    born: int
    since: int
    state: str
    latest: Recorded | None = None


Changes = dict[tuple[str, str], Stored | None]
"""(noun, id) -> the row as it is now; None: there is none any more."""


class Recent:
    """Rows of current objects. From any thread, but for ``put`` and ``forget``, which are for whoever holds the turn of
    the writer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], Stored] = {}
        self.changes = 0
        """How often what the database holds has changed."""

    def get(self, noun: str, id: str) -> Stored | None:
        """None: not known here."""
        return self._rows.get((noun, id))

    def offer(self, noun: str, row: Stored, changes: int) -> None:
        """Keep what was read when there had been so many changes: it may have changed since then."""
        with self._lock:
            if changes == self.changes:
                self._keep({(noun, row.id): row})

    def put(self, changes: Changes) -> None:
        """Keep what has just become durable."""
        with self._lock:
            self.changes += 1
            self._keep(changes)

    def _keep(self, changes: Changes) -> None:
        for key, row in changes.items():
            self._rows.pop(key, None)  # so that it becomes the youngest
            if row is not None:
                self._rows[key] = row
        while len(self._rows) > MOST_ROWS:
            del self._rows[next(iter(self._rows))]

    def forget(self) -> None:
        """The database may have changed otherwise."""
        with self._lock:
            self.changes += 1
            self._rows.clear()


class Bodies:
    """Bodies of documents, by digest. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: dict[str, bytes] = {}
        self.emptied = 0
        """How often."""

    def get(self, digest: str) -> bytes | None:
        return self._bodies.get(digest)

    def put(self, digest: str, body: bytes, emptied: int) -> None:
        """Keep what was read when they had been emptied so often: since then it may have been redacted."""
        with self._lock:
            if emptied == self.emptied and len(body) <= LARGEST_BODY:
                self._bodies[digest] = body
                if len(self._bodies) > MOST_BODIES:
                    del self._bodies[next(iter(self._bodies))]

    def empty(self) -> None:
        with self._lock:
            self.emptied += 1
            self._bodies.clear()
