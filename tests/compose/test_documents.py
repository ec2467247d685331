"""YAML: what scalars mean, anchors and merges, tags, and what is refused."""

from __future__ import annotations

import builtins
import math
import sys
from typing import Any

import pytest

from engine.compose.project import ComposeError
from engine.compose.reading.documents import documents
from engine.compose.yamltext import dump


def value(text: str) -> Any:
    return documents(text, "file.yaml")[0].value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1", 1), ("+1", 1), ("-12", -12), ("0", 0), ("017", 15), ("0o17", 15), ("0x1F", 31), ("0b11", 3),
        ("1_000", 1000),
        ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("08", 8.0), ("-.inf", -math.inf), ("true", True), ("False", False),
        ("yes", "yes"), ("on", "on"), ("n", "n"), ("~", None), ("null", None), ("", None), ("22:22", "22:22"),
        ("2001-01-01", "2001-01-01"), ("'1'", "1"), ('"true"', "true"), ("1.2.3", "1.2.3"), ("0.0.0.0", "0.0.0.0"),
        ("!!str 1", "1"), ("!!int '1'", 1), ("0x", "0x"), ("1_", 1), ("=", "="),
    ],
)  # fmt: skip
def test_scalars(text: str, wanted: Any) -> None:
    found = value(f"a: {text}")["a"]
    assert found == wanted and type(found) is type(wanted)


def test_merges_and_anchors() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {<<: *x, b: 3, c: 4}\nz: {<<: [*y, {d: 5, a: 9}], c: 6}\n'<<': 1"
    assert value(text) == {"x": {"a": 1, "b": 2}, "y": {"b": 3, "c": 4, "a": 1}, "z": {"c": 6, "b": 3, "a": 1,
     "d": 5}, "<<": 1}


def test_tags_are_taken_out_and_remembered() -> None:
    document = documents("a: !reset 1\nb: {c: !override [1], d: !reset null}\ne: !override 5", "file.yaml")[0]
    assert document.value == {"b": {"c": [1]}, "e": 5}
    assert document.replaced == [("a",), ("b", "c"), ("b", "d"), ("e",)]


def test_places() -> None:
    document = documents("a:\n  b:\n    - c\n    - d: 1\n", "/else/file.yaml")[0]
    assert document.positions.describe(("a", "b", 1, "d")) == "/else/file.yaml:4: "
    assert document.positions.describe(("a", "b", 0, "deeper")) == "/else/file.yaml:3: "
    assert document.positions.describe(("z",)) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: {b", "file.yaml:1: not valid YAML"),
        ("a:\n\tb: 1", "file.yaml:2: not valid YAML"),
        ("a: 1\na: 2", "file.yaml:2: mapping key 'a' already defined"),
        ("a: &x\n  b: *x", "file.yaml:1: an anchor contains its own alias"),
        ("a: *x", "file.yaml:1: not valid YAML: found undefined alias"),
        ("? [a]\n: 1", "file.yaml:1: a key must be a text"),
        ("a: {<<: 1}", "file.yaml:1: map merge requires map"),
        ("a: \x01", "file.yaml:1: not valid YAML"),
        ("~: 1", "file.yaml:1: non-string key"),
    ],
)
def test_refusals(text: str, problem: str) -> None:
    with pytest.raises(ComposeError) as caught:
        value(text)
    assert str(caught.value).startswith(problem)


def test_aliases_of_aliases_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.compose.reading.documents._NODES", 2000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ComposeError, match="more than 2000 nodes"):
        value("\n".join(lines))


def test_without_pyyaml_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def fail(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ComposeError, match="PyYAML is not installed: pip install PyYAML"):
        value("a: 1")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"), ("a: b", "'a: b'"), ("a #b", "'a #b'"), ("#a", "'#a'"), ("- a", "'- a'"), ("-a", "-a"),
        (":a", ":a"), ("a:", "'a:'"), ("yes", '"yes"'), ("y", '"y"'), ("22:22", '"22:22"'),
        ("2001-01-01", '"2001-01-01"'),
        ("0x1F", '"0x1F"'), ("1e3", '"1e3"'), ("=", "="), ("it's", "it's"), ('"q"', "'\"q\"'"), ("a\tb", '"a\\tb"'),
        (" a", "' a'"), ("a ", "'a '"), ("\u00e9", "\u00e9"), ("x\x07y", '"x\\ay"'), ("*a", "'*a'"), ("[a]", "'[a]'"),
        ("a,b", "a,b"), ("", '""'), ("null", '"null"'), ("08", '"08"'), ("---", "'---'"), ("a\\b", "a\\b"),
        ("1.2.3", "1.2.3"),
        ("\U0001f600", '"\\U0001F600"'), ("l1\nl2", "|-\n    l1\n    l2"), ("l1\nl2\n", "|\n    l1\n    l2"),
        ("l\n\n", "|+\n    l\n"),
        ("a \nb", '"a \\nb"'), (" a\nb", "|2-\n     a\n    b"),
    ],
)  # fmt: skip
def test_texts_are_written_as_docker_compose_writes_them(text: str, line: str) -> None:
    written = dump({"k": [text]})
    assert written == f"k:\n  - {line}\n"
    assert value(written) == {"k": [text]}
