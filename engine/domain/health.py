"""Health checks: what results of probes make of a container's health, as Docker has it.

``starting`` until the first success, ``healthy`` from then on, ``unhealthy`` after so many failures in a row; what
fails within the start period, before the first success, does not count.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.record import Record

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"

ACTIONS = ("none", "restart", "stop", "kill")
"""What may be done to a container that becomes unhealthy."""


class HealthCheck(Record):
    """``command`` is executed as it is; times are seconds. ``on_failure`` is one of ACTIONS."""

    command: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3
    on_failure: str = "none"


class Health(NamedTuple):
    status: str = STARTING
    failing_streak: int = 0


def after_probe(health: Health, check: HealthCheck, succeeded: bool, up_s: float) -> Health:
    """The health after one more result, ``up_s`` seconds after the container's start."""
    if succeeded:
        return Health(HEALTHY, 0)
    if health.status == STARTING and up_s < check.start_period_s:
        return health
    streak = health.failing_streak + 1
    return Health(UNHEALTHY if streak >= check.retries else health.status, streak)


def next_probe_s(health: Health, check: HealthCheck, up_s: float) -> float:
    """How long to wait for the next probe, in seconds."""
    if health.status == STARTING and up_s < check.start_period_s:
        return check.start_interval_s
    return check.interval_s
