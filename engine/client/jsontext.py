"""JSON text to values and back, without the 10 ms that ``import json`` costs (it compiles regular expressions).

The C scanner that the json module itself uses does the reading; the writing is a dozen lines.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_scanner

TYPE_CHECKING = False  # the typing module would cost 5 ms
if TYPE_CHECKING:
    from typing import Any

_WHITESPACE = " \t\r\n"


class _Rules:
    """What the scanner asks of its decoder (json.JSONDecoder has these attributes)."""

    strict = False  # a daemon that passes a raw control character on should still be understood
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


_scan = make_scanner(_Rules)


def decode(text: str | bytes) -> Any:
    """The one value in ``text``. Raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.strip(_WHITESPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"no JSON value at character {error.value}") from error
    if end != len(text):
        raise ValueError(f"extra text after the JSON value at character {end}")
    return value


def encode(value: Any, *, ascii_only: bool = True, sort_keys: bool = False) -> str:
    """Compact JSON of dicts with string keys, lists, tuples, strings, numbers, booleans and None."""
    quote = encode_basestring_ascii if ascii_only else encode_basestring
    if isinstance(value, str):
        if not value.isascii():  # JSON holds text: bytes that are none (PEP 383) become U+FFFD, as in Go
            value = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return quote(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        items = sorted(value.items()) if sort_keys else value.items()
        inner = [f"{quote(key)}:{encode(item, ascii_only=ascii_only, sort_keys=sort_keys)}" for key, item in items]
        return "{" + ",".join(inner) + "}"
    inner = [encode(item, ascii_only=ascii_only, sort_keys=sort_keys) for item in value]
    return "[" + ",".join(inner) + "]"


def indent(text: str, unit: str = "    ") -> str:
    """Lay JSON text out over lines as Go's json.Indent does: every value keeps its own spelling."""
    out: list[str] = []
    depth = at = 0
    while at < len(text):
        mark = text[at]
        if mark in _WHITESPACE:
            at += 1
        elif mark in "{[":
            closing = _skip_space(text, at + 1)
            if closing < len(text) and text[closing] in "}]":
                out.append(mark + text[closing])
                at = closing + 1
            else:
                depth += 1
                out.append(mark + "\n" + unit * depth)
                at += 1
        elif mark in "}]":
            depth -= 1
            out.append("\n" + unit * depth + mark)
            at += 1
        elif mark == ",":
            out.append(",\n" + unit * depth)
            at += 1
        elif mark == ":":
            out.append(": ")
            at += 1
        else:
            end = _end_of_scalar(text, at)
            out.append(text[at:end])
            at = end
    return "".join(out)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITESPACE:
        at += 1
    return at


def _end_of_scalar(text: str, at: int) -> int:
    if text[at] == '"':
        end = text.find('"', at + 1)
        while end > 0 and _is_escaped(text, end):
            end = text.find('"', end + 1)
        return end + 1 if end > 0 else len(text)
    end = at
    while end < len(text) and text[end] not in ",:]}" + _WHITESPACE:
        end += 1
    return end


def _is_escaped(text: str, quote: int) -> bool:
    """Whether an odd number of backslashes stands before the quote."""
    start = quote
    while text[start - 1] == "\\":
        start -= 1
    return (quote - start) % 2 == 1
