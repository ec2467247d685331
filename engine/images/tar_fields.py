"""The fields of a tar archive: numbers, times and PAX records, read strictly.

What two readers could understand differently is refused, since a layer that a scanner sees otherwise than the engine
unpacks it is an attack: numbers with signs or junk, records that don't add up, NUL in a name.
"""

from __future__ import annotations

import re

from engine.domain.errors import InvalidArgument

LONGEST_SHOWN = 160
NAME_LIMIT_BYTES = 4096
"""PATH_MAX: what is longer can't be opened."""
_PAX_TIME = re.compile(rb"(-?)(\d{1,20})(?:\.(\d*))?")
_LATEST_S = (1 << 63) // 1_000_000_000 - 1


def shown(name: bytes) -> str:
    """A name as an error message may carry it: one line, printable, not long."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def number(field: bytes) -> int:
    """A header's number: octal digits, or GNU's base 256. Raises ValueError."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else _base256(field)
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if digits.translate(None, b"01234567"):
        raise ValueError("a number is not octal")
    return int(digits, 8)


def _base256(field: bytes) -> int:
    return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")


def text(field: bytes) -> bytes:
    """A header's string, up to the first NUL."""
    return field.partition(b"\0")[0]


def decimal(value: bytes, what: str) -> int:
    """A PAX record's number. Raises ValueError."""
    if not value.isdigit() or len(value) > 20:
        raise ValueError(f"PAX {what} {shown(value)!r} is no number")
    return int(value)


def pax_time_ns(value: bytes) -> int:
    """A PAX record's time, in nanoseconds since the epoch. Raises ValueError."""
    match = _PAX_TIME.fullmatch(value)
    if match is None:
        raise ValueError(f"PAX time {shown(value)!r} is no time")
    sign, seconds, fraction = match.groups()
    time_ns = int(seconds) * 1_000_000_000 + int((fraction or b"")[:9].ljust(9, b"0"))
    return -time_ns if sign else time_ns


def storable_time_ns(time_ns: int) -> int:
    """The time, or the epoch where it lies before it or beyond 64-bit nanoseconds (as Docker does)."""
    return time_ns if 0 <= time_ns <= _LATEST_S * 1_000_000_000 else 0


def pax_records(body: bytes) -> list[tuple[bytes, bytes]]:
    """The ``<length> <key>=<value>\\n`` records of a PAX header, in order. Raises ValueError."""
    records = []
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 12)
        digits = body[position:space]
        if space < 0 or not digits.isdigit():
            raise ValueError("a PAX record has no length")
        end = position + int(digits)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end > len(body) or end <= space + 1 or body[end - 1 : end] != b"\n" or not equals or not key:
            raise ValueError("a PAX record does not add up")
        records.append((key, value))
        position = end
    return records


def check_name(name: bytes) -> bytes:
    """The name, where the kernel can take it. Raises InvalidArgument."""
    if b"\0" in name:
        raise InvalidArgument(f'archive entry "{shown(name)}" has a NUL in its name')
    if len(name) >= NAME_LIMIT_BYTES:
        raise InvalidArgument(f'archive entry "{shown(name)}" has a name of {len(name)} bytes, the limit is 4095')
    return name
