"""A cached step of builds: present, removed. Its id is its key, the digest of everything that the step depends on.

It keeps the layers alive that it refers to, until it is forgotten.
"""

from __future__ import annotations

from typing import Any, ClassVar

from engine.domain.errors import NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    PRESENT = "present"
    REMOVED = "removed"


class CacheRecorded(Event):
    """A step was carried out and its outcome can be used again: the file system ``chain_ids`` (from the base upwards),
    whose last layer it made unless ``is_empty``. ``place`` is where in which Dockerfile the step stood, ``inputs``
    names the document with what the key stands for."""

    TYPE: ClassVar[str] = "cache.recorded"
    key: str
    chain_ids: list[str]
    is_empty: bool
    instruction: str
    place: str
    inputs: str
    build_id: str
    created_at_us: int


class CacheForgotten(Event):
    """``reason``: ``prune``, or that a layer is gone or damaged."""

    TYPE: ClassVar[str] = "cache.forgotten"
    key: str
    reason: str


EVENTS: tuple[type[Event], ...] = (CacheRecorded, CacheForgotten)

TRANSITIONS: Table[Status] = {
    (None, CacheRecorded): Status.PRESENT,
    (Status.REMOVED, CacheRecorded): Status.PRESENT,
    (Status.PRESENT, CacheForgotten): Status.REMOVED,
}


class Cache(Record):
    """The fold of a cached step's stream."""

    id: str
    status: Status
    chain_ids: list[str]
    is_empty: bool
    instruction: str
    place: str
    inputs: str
    created_at_us: int
    intents: tuple[str, ...] = ()


def evolve(state: Cache | None, event: Event) -> Cache:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    intents = next_intents(state.intents if state else (), event)
    if isinstance(event, CacheRecorded):
        return Cache(
            event.key, status, event.chain_ids, event.is_empty, event.instruction, event.place, event.inputs,
            event.created_at_us, intents,
        )  # fmt: skip
    assert state is not None
    return changed(state, {"status": status, "intents": intents})


class RecordCache(Record):
    recorded: CacheRecorded


class ForgetCache(Record):
    reason: str


Command = RecordCache | ForgetCache


def decide(state: Cache | None, command: Command) -> list[Event]:
    """Answer a command with events ([]: it is so already). Raises NotFound."""
    is_present = state is not None and state.status is Status.PRESENT
    match command:
        case RecordCache(recorded=recorded):
            return [] if is_present else [recorded]
        case ForgetCache(reason=reason):
            if state is None or not is_present:
                raise NotFound("no such cached step")
            return [CacheForgotten(state.id, reason)]


def is_possible(state: Cache | None, event: Any) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
