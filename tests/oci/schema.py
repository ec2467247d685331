"""As much of JSON schema (draft 4) as the specification's schemas use."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator

FOLDER = Path(__file__).parent / "schemas"
_TYPES = {"string": str, "object": dict, "array": list, "boolean": bool}


@lru_cache
def _document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def resolve(schema: dict[str, Any], document: str) -> tuple[dict[str, Any], str]:
    """Follow ``$ref`` to where it ends: (schema, its document)."""
    while "$ref" in schema:
        name, _, path = schema["$ref"].partition("#")
        document = name or document
        schema = _document(document)
        for part in path.strip("/").split("/"):
            schema = schema[part]
    return schema, document


def load(name: str) -> tuple[dict[str, Any], str]:
    return _document(name), name


def problems(value: Any, schema: dict[str, Any], document: str, where: str = "") -> Iterator[str]:
    """What in ``value`` the schema doesn't allow."""
    schema, document = resolve(schema, document)
    for part in schema.get("allOf") or ():
        yield from problems(value, part, document, where)
    if any_of := schema.get("anyOf"):
        if all(list(problems(value, part, document, where)) for part in any_of):
            yield f"{where}: none of its forms"
    kind = schema.get("type")
    if kind == "integer":
        if type(value) is not int or not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{where}: {value!r}"
    elif kind in _TYPES and type(value) is not _TYPES[kind]:
        yield f"{where}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} is not like {schema['pattern']}"
    if isinstance(value, dict):
        yield from (f"{where}.{name} is missing" for name in schema.get("required") or () if name not in value)
        for name, item in value.items():
            if part := (schema.get("properties") or {}).get(name) or schema.get("additionalProperties"):
                yield from problems(item, part, document, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], document, f"{where}[{index}]")
