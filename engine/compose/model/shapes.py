"""The canonical form of every element of the compose specification, as one table: which fields an element has, in which
order Docker Compose prints them, of which kind their values are, and which stay when they are empty.

A kind does three things: ``cast`` gives texts that came from variables the type that belongs there, before the schema
is asked; ``canonical`` turns a value in long form into the model's; ``shown`` is what ``config`` prints of it.
"""

from __future__ import annotations

import math

from engine.compose.model import quantities
from engine.compose.model.ordering import natural_order
from engine.compose.model.positions import Path, Positions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

JSON, YAML = "json", "yaml"
HTML_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
"""Go's JSON encoder spells these, which mean something in HTML and JavaScript."""


class Kind:
    """A value that stays as it is."""

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        return value

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return value

    def shown(self, value: Any, form: str) -> Any:
        return value

    def unknown(self, value: Any, path: Path) -> Iterator[Path]:
        """Where in a value in long form keys stand that no element has."""
        return iter(())


def text_of(value: Any) -> str:
    """A scalar as Go prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    return str(value)


def number_text(value: float) -> str:
    """A float as Go's %v prints it: the shortest digits, with an exponent from a million on."""
    if math.isnan(value) or math.isinf(value):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    text = repr(abs(value))
    sign = "-" if math.copysign(1, value) < 0 else ""
    if "e" in text:
        return sign + text
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(whole) <= 6:
        return f"{sign}{whole}.{fraction}" if fraction else sign + whole
    digits = (whole + fraction).rstrip("0")
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{sign}{mantissa}e+{len(whole) - 1:02}"


class Text(Kind):
    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return None if value is None else text_of(value)


class Parsed(Kind):
    """A value that a function makes of a text, where a text stands in its place."""

    def __init__(self, parse: Callable[[str], Any], early: bool = True) -> None:
        self._parse = parse
        self._early = early

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        return self._parsed(value, path, positions) if self._early else value

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return self._parsed(value, path, positions)

    def _parsed(self, value: Any, path: Path, positions: Positions) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            raise positions.error(path, str(error)) from error


def _whole(text: str) -> int:
    try:
        return int(text, 0) if not text.lstrip("-+").startswith("0") else int(text, 10)
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None


class Whole(Parsed):
    """An integer, also where it is written with a point or an exponent."""

    def __init__(self) -> None:
        super().__init__(_whole)

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        value = super().canonical(value, path, positions)
        if isinstance(value, float):
            if not value.is_integer():
                raise positions.error(path, f"{number_text(value)} is not a whole number")
            return int(value)
        return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None


class Number(Parsed):
    """A float that prints without a fraction where it has none."""

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        value = super().canonical(value, path, positions)
        return int(value) if isinstance(value, float) and value == int(value) else value


class Size(Kind):
    """A size: digits in a text, bytes; none where it is 0, which says nothing."""

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        if isinstance(value, str):
            try:
                value = _whole(value) if value.startswith("-") else quantities.byte_count(value)
            except ValueError as error:
                raise positions.error(path, str(error)) from error
        size_bytes = int(value or 0)
        return str(size_bytes) if size_bytes else None


class Rate(Size):
    """A size that is printed also where it is 0."""

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return super().canonical(value, path, positions) or "0"


def _duration(text: str) -> str:
    return quantities.duration_text(quantities.nanoseconds(text))


def _some_duration(text: str) -> str | None:
    return _duration(text) if quantities.nanoseconds(text) else None


def _mode(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError(f'"{text}" is not an octal mode') from None


class Mode(Kind):
    """A file's mode: octal digits in a text."""

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        if isinstance(value, str):
            value = Parsed(_mode).canonical(value, path, positions)
        elif isinstance(value, float):
            raise positions.error(path, f"{value} is not an octal mode")
        return None if value is None else f"0{value:o}"


class Listed(Kind):
    def __init__(self, item: Kind) -> None:
        self._item = item

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        return self._each(value, path, positions, self._item.cast) if isinstance(value, list) else value

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return self._each(value, path, positions, self._item.canonical) if isinstance(value, list) else value

    @staticmethod
    def _each(value: list[Any], path: Path, positions: Positions, change: Callable[..., Any]) -> list[Any]:
        return [change(item, (*path, index), positions) for index, item in enumerate(value)]

    def shown(self, value: Any, form: str) -> Any:
        return [self._item.shown(item, form) for item in value] if isinstance(value, list) else value

    def unknown(self, value: Any, path: Path) -> Iterator[Path]:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from self._item.unknown(item, (*path, index))


class Mapped(Kind):
    """A mapping of names to values of one kind, printed in the order of the names."""

    def __init__(self, item: Kind) -> None:
        self._item = item

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        return self._each(value, path, positions, self._item.cast) if isinstance(value, dict) else value

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return self._each(value, path, positions, self._item.canonical) if isinstance(value, dict) else value

    @staticmethod
    def _each(value: dict[str, Any], path: Path, positions: Positions, change: Callable[..., Any]) -> dict[str, Any]:
        return {key: change(value[key], (*path, key), positions) for key in sorted(value)}

    def shown(self, value: Any, form: str) -> Any:
        if not isinstance(value, dict):
            return value
        names = natural_order(value) if form == YAML else list(value)
        return {name: self._item.shown(value[name], form) for name in names}

    def unknown(self, value: Any, path: Path) -> Iterator[Path]:
        for name, item in value.items() if isinstance(value, dict) else ():
            yield from self._item.unknown(item, (*path, name))


SET, IN_JSON, NULL = "set", "in json", "null"


class Field:
    """``keep`` says when an empty value is printed: whenever it is SET; IN_JSON in any case; or even as NULL in JSON.
    ``json`` is another name in JSON."""

    def __init__(self, kind: Kind, *keep: str, json: str = "") -> None:
        self.kind = kind
        self.keep = keep
        self.json = json


class Element(Kind):
    """An element of the specification with its fields in the order in which they are printed. Extensions (``x-``) come
    last, and JSON leaves them out below the top."""

    def __init__(self, **fields: Kind | Field) -> None:
        self.fields = {name: field if isinstance(field, Field) else Field(field) for name, field in fields.items()}

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: field.kind.cast(item, (*path, key), positions) if (field := self.fields.get(key)) else item
            for key, item in value.items()
        }

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        if not isinstance(value, dict):
            return value
        found = {}
        for name, field in self.fields.items():
            item = field.kind.canonical(value.get(name), (*path, name), positions)
            if item is None and IN_JSON in field.keep:
                item = field.kind.canonical({}, (*path, name), positions)
            if not _empty(item) or NULL in field.keep or field.keep and item is not None:
                found[name] = item
        found.update({key: ordered(value[key]) for key in sorted(value) if key.startswith("x-")})
        return found

    def shown(self, value: Any, form: str) -> Any:
        if not isinstance(value, dict):
            return value
        found = {}
        for key, item in value.items():
            field = self.fields.get(key)
            if field is None:
                if form == YAML:
                    found[key] = ordered(item, natural_order)
                continue
            item = field.kind.shown(item, form)
            if not _empty(item) or _stays(item, field, form):
                found[field.json if form == JSON and field.json else key] = item
        return found

    def unknown(self, value: Any, path: Path) -> Iterator[Path]:
        for key, item in value.items() if isinstance(value, dict) else ():
            if (field := self.fields.get(key)) is not None:
                yield from field.kind.unknown(item, (*path, key))
            elif not key.startswith("x-"):
                yield (*path, key)


def ordered(value: Any, order: Callable[[dict[str, Any]], list[str]] = sorted) -> Any:
    """The same value with the keys of its mappings in order."""
    if isinstance(value, dict):
        return {key: ordered(value[key], order) for key in order(value)}
    return [ordered(item, order) for item in value] if isinstance(value, list) else value


def _stays(value: Any, field: Field, form: str) -> bool:
    """Whether an empty value is printed."""
    if value is None:
        return form == JSON and NULL in field.keep
    return SET in field.keep or form == JSON and IN_JSON in field.keep


def _empty(value: Any) -> bool:
    return value is None or value == "" or value is False or value == 0 or value == {} or value == []


def kept(kind: Kind) -> Field:
    """A field that is printed whenever it is set, also where it is empty."""
    return Field(kind, SET)


def kept_in_json(kind: Kind) -> Field:
    """An element that JSON has in any case."""
    return Field(kind, IN_JSON)


TEXT = Text()
WHOLE = Whole()
FLAG = Parsed(quantities.boolean)
NUMBER = Number(_number)
SIZE = Size()
RATE = Rate()
DURATION = Parsed(_duration, early=False)
SOME_DURATION = Parsed(_some_duration, early=False)
"""One that is not printed where it is zero."""
MODE = Mode()
OCTAL = Parsed(_mode, early=False)
"""A mode as a number; a text of it is octal."""
TEXTS = Listed(TEXT)
PAIRS = Mapped(TEXT)
