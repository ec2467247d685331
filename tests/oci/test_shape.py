"""What is read of a config.json, and what is printed, against the specification's own schemas."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from engine.oci import features, shape
from engine.oci.bundle import cgroup_path
from engine.runtime.setup import refuse_unknown

from schema import load, problems, resolve  # type: ignore[import-not-found]

NOT_READ = {
    "solaris", "windows", "vm", "zos", "freebsd", "process.commandLine", "process.execCPUAffinity",
    "linux.netDevices", "linux.intelRdt", "linux.memoryPolicy",
}  # fmt: skip
"""Other systems', and what is refused by its name."""
_WORDS = {"string": shape.TEXT, "integer": shape.NUMBER, "boolean": shape.FLAG}


def differences(schema: dict[str, Any], document: str, ours: Any, where: str = "") -> Iterator[str]:
    if where in NOT_READ:
        return
    schema, document = resolve(schema, document)
    properties = dict(schema.get("properties") or {})
    required = set(schema.get("required") or ())
    for part in schema.get("allOf") or ():
        part, _ = resolve(part, document)
        properties |= part.get("properties") or {}
        required |= set(part.get("required") or ())
    if forms := schema.get("anyOf"):
        yield from differences(forms[0], document, ours, where)
    elif (kind := schema.get("type")) in _WORDS:
        if ours != _WORDS[kind]:
            yield f"{where}: {ours}"
    elif kind == "array":
        if not isinstance(ours, list):
            yield f"{where}: {ours} is no list"
        else:
            yield from differences(schema["items"], document, ours[0], f"{where}[]")
    elif "additionalProperties" in schema or "patternProperties" in schema:
        item = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
        yield from differences(item, document, ours["*"], f"{where}.*")
    else:
        names = {name.rstrip("!"): value for name, value in ours.items()}
        if where:
            yield from (f"{where}.{name}: required" for name in required if f"{name}!" not in ours)
            more = {name[:-1] for name in ours if name.endswith("!")} - required
            yield from (f"{where}.{name}: not required" for name in more)
        for name, item in properties.items():
            below = f"{where}.{name}" if where else name
            if below not in NOT_READ:
                if name not in names:
                    yield f"{below} is not read"
                else:
                    yield from differences(item, document, names[name], below)


def test_the_table_is_the_schemas() -> None:
    assert not list(differences(*load("config-schema.json"), shape.CONFIG))


def test_what_is_printed_is_valid() -> None:
    assert not list(problems(features.example(), *load("config-schema.json")))
    assert not list(problems(features.features(), *load("features-schema.json")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"process": {"cwd": "/", "args": "sh"}}, "process.args: it must be a list"),
        ({"process": {"cwd": "/", "args": ["sh", 1]}}, "process.args[1]: it must be a text"),
        ({"process": {"args": ["sh"]}}, "process.cwd: it is missing"),
        ({"root": None}, "root: it is missing"),
        ({"mounts": [{"destination": 7}]}, "mounts[0].destination"),
        ({"linux": {"resources": {"memory": {"limit": True}}}}, "linux.resources.memory.limit: it must be a whole"),
        ({"linux": {"namespaces": {"type": "pid"}}}, "linux.namespaces: it must be a list"),
        ({"hooks": {"poststop": [{"args": []}]}}, "hooks.poststop[0].path: it is missing"),
    ],
)
def test_a_wrong_type_is_told_by_its_property(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OSError) as raised:
        shape.check({**features.example(), **change}, shape.CONFIG, "")
    assert f"{raised.value.filename}: {raised.value.strerror}".startswith(message)


@pytest.mark.parametrize("field", sorted(NOT_READ & {"linux.netDevices", "linux.intelRdt", "linux.memoryPolicy"}))
def test_later_fields_are_refused_by_name(field: str) -> None:
    section, _, name = field.partition(".")
    with pytest.raises(OSError) as raised:
        refuse_unknown({section: {name: {"x": "y"}}})
    assert raised.value.filename == field


@pytest.mark.parametrize(
    ("wanted", "path"),
    [("", "docket-runtime/id"), ("/a/b", "a/b"), ("/a//./b/", "a/b"), ("a/b", "docket-runtime/a/b"), ("/", None),
     ("/a/../..", None), ("a.slice:docker:x", None)],
)  # fmt: skip
def test_both_forms_of_cgroups_path(wanted: str, path: str | None) -> None:
    if path is None:
        with pytest.raises(OSError):
            cgroup_path("id", wanted)
    else:
        assert cgroup_path("id", wanted) == path
