"""Durations and sizes of the canonical model as the Engine API takes them. Raises ComposeError for what is neither."""

from __future__ import annotations

from engine.client.moments import duration_ns
from engine.compose.project import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NS = 1_000_000_000


def nanoseconds(value: Any, key: str) -> int:
    """"1m30s", or a number of nanoseconds."""
    if isinstance(value, int):
        return value
    try:
        return duration_ns(str(value))
    except ValueError as error:
        raise ComposeError(f"{key}: {error}") from error


def seconds(value: Any, key: str) -> int:
    """Whole seconds, rounded up: a grace period of 500 ms is not none at all."""
    return -(-nanoseconds(value, key) // _NS)


def whole(value: Any, key: str) -> int:
    """"67108864", 67108864, "0440" in decimal sense."""
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ComposeError(f"{key}: {value!r} is not a whole number") from error


def nano_cpus(value: Any, key: str) -> int:
    """0.5 CPUs as 500000000."""
    try:
        return round(float(value) * _NS)
    except (TypeError, ValueError) as error:
        raise ComposeError(f"{key}: {value!r} is not a number of CPUs") from error
