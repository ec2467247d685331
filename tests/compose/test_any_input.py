"""Whatever fits the schema is either loaded or refused in one line; what is loaded can be printed and read again."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.compose.hashes import config_hash
from engine.compose.loader import load
from engine.compose.model import schema
from engine.compose.printing import json_text, raw_text, yaml_text
from engine.compose.project import ComposeError, LoadOptions

TEXTS = """a|x:y|a=b|./p|/abs/x|80|true|1m|10s|${A:-z}|a b|"|:|-|n|db|service:db|container:x|no|~|é|0|-1|1.5|a:b:c:d
1|80:80|1-3|[::1]:1:2|host|none|A=|..|*|*a|!|{|%|9x""".replace("\n", "|").split("|")
ODD: list[Any] = [None, [], {}, "", 0, True, 1.5, ["a"], {"a": None}, "x\ny"]
ROUNDS = 150


def generated(random: Random, rule: dict[str, Any], depth: int = 0) -> Any:
    """A value that fits a rule of the schema, and seldom one that doesn't."""
    if "$ref" in rule:
        return generated(random, schema.definition(rule["$ref"]), depth)
    if "oneOf" in rule:
        return generated(random, random.choice(rule["oneOf"]), depth)
    if random.random() < 0.02:
        return random.choice(ODD)
    if "enum" in rule:
        return random.choice(rule["enum"])
    kind = rule.get("type", "string")
    kind = random.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        return generated_mapping(random, rule, depth)
    if kind == "array":
        items = rule.get("items", {"type": "string"})
        return [generated(random, items, depth + 1) for _ in range(random.randint(0, 3))]
    choices: dict[str, list[Any]] = {
        "string": TEXTS, "integer": [0, 1, -1, 80, 2**40], "number": [0, 0.5, -1, 1e9], "boolean": [True, False],
        "null": [None],
    }  # fmt: skip
    return random.choice(choices[kind])


def generated_mapping(random: Random, rule: dict[str, Any], depth: int) -> dict[str, Any]:
    found = {}
    for key, inner in rule.get("properties", {}).items():
        if key in rule.get("required", ()) or random.random() < (0.03 if depth == 0 else 0.3):
            found[key] = generated(random, inner, depth + 1)
    for pattern, inner in rule.get("patternProperties", {}).items():
        for _ in range(random.randint(0, 2)):
            key = "x-q" if pattern == "^x-" else random.choice(["n", "db", "a"])
            found[key] = generated(random, inner or {"type": "string"}, depth + 1)
    return found


def test_any_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = 0
    for seed in range(ROUNDS):
        random = Random(seed)
        service = {"image": "bb", **generated_mapping(random, schema.definition("#/definitions/service"), 0)}
        text = json.dumps({"services": {"web": service, "db": {"image": "bb"}}, "networks": {"n": None, "a": None}})
        Path("compose.yaml").write_text(text)
        try:
            project = load(LoadOptions(environment={"HOME": "/h"}, profiles=("*",)))
        except ComposeError as error:
            assert "\n" not in str(error) and str(error), text
            continue
        loaded += 1
        assert config_hash(project.model["services"]["web"]) and json.loads(json_text(project.model)), text
        Path("again.yaml").write_text(yaml_text(project.model))
        again = load(LoadOptions(files=("again.yaml",), environment={"HOME": "/h"}, profiles=("*",)))
        assert again.model == project.model, text
    assert loaded > ROUNDS / 20


def test_any_input_without_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(ROUNDS, ROUNDS * 2):
        service = generated(Random(seed), schema.definition("#/definitions/service"))
        Path("compose.yaml").write_text(json.dumps({"services": {"web": service}}))
        try:
            project = load(LoadOptions(interpolate=False))
        except ComposeError as error:
            assert "\n" not in str(error)
            continue
        assert raw_text(project.model, "yaml") and raw_text(project.model, "json")
