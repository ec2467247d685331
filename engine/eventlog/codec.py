"""Events and states as canonical JSON: sorted keys, no spaces, ASCII only, no NaN. Equal values give equal bytes.

States are the fold of their events by the engine that runs now, so they have no schema of their own: when their shape
changes, the projections are rebuilt (``projections.FINGERPRINT``).
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, Callable, get_args, get_origin, get_type_hints

from engine.domain.errors import EngineError
from engine.domain.machine import Event
from engine.domain.nouns import EVENT_TYPES, NOUNS, Noun
from engine.eventlog.upcasters import UPCASTERS

canonical: Callable[[Any], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
).encode


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(sorted(field.name for field in fields(kind)))


@cache
def _values_of(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*_names(kind))


def encode_event(event: Event) -> str:
    """The event's fields as canonical JSON. Raises ValueError or TypeError for what is no JSON value."""
    return canonical({name: getattr(event, name) for name in _names(type(event))})


def decode_event(type_: str, schema: int, data: dict[str, Any]) -> Event:
    """The domain's event from stored data, lifted by upcasters. Raises EngineError for what this engine can't read."""
    kind = EVENT_TYPES.get(type_)
    if kind is None or schema > kind.SCHEMA:
        raise EngineError(f"event {type_!r} of schema {schema} is unknown here: it was written by a newer engine")
    while schema < kind.SCHEMA:
        data = UPCASTERS[type_, schema](data)
        schema += 1
    try:
        return kind(**data)
    except TypeError as error:
        raise EngineError(f"the data of event {type_!r} does not fit schema {schema}: {error}") from error


def encode_state(state: Any) -> str:
    """A state as canonical JSON of its fields."""
    kind = type(state)
    return canonical(dict(zip(_names(kind), _values_of(kind)(state))))


@cache
def _restorers(noun: str) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The fields of a noun's state that JSON can't tell from others: tuples and statuses."""
    kind = NOUNS[noun]
    restorers: list[tuple[str, Callable[[Any], Any]]] = []
    for name, hint in get_type_hints(kind.state).items():
        if get_origin(hint) is tuple:
            restorers.append((name, tuple))
        elif hint is kind.status:
            restorers.append((name, kind.status))
        elif kind.status in get_args(hint):
            restorers.append((name, lambda value, status=kind.status: None if value is None else status(value)))
    return tuple(restorers)


def decode_state(noun: Noun, text: str) -> Any:
    """The state that ``encode_state`` wrote. States are values: whoever asks gets the same one."""
    return _decoded(noun.name, text)


@lru_cache(maxsize=256)
def _decoded(noun: str, text: str) -> Any:
    """One command looks at the same row several times, and so do those that come after it."""
    values = json.loads(text)
    for name, restore in _restorers(noun):
        values[name] = restore(values[name])
    return NOUNS[noun].state(**values)
