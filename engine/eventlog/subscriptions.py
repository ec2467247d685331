"""Waiting for events: each subscription has a flag of its own and a cursor over the log.

A commit raises the flags of those alone who asked for its streams, and hands them its events. Who comes to look too
late for that (``MOST_KEPT``) reads them from the log itself, after the cursor. So nobody wakes for nothing, and nothing
is lost or doubled.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Collection, Sequence

from engine.domain.errors import Unavailable
from engine.eventlog.records import Recorded

Read = Callable[[int, Collection[str] | None, int], list[Recorded]]
"""So many events at most after a sequence number, of certain streams or (None) of all."""

MOST_KEPT = 256
"""Events that wait in memory for a subscriber."""
MOST_READ = 128
"""Events that one who fell behind gets at once, 2 KB each: a hundred of them, minutes late, must fit into memory."""


class Subscription:
    """One waiter's view of what is committed from now on. For one thread at a time; ``close`` may come from any."""

    def __init__(self, board: Board, read: Read, streams: Collection[str] | None) -> None:
        self.streams = None if streams is None else frozenset(streams)
        self.cursor = 0
        self.raised = threading.Event()
        self._closed = False
        self._board = board
        self._read = read
        self._lock = threading.Lock()
        self._kept: list[Recorded] = []
        self._fell_behind = False

    def offer(self, rows: list[Recorded]) -> None:
        """What has been committed, in order."""
        with self._lock:
            self._kept += rows
            if len(self._kept) > MOST_KEPT:
                self._kept, self._fell_behind = [], True
        self.raised.set()

    def _news(self) -> list[Recorded]:
        with self._lock:
            kept, fell_behind = self._kept, self._fell_behind
            self._kept, self._fell_behind = [], False
        if fell_behind:
            found = self._read(self.cursor, self.streams, MOST_READ)
            if len(found) == MOST_READ:  # there may be more
                with self._lock:
                    self._fell_behind = True
                self.raised.set()
            return found
        return [row for row in kept if row.seq > self.cursor]

    def wait(self, timeout_s: float | None = None) -> list[Recorded]:
        """The events committed since the last call (or since the subscription), at least one, and MOST_READ of them at
        the most; [] when the time is up or the subscription is closed. Raises Unavailable once the log is closed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            remaining = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not self.raised.wait(remaining) or self._closed:
                return []
            # lowered before reading: a commit after the reading raises it again
            self.raised.clear()
            if self._board.closed:
                self.raised.set()
                raise Unavailable("the event log is closed: the engine is stopping")
            if found := self._news():
                self.cursor = found[-1].seq
                return found

    def close(self) -> None:
        """A wait that is under way ends with []."""
        self._closed = True
        self._board.remove(self)
        self.raised.set()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Board:
    """Who waits for which stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_all: set[Subscription] = set()
        self._of_stream: dict[str, set[Subscription]] = {}
        self.closed = False

    def add(self, subscription: Subscription, head: Callable[[], int]) -> None:
        """Register first, then take the cursor: what is committed in between raises the flag and is not read twice."""
        with self._lock:
            for waiting in self._sets(subscription):
                waiting.add(subscription)
        subscription.cursor = head()
        if self.closed:
            subscription.raised.set()

    def remove(self, subscription: Subscription) -> None:
        with self._lock:
            for waiting in self._sets(subscription):
                waiting.discard(subscription)
            for stream in subscription.streams or ():
                if not self._of_stream[stream]:  # made by _sets if it was not there
                    del self._of_stream[stream]

    def _sets(self, subscription: Subscription) -> list[set[Subscription]]:
        if subscription.streams is None:
            return [self._of_all]
        return [self._of_stream.setdefault(stream, set()) for stream in subscription.streams]

    def committed(self, recorded: Sequence[Recorded]) -> None:
        """Tell those who are interested; called in the order of commits."""
        wanted: dict[Subscription, list[Recorded]] = {}
        with self._lock:
            for row in recorded:
                for subscription in (*self._of_all, *self._of_stream.get(row.stream, ())):
                    wanted.setdefault(subscription, []).append(row)
        for subscription, rows in wanted.items():
            subscription.offer(rows)

    def close(self) -> None:
        """Wake everybody: the log is closed."""
        with self._lock:
            self.closed = True
            everybody = self._of_all.union(*self._of_stream.values())
        for subscription in everybody:
            subscription.raised.set()
