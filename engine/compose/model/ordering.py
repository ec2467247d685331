"""The order in which YAML of Docker Compose lists the names of a mapping: numbers in them count as numbers, and what is
no letter comes before letters."""

from __future__ import annotations

import functools
import itertools
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

_NUMBER = r"\d+"


def natural_order(names: Iterable[str]) -> list[str]:
    """The names, web2 before web10."""
    return sorted(names, key=functools.cmp_to_key(_compare))


def _compare(one: str, other: str) -> int:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return len(one) - len(other)
    letters = one[at].isalpha(), other[at].isalpha()
    if letters == (True, True):
        return -1 if one[at] < other[at] else 1
    if any(letters):
        after_digit = at > 0 and one[at - 1].isdigit()
        return -1 if letters[0] == after_digit else 1
    return _compare_numbers(one, other, at)


def _compare_numbers(one: str, other: str, at: int) -> int:
    """By the numbers that begin where the names part; one before them that isn't 0 makes zeros count."""
    before = itertools.takewhile(str.isdigit, reversed(one[:at]))
    lead = "1" if "0" in (one[at], other[at]) and any(digit != "0" for digit in before) else ""
    texts = [lead + (match.group() if (match := re.compile(_NUMBER).match(name, at)) else "") for name in (one, other)]
    keys = [(int(text or 0), len(text), name[at]) for text, name in zip(texts, (one, other), strict=True)]
    return -1 if keys[0] < keys[1] else 1
