"""Durations and moments as Docker's clients read them: "1h30m", RFC 3339 with parts left out, unix seconds.

Go's time.ParseDuration, and GetTimestamp of Docker's API client. Without the datetime module, which starts slowly.
"""

from __future__ import annotations

import time

_NANOSECONDS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_NUMBER = "0123456789."


def duration_ns(text: str) -> int:
    """Go's duration in nanoseconds: "300ms", "-1.5h", "2h45m", "0". Raises ValueError with Go's words."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip(_NUMBER))]
        rest = rest[len(number) :]
        unit = rest[: next((at for at, mark in enumerate(rest) if mark in _NUMBER), len(rest))]
        rest = rest[len(unit) :]
        whole, _, fraction = number.partition(".")
        if not (whole or fraction) or "." in fraction:
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _NANOSECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        scale = _NANOSECONDS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
    return sign * total


def moment_to_unix(text: str, now_s: float | None = None) -> str:
    """A moment as the engine takes it, unix seconds with nanoseconds: RFC 3339 (parts may be left out, then it is
    local time), unix seconds, or a duration that is counted back from now. Raises ValueError."""
    try:
        ago_ns = duration_ns(text)
    except ValueError:
        pass  # a date, then
    else:
        now_ns = time.time_ns() if now_s is None else round(now_s * 1e9)
        return _seconds(now_ns - ago_ns) if text != "0" else "0"
    whole, dot, fraction = text.partition(".")
    if whole.isdecimal() and (fraction.isdecimal() or not dot):
        return text
    if "-" not in text[1:]:
        raise ValueError(f'failed to parse value as time or duration: "{text}"')
    return _seconds(_rfc3339_ns(text))


def place_of(text: str) -> str:
    """A moment, or ``seq:12``, which is the engine's own way to name an event. Raises ValueError."""
    return text if text.startswith("seq:") and text[4:].isdecimal() else moment_to_unix(text)


def _seconds(ns: int) -> str:
    return f"{ns // 1_000_000_000}.{ns % 1_000_000_000:09d}"


def _rfc3339_ns(text: str) -> int:
    """Nanoseconds since the epoch of "2006-01-02[T15[:04[:05[.999]]]][Z|+07:00]"."""
    date, _, clock = text.partition("T")
    clock, offset_s = _split_zone(clock) if clock else _split_date_zone(date)
    date = date[:10]
    try:
        year, month, day = (_field(part) for part in date.split("-"))
        clock, _, fraction = clock.partition(".")
        parts = [_field(part) for part in clock.split(":")] if clock else []
        hour, minute, second = (*parts, 0, 0, 0)[:3]
        valid = 1 <= month <= 12 and 1 <= day <= _days_in(year, month) and hour < 24 and minute < 60 and second < 60
        if not valid or len(parts) > 3:
            raise ValueError
        nanoseconds = int(fraction.ljust(9, "0")[:9]) if fraction else 0
    except ValueError as error:
        raise ValueError(f'parsing time "{text}": use 2006-01-02T15:04:05Z, unix seconds or a duration') from error
    if offset_s is None:
        local = time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
        return int(local) * 1_000_000_000 + nanoseconds
    days = days_from_civil(year, month, day)
    return (days * 86400 + hour * 3600 + minute * 60 + second - offset_s) * 1_000_000_000 + nanoseconds


def unix_ns(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time as engines write it. Raises ValueError."""
    return _rfc3339_ns(text)


def _field(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text} is no number")
    return int(text)


def _split_zone(clock: str) -> tuple[str, int | None]:
    """Time of day and its offset from UTC in seconds; None for local time."""
    if clock.endswith(("Z", "z")):
        return clock[:-1], 0
    for sign, direction in (("+", 1), ("-", -1)):
        rest, found, zone = clock.rpartition(sign)
        if found:
            hours, _, minutes = zone.partition(":")
            if not (hours.isdecimal() and minutes.isdecimal()):
                raise ValueError(f'parsing time: "{zone}" is no time zone')
            return rest, direction * (int(hours) * 3600 + int(minutes) * 60)
    return clock, None


def _split_date_zone(date: str) -> tuple[str, int | None]:
    """The zone of a date without a time of day: "2006-01-02Z07:00"."""
    rest, offset_s = _split_zone(date[10:])
    if rest:
        raise ValueError(f'parsing time "{date}": extra text: "{rest}"')
    return "", offset_s


def _days_in(year: int, month: int) -> int:
    return days_from_civil(year + month // 12, month % 12 + 1, 1) - days_from_civil(year, month, 1)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant's algorithm)."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468
