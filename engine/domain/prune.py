"""The prunes of one kind of object: ``container``, ``image``, ``network``, ``volume`` or ``builder``, which is its id.

Every removal that a prune brings about is an event of the object removed; here is who pruned, and what came of it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from engine.domain.errors import InvalidArgument
from engine.domain.machine import Event, Statuses, Table, next_status
from engine.domain.record import Record

KINDS = ("container", "image", "network", "volume", "builder")


class Status(Statuses):
    DONE = "done"


class PruneDone(Event):
    """``removed`` objects are gone, which gave back ``reclaimed_bytes``."""

    TYPE: ClassVar[str] = "prune.done"
    prune_id: str
    removed: int
    reclaimed_bytes: int


EVENTS: tuple[type[Event], ...] = (PruneDone,)

TRANSITIONS: Table[Status] = {(None, PruneDone): Status.DONE, (Status.DONE, PruneDone): Status.DONE}


class Prune(Record):
    """The fold: the last one."""

    id: str
    status: Status
    removed: int
    reclaimed_bytes: int
    intents: tuple[str, ...] = ()


def evolve(state: Prune | None, event: Event) -> Prune:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    assert isinstance(event, PruneDone)
    return Prune(event.prune_id, status, event.removed, event.reclaimed_bytes)


class RecordPrune(Record):
    prune_id: str
    removed: int
    reclaimed_bytes: int = 0


Command = RecordPrune


def decide(state: Prune | None, command: Command) -> list[Event]:
    """Answer a command with events. Raises InvalidArgument for what can't be pruned."""
    if command.prune_id not in KINDS:
        raise InvalidArgument(f"there is no prune of {command.prune_id!r}: use {', '.join(KINDS)}")
    return [PruneDone(command.prune_id, command.removed, command.reclaimed_bytes)]


def is_possible(state: Prune | None, event: Any) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
