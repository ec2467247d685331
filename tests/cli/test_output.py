"""Tables, JSON text, and what must never reach a terminal raw (T30)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from engine.cli.output import printable, quoted
from engine.cli.ports import describe_ports
from engine.cli.table import layout
from engine.client import jsontext

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31mred\x7f\r\n\t\u202egnp\u2028"


def test_control_characters_are_spelled_out() -> None:
    shown = printable(HOSTILE)
    assert shown == r"\x1b]0;owned\x07\x1b[2J\x9b31mred\x7f\r\n\t\u202egnp\u2028"
    assert shown.isprintable()


def test_ordinary_text_stays() -> None:
    assert printable("Grüße, 世界 🐳") == "Grüße, 世界 🐳"


def test_bytes_that_are_no_text_are_spelled_as_bytes() -> None:
    assert printable(b"a\xff".decode("utf-8", "surrogateescape")) == r"a\xff"


def test_some_can_be_kept() -> None:
    assert printable("a\tb\n\x1b", keep="\n\t") == "a\tb\n\\x1b"


def test_quoting() -> None:
    assert quoted('sh -c "a\\b\n"') == r'"sh -c \"a\\b\n\""'


def test_columns_are_ten_wide_or_three_apart() -> None:
    rows = [("ID", "NAMES", "STATUS"), ("3f2a9b7c1d2e", "x", "Up"), ("1", "twenty characters    ", "Exited")]
    assert layout(rows) == (
        "ID             NAMES                   STATUS\n"
        "3f2a9b7c1d2e   x                       Up\n"
        "1              twenty characters       Exited\n"
    )
    assert layout([("A", "B")]) == "A         B\n"
    assert layout([("#", "UID", "B")], 4, 2) == "#   UID  B\n"


def test_a_table_has_one_line_a_row_whatever_is_in_it() -> None:
    assert layout([("NAME", "X"), (HOSTILE, HOSTILE)]).count("\n") == 2
    assert "\x1b" not in layout([(HOSTILE, HOSTILE)])


@pytest.mark.parametrize(
    ("ports", "shown"),
    [
        ([], ""),
        ([{"PrivatePort": 443, "Type": "tcp"}], "443/tcp"),
        (
            [
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8000, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 81, "PublicPort": 8001, "Type": "tcp"},
                {"IP": "::", "PrivatePort": 80, "PublicPort": 8000, "Type": "tcp"},
                {"PrivatePort": 443, "Type": "tcp"},
                {"PrivatePort": 53, "Type": "udp"},
            ],
            "0.0.0.0:8000-8001->80-81/tcp, [::]:8000->80/tcp, 443/tcp, 53/udp",
        ),
        ([{"PrivatePort": 90, "Type": "tcp"}, {"PrivatePort": 91, "Type": "tcp"}], "90-91/tcp"),
        (
            [
                {"IP": "1.2.3.4", "PrivatePort": 80, "PublicPort": 9000, "Type": "tcp"},
                {"IP": "1.2.3.4", "PrivatePort": 81, "PublicPort": 9002, "Type": "tcp"},
            ],
            "1.2.3.4:9000->80/tcp, 1.2.3.4:9002->81/tcp",
        ),
    ],
)
def test_ports(ports: list[dict[str, Any]], shown: str) -> None:
    assert describe_ports(ports) == shown


# --- JSON ------------------------------------------------------------------------------------------------------------


def any_value(random_source: random.Random, depth: int = 3) -> Any:
    """Some value that JSON can hold."""
    kind = random_source.randrange(8 if depth else 6)
    if kind == 6:
        return [any_value(random_source, depth - 1) for _ in range(random_source.randrange(4))]
    if kind == 7:
        return {any_text(random_source): any_value(random_source, depth - 1) for _ in range(random_source.randrange(4))}
    numbers = [random_source.randrange(-(2**60), 2**60), random_source.random()]
    return [None, True, False, *numbers, any_text(random_source)][kind]


def any_text(random_source: random.Random) -> str:
    return "".join(random_source.choice('a"\\/\b\n\x1f é世🐳{}[],: ') for _ in range(random_source.randrange(8)))


@pytest.mark.parametrize("seed", range(40))
def test_json_agrees_with_the_library(seed: int) -> None:
    value = any_value(random.Random(seed))
    for ascii_only in (True, False):
        assert json.loads(jsontext.encode(value, ascii_only=ascii_only)) == value
    assert jsontext.encode(value, sort_keys=True) == json.dumps(value, separators=(",", ":"), sort_keys=True)
    assert jsontext.decode(json.dumps(value, indent=1)) == value
    text = json.dumps(value)
    assert jsontext.indent(text) == json.dumps(value, indent=4)


@pytest.mark.parametrize("text", ["", "{", '{"a":}', "nope", "1 2", "[1,]", '"\\x"', '{"a":1}}'])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.decode(text)


def test_indent_keeps_the_spelling() -> None:
    assert jsontext.indent('{"a":"\\u003c\\"\\\\","b":1.50,"c":[ ],"d":{}}') == (
        '{\n    "a": "\\u003c\\"\\\\",\n    "b": 1.50,\n    "c": [],\n    "d": {}\n}'
    )
