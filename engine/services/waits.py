"""Waiting for a container's end: Docker's conditions, driven by the log's own subscriptions."""

from __future__ import annotations

import threading
from typing import Any

from engine.domain.errors import InvalidArgument
from engine.eventlog.log import EventLog
from engine.services.core import resolve_container
from engine.services.ports import Clock

CONDITIONS = ("not-running", "next-exit", "removed")


class Waiter:
    """One client's wait. Subscribed before the state is read, so that no end falls in between. Close it."""

    def __init__(self, log: EventLog, clock: Clock, reference: str, condition: str) -> None:
        if condition not in CONDITIONS:
            raise InvalidArgument(f"invalid condition: {condition!r}")
        container = resolve_container(log, reference)
        self._clock = clock
        self._condition = condition
        self._subscription = log.subscribe([f"container/{container.id}"])
        current = log.get("container", container.id)
        self._exit_code = current.exit_code if current else container.exit_code
        self._met = current is None or (condition == "not-running" and not self._may_run(current.status))

    @staticmethod
    def _may_run(status: str) -> bool:
        return status in ("starting", "running", "paused", "stopping", "restarting")

    def result(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """Docker's answer once the condition is met, None when the time is up first.

        Why a start failed is no part of it: ``Error`` is about the waiting, and Docker's client prints it as such.
        """
        deadline = None if timeout_s is None else self._clock.monotonic_s() + timeout_s
        while not self._met:
            left = threading.TIMEOUT_MAX if deadline is None else deadline - self._clock.monotonic_s()
            remaining = min(left, threading.TIMEOUT_MAX)
            if remaining <= 0:
                return None
            for recorded in self._subscription.wait(remaining):
                self._see(recorded.type, recorded.data)
        return {"StatusCode": self._exit_code}

    def _see(self, event_type: str, data: dict[str, Any]) -> None:
        if event_type in ("container.exited", "container.start_failed"):
            self._exit_code = data["exit_code"]
            self._met = self._met or self._condition != "removed"
        elif event_type == "container.restart_cancelled":
            self._met = self._met or self._condition == "not-running"
        elif event_type == "container.removed":
            self._met = True

    def close(self) -> None:
        self._subscription.close()

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
