"""Names that are made up, and moments that users write."""

from __future__ import annotations

import random
import re

import pytest

from engine.domain.errors import InvalidArgument
from engine.services.as_of import parse_time_us
from engine.services.names import check_name, random_name
from simulation.fakes import SeededRandomness

NOW_US = 1_800_000_000_000_000


def test_random_names_are_dockers_form_and_free() -> None:
    dice = SeededRandomness(random.Random(1))
    taken: set[str] = set()
    for _ in range(500):
        name = random_name(dice, taken.__contains__)
        assert name not in taken and re.fullmatch(r"[a-z]+_[a-z]+\d*", name)
        taken.add(name)


@pytest.mark.parametrize("name", ["web", "/web", "Web-1.x_y", "a0"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", "-x", "a b", "a/b", "ä1", "x\x1b[31m", "../etc"])
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_name(name)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-11-23T10:00:00Z", 1_795_428_000_000_000),
        ("2026-11-23T10:00:00", 1_795_428_000_000_000),
        ("2026-11-23T11:00:00+01:00", 1_795_428_000_000_000),
        ("2026-11-23T10:00:00.123456789Z", 1_795_428_000_123_456),
        ("2026-11-23", 1_795_392_000_000_000),
        ("1795428000", 1_795_428_000_000_000),
        ("1795428000.5", 1_795_428_000_500_000),
        ("2h", NOW_US - 7_200_000_000),
        ("1h30m", NOW_US - 5_400_000_000),
        ("250ms", NOW_US - 250_000),
    ],
)
def test_moments(text: str, expected: int) -> None:
    assert parse_time_us(text, NOW_US) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "-5m", "5", "5 m"])
def test_no_moments(text: str) -> None:
    if text == "5":
        assert parse_time_us(text, NOW_US) == 5_000_000
        return
    with pytest.raises(InvalidArgument):
        parse_time_us(text, NOW_US)
