"""Answers of the API against Docker's own description of it (docker-api-1.47.json, which says where it is from).

``violations`` is asked by the client of the tests (``support.connection.ask``) about every answer that goes by, so that
every test of the API is a test of its shape as well. The description is a Swagger 2.0 document; of its language what
the document uses is understood here, and nothing else.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, Iterator, Mapping

DOCUMENT = Path(__file__).with_name("docker-api-1.47.json")
VERSION = "/v1.47"

MORE_FIELDS = {
    "SystemInfo": {"Docket"},  # our own facts, under one name
    "": {"Docket"},  # of answers without a name of their own: GET /system/df
    "ImageInspect": {"ContainerConfig"},  # docker-compose 1.29 relies on it
    "PushImageInfo": {"aux"},
    "EventMessage": {"status", "id", "from"},  # of before API 1.22; Docker goes on sending them, and clients read them
}
"""Definition -> fields that it doesn't name and that are right all the same."""

MAY_BE_NULL = {"MemorySwappiness", "PidsLimit", "OomKillDisable", "Init"}
"""Fields that Docker shows as null where nobody set them, whatever the description says."""

_JSON_LINES = {"GET /events": {"$ref": "EventMessage"}, "POST /build": {"$ref": "BuildInfo"},
               "POST /images/create": {"$ref": "CreateImageInfo"},
               "POST /images/{name}/push": {"$ref": "PushImageInfo"},
               "GET /containers/{id}/stats": {"type": "object"}}  # fmt: skip
"""Operations whose answer is one document a line; the description names their types, if at all, only in words."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict, "array": list,
}  # fmt: skip


@functools.cache
def document() -> dict[str, Any]:
    return json.loads(DOCUMENT.read_text())


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str], str]]:
    """Method, pattern of the path, name of the operation; fixed paths first."""
    found = []
    for name in sorted(document()["operations"], key=lambda name: name.count("{")):
        method, _, path = name.partition(" ")
        body = re.escape(path).replace(r"\{name\}", "(?:.+)").replace(r"\{id\}", "(?:[^/]+)")
        found.append((method, re.compile(body), name))
    return found


def operation_of(method: str, path: str) -> str | None:
    """The operation that a request of the newest version means; None for other versions and paths of our own."""
    bare = path.partition("?")[0].removeprefix(VERSION)
    if bare.startswith("/v1."):
        return None
    return next((name for verb, pattern, name in _patterns() if verb == method and pattern.fullmatch(bare)), None)


def violations(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """What of an answer is not as Docker describes it, a line each."""
    name = operation_of(method, path)
    if name is None:
        return []
    declared = document()["operations"][name]["responses"]
    found = [f"{name} {status}: {one}" for one in _answer(name, declared, status, headers, body)]
    return found


def _answer(
    name: str, declared: dict[str, Any], status: int, headers: Mapping[str, str], body: bytes
) -> Iterator[str]:
    described = declared.get(str(status))
    if described is None and status < 400:
        yield "a status that Docker's never has"
        return
    lower = {header.lower() for header in headers}
    yield from (f"no header {one}" for one in (described or {}).get("headers", ()) if one.lower() not in lower)
    if name.startswith("HEAD"):
        return
    schema = {"$ref": "ErrorResponse"} if status >= 400 else (described or {}).get("schema")
    if status == 200 and name in _JSON_LINES:
        for line in body.splitlines():
            yield from check(json.loads(line), _JSON_LINES[name])
    elif schema and schema != {"type": "string", "format": "binary"} and schema.get("type") != "string":
        kind = headers.get("Content-Type", "")
        if kind.partition(";")[0] != "application/json":
            yield f"Content-Type {kind!r} for JSON"
        else:
            yield from check(json.loads(body), schema)


def check(value: Any, schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Where ``value`` is not what ``schema`` says. Null stands for an empty list or map, as in all that Go writes."""
    while "$ref" in schema or "allOf" in schema:
        schema = _joined(schema) if "allOf" in schema else _named(schema["$ref"])
    kind = schema.get("type", "object" if "properties" in schema else None)
    if value is None:
        if not schema.get("x-nullable") and kind not in ("array", "object"):
            yield f"{place or 'the whole'} is null"
        return
    if kind and (not isinstance(value, _TYPES[kind]) or kind in ("integer", "number") and isinstance(value, bool)):
        yield f"{place or 'the whole'} is a {type(value).__name__}, not {kind}: {str(value)[:60]}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} is {value!r}, none of {schema['enum']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from check(item, schema.get("items", {}), f"{place}[{number}]")
    elif isinstance(value, dict):
        yield from _check_object(value, schema, place)


def _check_object(value: dict[str, Any], schema: dict[str, Any], place: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from (f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, item in value.items():
        if item is None and name in MAY_BE_NULL:
            continue
        if name in known:
            yield from check(item, known[name], f"{place}.{name}")
        elif isinstance(others, dict):
            yield from check(item, others, f"{place}.{name}")
        elif known and not others and name not in MORE_FIELDS.get(schema.get("x-name", ""), ()):
            yield f"{place}.{name} is no field of Docker's"


def _named(name: str) -> dict[str, Any]:
    return {**document()["definitions"][name], "x-name": name}


def _joined(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema for all of ``allOf``."""
    if len(schema["allOf"]) == 1:
        return schema["allOf"][0]
    joined: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in schema["allOf"]:
        while "$ref" in part or "allOf" in part:
            part = _joined(part) if "allOf" in part else _named(part["$ref"])
        joined["properties"] |= part.get("properties", {})
        joined["required"] += part.get("required", ())
    return joined
