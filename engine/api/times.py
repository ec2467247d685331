"""Times as Docker writes them. Inside the engine a time is an int of microseconds since the epoch."""

from __future__ import annotations

import time

ZERO = "0001-01-01T00:00:00Z"
"""Go's zero time: it never happened."""


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
