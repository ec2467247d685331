"""A document against the JSON schema of the compose specification, which lies beside this module.

Knows the keywords of draft 7 that the schema uses, and says the first thing that is wrong with its place. Only
``uniqueItems`` is not a reason to refuse: repeated entries are taken once (``merging``).
"""

from __future__ import annotations

import functools
import os
import re

from engine.client import jsontext
from engine.compose.model.positions import Path, Positions
from engine.compose.project import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Wrong = tuple[Path, str]
_NAMES = {
    "object": "a mapping", "array": "a list", "string": "a string", "integer": "an integer", "number": "a number",
    "boolean": "a boolean", "null": "null",
}  # fmt: skip
_CLASSES: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool}


@functools.cache
def _schema() -> dict[str, Any]:
    with open(os.path.join(os.path.dirname(__file__), "compose-spec.json"), "rb") as file:
        return jsontext.decode(file.read())


def validate(value: Any, positions: Positions) -> None:
    """Raises ComposeError for a document that doesn't conform."""
    wrong = _check(value, _schema(), ())
    if wrong is not None:
        path, problem = wrong
        if not path:
            raise ComposeError(problem)
        raise positions.error(path, problem)


def definition(reference: str) -> dict[str, Any]:
    """What ``#/definitions/NAME`` refers to."""
    return _schema()["definitions"][reference.rpartition("/")[2]]


def service_keys() -> set[str]:
    """The keys that the specification has for a service."""
    return set(_schema()["definitions"]["service"]["properties"])


def _check(value: Any, schema: dict[str, Any], path: Path) -> Wrong | None:
    if (reference := schema.get("$ref")) is not None:
        return _check(value, definition(reference), path)
    if (branches := schema.get("oneOf")) is not None and (wrong := _one_of(value, branches, path)) is not None:
        return wrong
    types = schema.get("type")
    if types is not None:
        types = [types] if isinstance(types, str) else types
        if not any(_is(value, name) for name in types):
            return path, "must be " + " or ".join(_NAMES[name] for name in types if name != "null")
    if "enum" in schema and value not in schema["enum"]:
        return path, "must be one of " + ", ".join(str(choice) for choice in schema["enum"])
    if isinstance(value, dict):
        return _check_mapping(value, schema, path)
    if isinstance(value, list):
        return _check_list(value, schema, path)
    return _check_scalar(value, schema, path)


def _is(value: Any, name: str) -> bool:
    if name == "null":
        return value is None
    if name in _CLASSES:
        return isinstance(value, _CLASSES[name])
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or isinstance(value, float) and (name == "number" or value.is_integer())


def _types_of(schema: dict[str, Any]) -> list[str]:
    """The types that a branch accepts at all."""
    if "$ref" in schema:
        return _types_of(definition(schema["$ref"]))
    if "oneOf" in schema:
        return [name for branch in schema["oneOf"] for name in _types_of(branch)]
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _one_of(value: Any, branches: list[dict[str, Any]], path: Path) -> Wrong | None:
    """The error of the one branch that is of the value's type; of all, which types there are."""
    found = [_check(value, branch, path) for branch in branches]
    if None in found:
        return None
    fitting = [
        wrong for wrong, branch in zip(found, branches, strict=True)
        if any(_is(value, name) for name in _types_of(branch))
    ]  # fmt: skip
    if fitting:
        return max(fitting, key=lambda wrong: len(wrong[0]) if wrong else 0)
    names = dict.fromkeys(name for branch in branches for name in _types_of(branch) if name != "null")
    return path, "must be " + " or ".join(_NAMES[name] for name in names)


def _check_mapping(value: dict[str, Any], schema: dict[str, Any], path: Path) -> Wrong | None:
    for name in schema.get("required", ()):
        if name not in value:
            return path, f"{name} is required"
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    additional = schema.get("additionalProperties", True)
    for key, item in value.items():
        rules = [properties[key]] if key in properties else []
        rules += [rule for pattern, rule in patterns.items() if _compiled(pattern).search(key)]
        if not rules:
            if additional is False:
                return (*path, key), f"is not allowed{_near(key, properties)}"
            rules = [additional] if isinstance(additional, dict) else []
        for rule in rules:
            if (wrong := _check(item, rule, (*path, key))) is not None:
                return wrong
    return None


def _near(key: str, properties: dict[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(key, properties, 1)
    return f": did you mean {near[0]}?" if near else " here"


def _check_list(value: list[Any], schema: dict[str, Any], path: Path) -> Wrong | None:
    rule = schema.get("items")
    for index, item in enumerate(value):
        if rule is not None and (wrong := _check(item, rule, (*path, index))) is not None:
            return wrong
    return None


def _check_scalar(value: Any, schema: dict[str, Any], path: Path) -> Wrong | None:
    if isinstance(value, str):
        pattern = schema.get("pattern")
        if pattern is not None and not _compiled(pattern).search(value):
            return path, f"{value!r} does not match the pattern {pattern}"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            return path, f"must be at least {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            return path, f"must be at most {schema['maximum']}"
    return None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
