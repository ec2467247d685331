"""Waiting until a container fulfils what another one depends on."""

from __future__ import annotations

import threading

from engine.client.api import Client
from engine.compose.project import ComposeError
from engine.compose.running.dependencies import COMPLETED, HEALTHY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.2


class GivenUp(ComposeError):
    """An action that waited was told to stop waiting."""


def wait_for(
    client: Client, container_id: str, service: str, condition: str, give_up: threading.Event,
    *, health_is_optional: bool = False,
) -> None:  # fmt: skip
    """Until the condition holds. ``health_is_optional``: running will do for a container without a health check.

    Raises ComposeError, in Docker Compose's words, where it can't hold any more, and GivenUp."""
    pause_s = _FIRST_PAUSE_S
    while not _holds(client.inspect(container_id), service, condition, health_is_optional):
        if give_up.wait(pause_s):
            raise GivenUp(f"nobody waits any longer for service {service}")
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _holds(found: dict[str, Any], service: str, condition: str, health_is_optional: bool) -> bool:
    name, state = found["Name"].removeprefix("/"), found["State"]
    if condition == COMPLETED:
        if state["Status"] not in ("exited", "dead"):
            return False
        if state["ExitCode"]:
            raise ComposeError(f'service "{service}" didn\'t complete successfully: exit {state["ExitCode"]}')
        return True
    if state["Status"] in ("exited", "dead"):
        raise ComposeError(f"container {name} exited ({state['ExitCode']})")
    health = (state.get("Health") or {}).get("Status") or "none"
    if condition != HEALTHY or (health == "none" and health_is_optional):
        return bool(state["Running"])
    if health == "none":
        raise ComposeError(f"container {name} has no healthcheck configured")
    if health == "unhealthy":
        raise ComposeError(f"container {name} is unhealthy")
    return health == "healthy"
