"""The journal of a ``docket-runtime`` root, as far as it was taken into the log. Its id is the SHA-256 of its path.

The lines are facts from elsewhere: who did what is the actor in each line, and the actor of the event is who read them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from engine.domain.errors import InvalidArgument
from engine.domain.machine import Event, Statuses, Table, next_status
from engine.domain.record import Record


class Status(Statuses):
    FOLLOWED = "followed"
    BROKEN = "broken"


class RuntimeJournalTaken(Event):
    """``records`` are the journal's lines ``first`` to ``last``, whole; ``head`` is the hash of the last one. In
    another boot than before (``journal_boot``) a journal begins anew, since a root lies in memory."""

    TYPE: ClassVar[str] = "runtime.journal_taken"
    runtime_id: str
    root: str
    journal_boot: str
    first: int
    last: int
    head: str
    records: list[dict[str, Any]]


class RuntimeJournalBroken(Event):
    """What lies in the journal after line ``after`` is not what was written, or no longer what was taken."""

    TYPE: ClassVar[str] = "runtime.journal_broken"
    runtime_id: str
    root: str
    journal_boot: str
    after: int
    reason: str


EVENTS: tuple[type[Event], ...] = (RuntimeJournalTaken, RuntimeJournalBroken)

TRANSITIONS: Table[Status] = {
    (None, RuntimeJournalTaken): Status.FOLLOWED,
    (None, RuntimeJournalBroken): Status.BROKEN,
    (Status.FOLLOWED, RuntimeJournalTaken): Status.FOLLOWED,
    (Status.FOLLOWED, RuntimeJournalBroken): Status.BROKEN,
    (Status.BROKEN, RuntimeJournalTaken): Status.FOLLOWED,  # the one of the next boot
}


class RuntimeJournal(Record):
    """The fold: how far it was taken."""

    id: str
    status: Status
    root: str
    journal_boot: str
    last: int
    head: str
    intents: tuple[str, ...] = ()


def evolve(state: RuntimeJournal | None, event: Event) -> RuntimeJournal:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    if isinstance(event, RuntimeJournalTaken):
        return RuntimeJournal(event.runtime_id, status, event.root, event.journal_boot, event.last, event.head)
    assert isinstance(event, RuntimeJournalBroken)
    head = state.head if state else ""
    return RuntimeJournal(event.runtime_id, status, event.root, event.journal_boot, event.after, head)


class TakeJournal(Record):
    taken: RuntimeJournalTaken


class ReportBrokenJournal(Record):
    broken: RuntimeJournalBroken


Command = TakeJournal | ReportBrokenJournal


def decide(state: RuntimeJournal | None, command: Command) -> list[Event]:
    """Answer a command with events. Raises InvalidArgument for lines that don't follow those that were taken."""
    if isinstance(command, ReportBrokenJournal):
        return [command.broken] if state is None or state.status is Status.FOLLOWED else []
    before = 0
    if state is not None and state.journal_boot == command.taken.journal_boot:
        before = state.last
        if state.status is Status.BROKEN:
            raise InvalidArgument(f"the journal of {state.root} is broken after line {before}")
    if command.taken.first != before + 1:
        raise InvalidArgument(f"line {command.taken.first} of the journal doesn't follow line {before}")
    return [command.taken]


def is_possible(state: RuntimeJournal | None, event: Any) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
