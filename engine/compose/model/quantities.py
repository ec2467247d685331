"""Durations, sizes and numbers as compose files write them, and as Docker Compose prints them."""

from __future__ import annotations

import re

_NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9, "w": 7 * 24 * 3600 * 10**9,
}  # fmt: skip
_DURATION = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)"
_SIZE = r"(\d+(?:\.\d+)?) ?([kmgtp]?)(i?b)?$"
"""Patterns are compiled where they are first used: most files need few of them, and each takes a millisecond."""
_UNITS = " kmgtp"


def nanoseconds(text: str) -> int:
    """A duration such as ``1m30s`` or ``1.5h`` in nanoseconds. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    while match := re.compile(_DURATION).match(rest, at):
        whole, _, fraction = match.group(1).partition(".")
        unit = _NANOSECONDS[match.group(2)]
        total += int(whole or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        at = match.end()
    if not rest or at != len(rest):
        raise ValueError(f'invalid duration "{text}"')
    return sign * total


def duration_text(value_ns: int) -> str:
    """As Go prints a duration: 1m30s, 1h0m0s, 1.5s, 200ms, 0s."""
    if value_ns < 0:
        return "-" + duration_text(-value_ns)
    if value_ns < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if value_ns >= size:
                return _decimal(value_ns, size) + unit
        return "0s"
    minutes, rest_ns = divmod(value_ns, 60 * 10**9)
    seconds = _decimal(rest_ns, 10**9) + "s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0") if rest else str(whole)


def byte_count(text: str) -> int:
    """A size such as ``64m``, ``1.5gb`` or ``512`` in bytes; units are powers of 1024. Raises ValueError."""
    match = re.match(_SIZE, text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** _UNITS.index(unit.lower() or " "))


def boolean(text: str) -> bool:
    """A text where a boolean belongs, as Docker Compose reads it. Raises ValueError."""
    lowered = text.lower()
    if lowered in ("true", "1", "t", "y", "yes", "on"):
        return True
    if lowered in ("false", "0", "f", "n", "no", "off"):
        return False
    raise ValueError(f'"{text}" is not a valid boolean')
