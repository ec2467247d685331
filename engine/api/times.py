"""Times as Docker writes and reads them. Inside the engine a time is an int of microseconds since the epoch."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

from engine.domain.errors import InvalidArgument

ZERO = "0001-01-01T00:00:00Z"
"""Go's zero time: it never happened."""

_UNIX = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_UNIT_US = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1, "µs": 1, "ns": 0.001}


def rfc3339nano(time_us: int) -> str:
    """Go's RFC3339Nano in UTC: the fraction without its trailing zeros. 0 is the zero time."""
    if not time_us:
        return ZERO
    seconds, fraction_us = divmod(time_us, 1_000_000)
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    fraction = f".{fraction_us:06d}".rstrip("0") if fraction_us else ""
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def rfc3339(time_us: int) -> str:
    """The same in whole seconds."""
    return rfc3339nano(time_us - time_us % 1_000_000)


def parse_rfc3339_us(text: str) -> int:
    """Raises InvalidArgument. Nanoseconds are cut to microseconds; a time without a zone is UTC."""
    shortened = re.sub(r"(\.\d{6})\d+", r"\1", text)
    try:
        moment = datetime.fromisoformat(shortened)
    except ValueError as error:
        raise InvalidArgument(f'invalid time "{text}"') from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def parse_moment_us(text: str, now_us: int) -> int:
    """What ``since`` and ``until`` may say: unix seconds, RFC 3339, or a Go duration before now ("1h30m")."""
    if unix := _UNIX.fullmatch(text):
        seconds, fraction = unix.groups()
        return int(seconds) * 1_000_000 + int((fraction or "0").ljust(9, "0")[:6])
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now_us - int(sum(float(number) * _UNIT_US[unit] for number, unit in parts))
    return parse_rfc3339_us(text)


def human_duration(duration_us: int) -> str:
    """Docker's words for a duration (go-units HumanDuration)."""
    seconds = duration_us // 1_000_000
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit_hours, unit_hours, name in ((336, 24, "days"), (1440, 168, "weeks"), (17520, 720, "months")):
        if hours < limit_hours:
            return f"{hours // unit_hours} {name}"
    return f"{seconds // 3600 // 24 // 365} years"
