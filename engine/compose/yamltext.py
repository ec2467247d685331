"""Plain values to YAML in block style, in the layout of Docker Compose: two spaces a level, lists below their key,
texts of several lines as literal blocks, quotes only where a text would be read as something else."""

from __future__ import annotations

import re

from engine.compose.model.shapes import number_text
from engine.compose.reading.documents import plain_scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_OLD_BOOLEANS = {word for base in ("y", "yes", "n", "no", "on", "off")
                 for word in (base, base.capitalize(), base.upper())}  # fmt: skip
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ]\d{1,2}:\d{1,2}:\d{1,2}.*)?$")
_INDICATORS = "#,[]{}&*!|>'\"%@`"


def dump(value: Any) -> str:
    """The document with a newline at its end."""
    if isinstance(value, (dict, list)) and value:
        return "\n".join(_lines(value, 0)) + "\n"
    return _scalar(value, 0) + "\n"


def _lines(value: Any, depth: int) -> Iterator[str]:
    margin = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(f"{margin}{_text(str(key), None)}:", item, depth)
        return
    for item in value:
        if isinstance(item, (dict, list)) and item:
            first, *others = _lines(item, depth + 1)
            yield f"{margin}- {first.lstrip(' ')}"
            yield from others
        else:
            yield f"{margin}- {_scalar(item, depth)}"


def _entry(head: str, item: Any, depth: int) -> Iterator[str]:
    if isinstance(item, (dict, list)) and item:
        yield head
        yield from _lines(item, depth + 1)
    else:
        yield f"{head} {_scalar(item, depth)}"


def _scalar(value: Any, depth: int) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(number := number_text(value), number)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return _text(value, depth) if isinstance(value, str) else str(value)


def _text(text: str, depth: int | None) -> str:
    """A text at this depth; None is a key, which has one line."""
    special = any(not _is_plain_mark(mark) and mark not in '\n\t"\\' for mark in text)
    if "\n" in text and depth is not None and not special and not re.search(r" \n| $", text):
        return _block(text, depth)
    if special or "\n" in text or "\t" in text or _reads_otherwise(text):
        return _double_quoted(text)
    return text if _can_be_plain(text) else "'" + text.replace("'", "''") + "'"


def _reads_otherwise(text: str) -> bool:
    if not isinstance(plain_scalar(text), str) or text in _OLD_BOOLEANS:
        return True
    return bool(_SEXAGESIMAL.match(text) or _DATE.match(text))


def _can_be_plain(text: str) -> bool:
    if text[0] in _INDICATORS or text[0] == " " or text[-1] == " " or text.startswith(("---", "...")):
        return False
    if text[0] in "?:-" and text[1:2] in ("", " "):
        return False
    return not re.search(r": |:$| #", text)


def _block(text: str, depth: int) -> str:
    margin = "  " * (depth + 1)
    hint = "2" if text[0] in " \n" else ""
    kept = len(text) - len(text.rstrip("\n"))
    chomping = "-" if not kept else "+" if kept > 1 or text == "\n" else ""
    lines = text.removesuffix("\n").split("\n")
    return f"|{hint}{chomping}\n" + "\n".join(margin + line if line else "" for line in lines)


_ESCAPES = {
    "\0": "0", "\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\x1b": "e", '"': '"',
    "\\": "\\", "\x85": "N", "\u2028": "L", "\u2029": "P",
}  # fmt: skip


def _double_quoted(text: str) -> str:
    return '"' + "".join(mark if _is_plain_mark(mark) else "\\" + _escape(mark) for mark in text) + '"'


def _is_plain_mark(mark: str) -> bool:
    return mark not in _ESCAPES and (mark.isprintable() or mark == "\xa0") and ord(mark) < 0x10000


def _escape(mark: str) -> str:
    code = ord(mark)
    if mark in _ESCAPES:
        return _ESCAPES[mark]
    return f"x{code:02X}" if code < 0x100 else f"u{code:04X}" if code < 0x10000 else f"U{code:08X}"
