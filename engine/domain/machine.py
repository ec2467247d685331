"""What all machines share: events, transition tables and the rule of intents and outcomes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Final, Mapping, TypeVar

from engine.domain.errors import EngineError
from engine.domain.record import Record


class Event(Record):
    """Base of all events: records whose fields are JSON values, in the past tense or as an intent.

    ``TYPE`` is the literal that is stored, never a class path; ``SCHEMA`` counts incompatible changes of the
    fields, which an upcaster bridges on read. An intent names itself by ``OPENS``; each of its outcomes by ``CLOSES``.
    """

    TYPE: ClassVar[str]
    SCHEMA: ClassVar[int] = 1
    OPENS: ClassVar[str] = ""
    CLOSES: ClassVar[str] = ""


class InvalidTransition(EngineError):
    """An event that the table does not allow here: a defect of the engine or a log that was tampered with."""


class _Previous:
    """Marks a transition that leads back to the status of rest from which the open intent set out."""

    def __repr__(self) -> str:
        return "PREVIOUS"


PREVIOUS: Final = _Previous()


class Statuses(StrEnum):
    """Base of the machines' statuses. They are hashed as the texts that they are, and not by Enum, in Python: the table
    is asked with one for every event."""

    __hash__ = str.__hash__


Status = TypeVar("Status", bound=Statuses)

Table = Mapping[tuple[Status | None, type[Event]], Status | _Previous]


def next_status(table: Table[Status], status: Status | None, event: Event, previous: Status | None) -> Status:
    """Look the transition up. Raises InvalidTransition where the table has none."""
    target = table.get((status, type(event)))
    if target is None:
        raise InvalidTransition(f"{event.TYPE} is not possible in status {status or 'absent'}")
    if isinstance(target, _Previous):
        if previous is None:
            raise InvalidTransition(f"{event.TYPE} has no status to return to")
        return previous
    return target


def next_intents(intents: tuple[str, ...], event: Event) -> tuple[str, ...]:
    """Open or close an intent. Raises InvalidTransition where an outcome finds its intent not open."""
    if event.OPENS:
        if event.OPENS in intents:
            raise InvalidTransition(f"{event.TYPE}: an intent of this kind is open already")
        return tuple(sorted((*intents, event.OPENS))) if intents else (event.OPENS,)
    if event.CLOSES:
        if event.CLOSES not in intents:
            raise InvalidTransition(f"{event.TYPE}: no intent {event.CLOSES!r} is open")
        return tuple([kind for kind in intents if kind != event.CLOSES]) if len(intents) > 1 else ()
    return intents


State = TypeVar("State")


def changed(state: State, facts: dict[str, Any]) -> State:
    """The state with some fields changed: dataclasses.replace many times as fast, since every event of a log goes
    through it."""
    before = vars(state)
    fields = before | facts
    if len(fields) != len(before):
        raise TypeError(f"{type(state).__name__} has no such fields: {', '.join(facts.keys() - before.keys())}")
    after = object.__new__(type(state))
    object.__setattr__(after, "__dict__", fields)
    return after
