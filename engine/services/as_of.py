"""A moment of the past, as users write it, as a sequence number of the log."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from engine.domain.errors import InvalidArgument
from engine.eventlog.log import EventLog
from engine.services.ports import Clock

_UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")


def parse_time_us(text: str, now_us: int) -> int:
    """RFC 3339 (UTC where no zone is given), seconds since the epoch, or a duration ago ("90s", "1h30m"), in µs."""
    text = text.strip()
    if re.search(r"\d{13}", text.partition(".")[0]):  # neither seconds of ours nor anything else
        raise InvalidArgument(f'invalid time "{text[:40]}": no such moment can be told')
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0") or 0)
    if re.fullmatch(f"(?:{_DURATION.pattern})+", text):
        return now_us - int(sum(float(number) * _UNITS_US[unit] for number, unit in _DURATION.findall(text)))
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError as error:
        raise InvalidArgument(
            f'invalid time "{text}": give RFC 3339 (2026-01-31T10:00:00Z), seconds since 1970, or how long ago (2h)'
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def sequence_number(text: str) -> int | None:
    """The event that ``#12`` and ``seq:12`` name; None for any other text."""
    match = re.fullmatch(r"(?:#|seq:)(\d{1,18})", text.strip())
    return int(match.group(1)) if match else None


def resolve_as_of(text: str | None, log: EventLog, clock: Clock) -> int | None:
    """The last sequence number that belongs to the moment; None for now."""
    if not text:
        return None
    if (seq := sequence_number(text)) is not None:
        return min(seq, log.head().seq)
    return log.seq_at(parse_time_us(text, clock.now_us()))
