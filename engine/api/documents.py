"""JSON that comes in, bounded in size, depth and time, and JSON that goes out."""

from __future__ import annotations

import json
import time
from typing import Any

from engine.api.wire import Body
from engine.domain.errors import InvalidArgument

BODY_BYTES = 4 * 1024 * 1024
BODY_S = 60.0
DEPTH = 64


def encode(value: Any) -> bytes:
    """Compact JSON and a line feed, as Docker ends every document."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_limited(body: Body) -> bytes:
    """A small body whole. Raises InvalidArgument where it is larger than a document may be."""
    body.deadline = time.monotonic() + BODY_S
    if (body.length or 0) > BODY_BYTES:
        raise InvalidArgument(f"the request's body is larger than {BODY_BYTES} bytes")
    if body.finished:
        return b""
    whole = bytearray()
    while chunk := body.read(65536):
        whole += chunk
        if len(whole) > BODY_BYTES:
            raise InvalidArgument(f"the request's body is larger than {BODY_BYTES} bytes")
    return bytes(whole)


def platform_name(text: str) -> str:
    """``os/architecture[/variant]``. Clients send a platform as JSON since API 1.48, and some as text."""
    if not text.startswith("{"):
        return text
    values = parse_json_object(text)
    return "/".join(filter(None, (str(values.get(key) or "") for key in ("os", "architecture", "variant"))))


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON of bounded depth, without NUL characters and lone surrogates, which no path, argument or
    environment can hold. Raises InvalidArgument."""
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        if text.count("{") + text.count("[") > DEPTH and _depth(text) > DEPTH:
            raise InvalidArgument(f"invalid JSON: nested deeper than {DEPTH} levels")
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error
    if "\\u" in text and not _is_clean(value):
        raise InvalidArgument("invalid JSON: a string holds a NUL character or half of a surrogate pair")
    return value


def parse_json_object(raw: bytes | str) -> dict[str, Any]:
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise InvalidArgument("invalid JSON: an object is expected")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth(text: str) -> int:
    """The deepest nesting, brackets inside strings left out."""
    deepest = depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}]":
            depth -= 1
    return deepest


def _is_clean(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, list):
        return all(map(_is_clean, value))
    if isinstance(value, dict):
        return all(_is_clean(key) and _is_clean(item) for key, item in value.items())
    return True
