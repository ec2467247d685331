"""Numbers as runc's flags take them: sizes with a unit, times with a unit, signals by name."""

from __future__ import annotations

import signal

from engine.oci.handing_over import Failed

_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_TIMES_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def size_bytes(text: str, flag: str) -> int:
    """``512m``, ``1.5G``, ``-1``. Raises Failed."""
    lower = text.strip().lower()
    number = lower.rstrip("bkmgtpi")
    unit = lower[len(number) :].removesuffix("b").removesuffix("i")
    try:
        return int(float(number) * _SIZES[unit]) if unit or "." in number else int(number)
    except (ValueError, KeyError, OverflowError) as error:
        raise Failed(f"{flag}: {text!r} is not a size") from error


def whole(text: str, flag: str) -> int:
    """Raises Failed."""
    try:
        return int(text)
    except ValueError as error:
        raise Failed(f"{flag}: {text!r} is not a whole number") from error


def seconds(text: str, flag: str) -> float:
    """``5s``, ``500ms``, ``1m30s``. Raises Failed."""
    total, number, rest = 0.0, "", text
    try:
        while rest:
            number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
            rest = rest[len(number) :]
            unit = rest[: len(rest) - len(rest.lstrip("hms"))]
            rest = rest[len(unit) :]
            total += float(number) * _TIMES_S[unit]
    except (ValueError, KeyError) as error:
        raise Failed(f"{flag}: {text!r} is not a time such as 5s or 500ms") from error
    if total <= 0:
        raise Failed(f"{flag}: it must be longer than nothing")
    return total


def signal_number(text: str) -> int:
    """``9``, ``KILL``, ``SIGKILL``, ``SIGRTMIN+3``. Raises Failed."""
    if text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    name, plus, more = text.upper().removeprefix("SIG").partition("+")
    found = getattr(signal, f"SIG{name}", None)
    number = int(found) if isinstance(found, signal.Signals) else 0
    if plus:
        number = number + int(more) if number == signal.SIGRTMIN and more.isdecimal() else 0
    if not 1 <= number <= 64:
        raise Failed(f"unknown signal {text!r}")
    return number
