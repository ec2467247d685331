"""The functions of a template: Go's own, and those that Docker adds (json, join, split, upper, truncate, ...)."""

from __future__ import annotations

from engine.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class NilList(list):
    """A list that is null in JSON: Go shows an empty one, and null again as JSON."""


class NilMap(dict):
    """The same for a map."""


class NilPointer:
    """A pointer that leads nowhere."""

    def __bool__(self) -> bool:
        return False


def is_true(value: Any) -> bool:
    """Go's truth: not false, zero, nil or empty."""
    return bool(value)


def show_value(value: Any, *, top: bool = False) -> str:
    """A value as fmt.Print shows it."""
    if value is None:
        return "<no value>" if top else "<nil>"
    if isinstance(value, NilPointer):
        return "<nil>"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show_value(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(show_value, value)) + "]"
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _float(value: float) -> str:
    """Go's %v: the shortest digits, an exponent from 1e21 on."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def _json(value: Any) -> str:
    if isinstance(value, (NilList, NilMap, NilPointer)):
        return "null"
    if getattr(value, "kind", ""):  # a row: what has a name, in the order of the names
        plain = {name: item for name, item in value.items() if not callable(item)}
        shown = jsontext.encode(plain, ascii_only=False, sort_keys=True)
        return shown.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")  # as Go's json.Marshal
    return jsontext.encode(value, ascii_only=False)


def _entry(value: dict[str, Any], key: Any) -> Any:
    """Of a map of texts what isn't there is "", as of Go's map[string]string; of others it is nothing."""
    if key in value:
        return NilList() if value[key] is None else value[key]
    return "" if all(isinstance(item, str) for item in value.values()) else None


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = _entry(value, key)
        elif isinstance(value, (list, str)) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        elif value is None:
            raise ValueError("index of untyped nil")
        else:
            raise ValueError(f"can't index item of type {type(value).__name__}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start, end = (*bounds, len(value))[:2] if bounds else (0, len(value))
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"index out of range: {end}")
    return value[start:end]


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    return any(_same_kind(first, other) and first == other for other in others)


def _same_kind(one: Any, other: Any) -> bool:
    if isinstance(one, bool) != isinstance(other, bool) or isinstance(one, str) != isinstance(other, str):
        if one is not None and other is not None:
            raise ValueError("incompatible types for comparison")
    return True


def _less(one: Any, other: Any) -> bool:
    _same_kind(one, other)
    return one < other


def _and(*values: Any) -> Any:
    return next((value for value in values if not is_true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if is_true(value)), values[-1])


def _print(*values: Any) -> str:
    """Spaces only between operands of which neither is a string, as fmt.Sprint does."""
    shown = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            shown += " "
        shown += show_value(value)
    return shown


def _println(*values: Any) -> str:
    return " ".join(map(show_value, values)) + "\n"


def _printf(format: str, *values: Any) -> str:
    """fmt.Sprintf with %v %s %d %q %t %f %x and their widths; Go's marks where operands and verbs don't fit."""
    pieces, rest, left = [], format, list(values)
    while rest:
        text, found, rest = rest.partition("%")
        pieces.append(text)
        if not found:
            break
        size = len(rest) - len(rest.lstrip("+-# 0123456789."))
        spec, verb, rest = rest[:size], rest[size : size + 1], rest[size + 1 :]
        if verb == "%":
            pieces.append("%")
        elif not left:
            pieces.append(f"%!{verb}(MISSING)")
        else:
            pieces.append(_verb(spec, verb, left.pop(0)))
    return "".join(pieces)


def _verb(spec: str, verb: str, value: Any) -> str:
    if verb in ("v", "s", "t"):
        return f"%{spec}s" % show_value(value)
    if verb == "q":
        from engine.cli.output import quoted

        return f"%{spec}s" % quoted(show_value(value))
    if verb in ("d", "x", "X", "o") and isinstance(value, int) or verb in ("f", "g", "e") and isinstance(value, float):
        return f"%{spec}{verb}" % value
    return f"%!{verb}({show_value(value)})"


def _join(values: list[Any], separator: str = "") -> str:
    return separator.join(map(show_value, values or ()))


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else ""


def _title(text: str) -> str:
    return "".join(
        mark.upper() if at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_") else mark
        for at, mark in enumerate(text)
    )


_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _html(*values: Any) -> str:
    return "".join(_HTML.get(mark, mark) for mark in _print(*values))


def _js(*values: Any) -> str:
    return "".join(
        _JS.get(mark, mark) if mark.isprintable() else f"\\u{ord(mark):04X}" for mark in _print(*values)
    )


def _urlquery(*values: Any) -> str:
    from engine.client.api import quote

    quoted = quote(_print(*values)).replace("%20", "+")
    return quoted.replace("/", "%2F").replace(":", "%3A").replace("@", "%40")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "eq": _equal,
    "ge": lambda one, other: not _less(one, other),
    "gt": lambda one, other: _less(other, one),
    "html": _html,
    "index": _index,
    "join": _join,
    "js": _js,
    "json": _json,
    "le": lambda one, other: not _less(other, one),
    "len": len,
    "lower": str.lower,
    "lt": _less,
    "ne": lambda one, other: not _equal(one, other),
    "not": lambda value: not is_true(value),
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": _println,
    "slice": _slice,
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "title": _title,
    "truncate": lambda text, limit: text[:limit],
    "upper": str.upper,
    "urlquery": _urlquery,
}
