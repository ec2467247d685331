"""JSON by the interpreter's own C module: json itself loads re, and that enum, which takes a short-lived command longer
than all that it has to read."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Settings:
    """What the scanner asks for, as json.JSONDecoder has it."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is no JSON")


_scan = _json.make_scanner(_Settings())
_WHITESPACE = " \t\n\r"


def _encoder(*, sort_keys: bool) -> Any:
    ascii_only = _json.encode_basestring_ascii
    return _json.make_encoder(None, _refuse, ascii_only, None, ":", ",", sort_keys, False, True)


_encode, _encode_sorted = _encoder(sort_keys=False), _encoder(sort_keys=True)


def dumps(value: object) -> str:
    """ASCII without spaces. Raises TypeError."""
    return "".join(_encode(value, 0))


def dumps_sorted(value: object) -> str:
    """The same with keys in their order: one text for one value."""
    return "".join(_encode_sorted(value, 0))


def quoted(text: str) -> str:
    """A string with its quotation marks; what is no ASCII stays."""
    return _json.encode_basestring(text)  # type: ignore[no-any-return]


def loads(text: str) -> Any:
    """Raises ValueError."""
    stripped = text.strip(_WHITESPACE)
    try:
        value, end = _scan(stripped, 0)
    except (StopIteration, SystemError, ValueError):  # the C code takes its error from json, which must be loaded
        end = -1
    if end == len(stripped):
        return value
    import json

    return json.loads(text)  # says what is wrong
