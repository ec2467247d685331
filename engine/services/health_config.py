"""Health checks as configurations have them: Docker's ``Healthcheck`` object, checked, joined with the image's, read.

``OnFailure`` is this engine's own field of it: what is done to a container that becomes unhealthy.
"""

from __future__ import annotations

from typing import Any, Mapping

from engine.domain.errors import InvalidArgument
from engine.domain.health import ACTIONS, HealthCheck

_DURATIONS = ("Interval", "Timeout", "StartPeriod", "StartInterval")
_SHORTEST_NS = 1_000_000
_NS = 1_000_000_000


def check(given: Any) -> dict[str, Any] | None:
    """What a request says, None where that is nothing. Raises InvalidArgument with Docker's wording."""
    if not given:
        return None
    if not isinstance(given, dict):
        raise InvalidArgument("Healthcheck must be an object")
    kept = {key: given[key] for key in ("Test", *_DURATIONS, "Retries", "OnFailure") if given.get(key)}
    test = kept.get("Test") or []
    if not isinstance(test, list) or not all(isinstance(word, str) for word in test):
        raise InvalidArgument("Test in Healthcheck must be a list of strings")
    if test and test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidArgument(f"unknown health check type {test[0]!r} (expected 'CMD', 'CMD-SHELL' or 'NONE')")
    if test and test[0] != "NONE" and not any(test[1:]):
        raise InvalidArgument(f"the health check {test[0]} names no command")
    for key in _DURATIONS:
        if not _is_integer(kept.get(key, 0)) or kept.get(key, 0) and kept[key] < _SHORTEST_NS:
            raise InvalidArgument(f"{key} in Healthcheck cannot be less than 1ms")
    if not _is_integer(kept.get("Retries", 0)) or kept.get("Retries", 0) < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")
    if kept.get("OnFailure", "none") not in ACTIONS:
        raise InvalidArgument(f"unknown action {kept['OnFailure']!r} on failing health: use {', '.join(ACTIONS)}")
    return kept


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def merge(given: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the request leaves open is the image's; a command of its own keeps the image's times."""
    if not given or not image:
        return dict(given or image or {}) or None
    return {**image, **given}


def read(config: Mapping[str, Any]) -> HealthCheck | None:
    """The health check of a container's ``Config``; None where it has none."""
    settings = config.get("Healthcheck") or {}
    kind, *words = settings.get("Test") or ["NONE"]
    if kind == "NONE":
        return None
    shell = config.get("Shell") or ["/bin/sh", "-c"]
    command = words if kind == "CMD" else [*shell, *words]
    return HealthCheck(
        command=tuple(command),
        interval_s=(settings.get("Interval") or 30 * _NS) / _NS,
        timeout_s=(settings.get("Timeout") or 30 * _NS) / _NS,
        start_period_s=(settings.get("StartPeriod") or 0) / _NS,
        start_interval_s=(settings.get("StartInterval") or 5 * _NS) / _NS,
        retries=settings.get("Retries") or 3,
        on_failure=settings.get("OnFailure") or "none",
    )
