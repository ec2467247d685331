"""Events and states as canonical JSON: sorted keys, no spaces, ASCII only, no NaN. Equal values give equal bytes.

States are the fold of their events by the engine that runs now, so they have no schema of their own: when their shape
changes, the projections are rebuilt (``projections.FINGERPRINT``).
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from functools import cache, lru_cache
from itertools import compress, count
from json.encoder import encode_basestring_ascii as quoted
from operator import is_not, itemgetter
from typing import Any, Callable, get_args, get_origin, get_type_hints

from engine.domain.errors import EngineError
from engine.domain.machine import Event
from engine.domain.nouns import EVENT_TYPES, NOUNS, Noun
from engine.eventlog.upcasters import UPCASTERS

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _encoding() -> Callable[[Any], str]:
    """The encoder's ``encode``. Where json has its part in C, that is made once and not once a value, which takes
    longer than most values do."""
    make = json.encoder.c_make_encoder
    if make is None:
        return _ENCODER.encode
    # circular values, which nobody makes here, end by RecursionError
    write = make(None, _ENCODER.default, quoted, None, ":", ",", True, False, False)
    return lambda value: "".join(write(value, 0))


canonical: Callable[[Any], str] = _encoding()


def parsed(text: str) -> Any:
    """A stored text as the value that it is: nothing may stand before or behind it. Raises ValueError."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError(f"there is no value in {text[:80]!r}") from None
    if end != len(text):
        raise ValueError(f"there is more than one value in {text[:80]!r}")
    return value


_scan = json.JSONDecoder().scan_once  # what its decode comes down to


def encode_event(event: Event) -> str:
    """The event's fields as canonical JSON. Raises ValueError or TypeError for what is no JSON value."""
    return canonical(vars(event))


def decode_event(type_: str, schema: int, data: dict[str, Any]) -> Event:
    """The domain's event from stored data, which become its own, lifted by upcasters. Raises EngineError for what this
    engine can't read."""
    kind = EVENT_TYPES.get(type_)
    if kind is None or schema > kind.SCHEMA:
        raise EngineError(f"event {type_!r} of schema {schema} is unknown here: it was written by a newer engine")
    while schema < kind.SCHEMA:
        data = UPCASTERS[type_, schema](data)
        schema += 1
    try:
        return kind.of(data)
    except TypeError as error:
        raise EngineError(f"the data of event {type_!r} does not fit schema {schema}: {error}") from error


def encode_state(state: Any) -> str:
    """A state as canonical JSON of its fields."""
    return canonical(vars(state))


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: quoted, int: int.__repr__, bool: ("false", "true").__getitem__, type(None): lambda none: "null",
    tuple: lambda values: canonical(values) if values else "[]", **{noun.status: quoted for noun in NOUNS.values()},
}  # fmt: skip
"""What writes a value of a common type like ``canonical``, but sooner."""


class StateTexts:
    """``encode_state`` for the states of one object, one after the other: what has not changed is not written anew,
    which is most of it."""

    __slots__ = ("_shape", "_values", "_pieces")

    def __init__(self, kind: type) -> None:
        self._shape = shape = _shape(kind)
        self._values, self._pieces = shape.values, [*shape.pieces]

    def of(self, state: Any) -> str:
        shape, pieces = self._shape, self._pieces
        values, starts = shape.values_of(vars(state)), shape.starts
        for at in compress(count(), map(is_not, values, self._values)):
            value = values[at]
            pieces[at] = starts[at] + _WRITERS.get(type(value), canonical)(value)
        self._values = values
        return f"{{{','.join(pieces)}}}"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the states of a machine are written, field by field in the order of their names: what comes before a value;
    the default values, where there are any, and all of their text."""

    starts: tuple[str, ...]
    values: tuple[Any, ...]
    pieces: tuple[str, ...]
    values_of: Callable[[dict[str, Any]], tuple[Any, ...]]


@cache
def _shape(kind: type) -> _Shape:
    defaults = {field.name: field.default for field in fields(kind)}
    names = sorted(defaults)
    starts, values = tuple(f"{quoted(name)}:" for name in names), tuple(defaults[name] for name in names)
    pieces = ("" if value is MISSING else start + canonical(value) for start, value in zip(starts, values))
    return _Shape(starts, values, tuple(pieces), itemgetter(*names))


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
