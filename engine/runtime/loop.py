"""The shim's main loop: poll(2), one callback a descriptor, and timers."""

from __future__ import annotations

import select
import time
from typing import Callable

IN, OUT = select.POLLIN, select.POLLOUT
GONE = select.POLLHUP | select.POLLERR
"""Reported without being asked for."""

Callback = Callable[[int], None]


class Loop:
    """Descriptors are watched by number; a callback gets the events that occurred."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call ``callback(events)`` when one of the events, or the end, comes. Again for the same fd: changes both."""
        self._callbacks[fd] = callback
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch no more; before the descriptor is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call once, not before ``seconds`` from now."""
        self._timers.append((time.monotonic() + seconds, callback))

    def turn(self) -> None:
        """Wait for something to happen and serve it."""
        for fd, events in self._poll.poll(self._timeout_ms()):
            callback = self._callbacks.get(fd)
            if callback is not None:  # else an earlier callback of this turn has forgotten it
                callback(events)
        if self._timers:
            self._run_timers()

    def _timeout_ms(self) -> int | None:
        if not self._timers:
            return None
        soonest = min(when for when, _ in self._timers)
        return max(0, int((soonest - time.monotonic()) * 1000) + 1)

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = [callback for when, callback in self._timers if when <= now]
        self._timers = [(when, callback) for when, callback in self._timers if when > now]
        for callback in due:
            callback()
