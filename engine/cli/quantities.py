"""Sizes, durations and times the way Docker shows them (docker/go-units) and reads them."""

from __future__ import annotations

import time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_FACTORS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_HOUR = 3600


def human_size(size_bytes: float, digits: int = 3) -> str:
    """1984512 -> "1.98MB"."""
    return _scaled(size_bytes, 1000.0, _DECIMAL, digits)


def binary_size(size_bytes: float, digits: int = 4) -> str:
    """67108864 -> "64MiB"."""
    return _scaled(size_bytes, 1024.0, _BINARY, digits)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    at = 0
    while size >= base and at < len(units) - 1:
        size /= base
        at += 1
    return f"{size:.{digits}g}{units[at]}"


def human_duration(seconds: float) -> str:
    """3700 -> "About an hour"."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / _HOUR + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit_hours, unit_hours, name in ((24 * 14, 24, "days"), (24 * 60, 168, "weeks"), (24 * 730, 720, "months")):
        if hours < limit_hours:
            return f"{hours // unit_hours} {name}"
    return f"{whole // _HOUR // 24 // 365} years"


def ago(unix_s: float) -> str:
    """The age of a moment: "3 minutes ago"."""
    return human_duration(time.time() - unix_s) + " ago"


def local_time(unix_s: int) -> str:
    """Go's Time.String: "2006-01-02 15:04:05 +0000 UTC"."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(unix_s))


def parse_size(text: str) -> int:
    """Bytes of "64m", "1.5GiB", "1024" (units.RAMInBytes). Raises ValueError."""
    digits = max(text.rfind(mark) for mark in "0123456789. ")
    if digits < 0:
        raise ValueError(f"invalid size: '{text}'")
    number = text[:digits] if text[digits] == " " else text[: digits + 1]
    suffix = text[digits + 1 :].lower()
    try:
        size = float(number if number == number.strip() and "_" not in number else "x")
    except ValueError as error:
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax') from error
    if not 0 <= size < 2**63:
        raise ValueError(f"invalid size: '{text}'")
    if suffix in ("", "b"):
        return int(size)
    if suffix[0] not in _FACTORS or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * _FACTORS[suffix[0]])


def parse_swap(text: str) -> int:
    """As ``parse_size``; -1 for no limit."""
    return -1 if text == "-1" else parse_size(text)


def parse_cpus(text: str) -> int:
    """Billionths of a CPU of "1.5" or "3/2". Raises ValueError."""
    numerator, slash, denominator = text.partition("/")
    try:
        whole, _, fraction = numerator.partition(".")
        sign = -1 if whole.startswith("-") else 1
        if not (whole + fraction).lstrip("+-").isdecimal() or (slash and "." in numerator + denominator):
            raise ValueError
        nano, rest = divmod(int(whole.lstrip("+-") + fraction or "0") * 10**9, 10 ** len(fraction))
        if slash:
            nano, rest = divmod(int(numerator) * 10**9, int(denominator))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"failed to parse {text} as a rational number") from error
    if rest:
        raise ValueError("value is too precise")
    return sign * nano if not slash else nano
