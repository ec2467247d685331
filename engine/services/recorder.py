"""How every service changes state: decide on what the log says now, append, decide again if somebody was quicker."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Iterator, Sequence

from engine.domain.errors import VersionConflict
from engine.domain.machine import Event
from engine.domain.nouns import NOUNS
from engine.eventlog.log import Change, Context, Document, EventLog, Recorded

_ATTEMPTS = 16

Fact = tuple[str, str, Event]
"""Noun, id and event."""


def caused_by(context: Context, recorded: Recorded) -> Context:
    """The same request and actor, with an event as the immediate cause."""
    return replace(context, causation=f"event:{recorded.seq}")


class Recorder:
    """Decides and appends. One for the whole engine; holds the locks that keep two effects on one object apart."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._guard = threading.Lock()
        self._locks: dict[str, list[Any]] = {}

    def decide(
        self, noun: str, identifier: str, command: Any, context: Context, documents: Sequence[Document] = (),
        also: Sequence[Change] = (), *, fresh: bool = False,
    ) -> list[Recorded]:  # fmt: skip
        """Let the machine answer a command and append its events ([] where there is nothing to do).

        ``also`` are changes to others that belong to the same entry; the answer ends with their events. ``fresh``: the
        id was made up just now, so that there is nothing to be found under it.
        """
        for attempt in range(_ATTEMPTS):
            state, version = (None, 0) if fresh and not attempt else self.log.load(noun, identifier)
            events = NOUNS[noun].decide(state, command)
            if not events:
                return []
            try:
                return self.log.append([Change(noun, identifier, version, events), *also], context, documents)
            except VersionConflict:
                continue
        raise VersionConflict(f"{noun} {identifier} is changed by too many at once: try again")

    def record(
        self, noun: str, identifier: str, event: Event, context: Context, also: Sequence[Fact] = (),
        before: Sequence[Fact] = (), earlier: Sequence[Event] = (),
    ) -> Recorded | None:  # fmt: skip
        """Append a fact from below; None where it is on record already (facts may be reported twice). ``also`` are
        facts about others that follow from it, ``before`` those that it follows from; those that have no place (any
        more) are left out. ``earlier`` are facts about the same object that come first."""
        for _ in range(_ATTEMPTS):
            state, version = self.log.load(noun, identifier)
            if not NOUNS[noun].module.is_possible(state, event):
                return None
            try:
                first = self._possible(before)
                own = Change(noun, identifier, version, [*earlier, event])
                return self.log.append([*first, own, *self._possible(also)], context)[len(first) + len(earlier)]
            except VersionConflict:
                continue
        raise VersionConflict(f"{noun} {identifier} is changed by too many at once: try again")

    def _possible(self, facts: Sequence[Fact]) -> list[Change]:
        changes = []
        for noun, identifier, event in facts:
            state, version = self.log.load(noun, identifier)
            if NOUNS[noun].module.is_possible(state, event):
                changes.append(Change(noun, identifier, version, [event]))
        return changes

    @contextmanager
    def exclusive(self, stream: str) -> Iterator[None]:
        """Keep effects on one object apart. Never held while waiting for a process to end."""
        with self._guard:
            entry = self._locks.setdefault(stream, [threading.RLock(), 0])
            entry[1] += 1
        try:
            with entry[0]:
                yield
        finally:
            with self._guard:
                entry[1] -= 1
                if not entry[1]:
                    del self._locks[stream]
