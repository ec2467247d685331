"""``--time-offset``: how far the container's clocks since boot are ahead of the host's (time_namespaces(7))."""

from __future__ import annotations

from typing import Any, Mapping

from engine.domain.errors import InvalidArgument

_CLOCKS = ("monotonic", "boottime")
_NANO = 1_000_000_000


def check(host: Mapping[str, Any]) -> None:
    """HostConfig's TimeOffsets: clock -> nanoseconds. A field of this engine's own. Raises InvalidArgument."""
    offsets = host.get("TimeOffsets")
    if offsets is None:
        return
    if not isinstance(offsets, dict):
        raise InvalidArgument("TimeOffsets must be an object")
    for clock, offset_ns in offsets.items():
        if clock not in _CLOCKS:
            raise InvalidArgument(f"--time-offset: unknown clock {clock!r}: use {' or '.join(_CLOCKS)}")
        if not isinstance(offset_ns, int) or isinstance(offset_ns, bool):
            raise InvalidArgument(f"--time-offset: the offset of {clock} must be an integer of nanoseconds")


def offsets(host: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """``linux.timeOffsets``; nanoseconds are never negative there."""
    return {
        clock: {"secs": offset_ns // _NANO, "nanosecs": offset_ns % _NANO}
        for clock, offset_ns in (host.get("TimeOffsets") or {}).items()
    }
