"""The shim's main loop: poll(2), one callback a descriptor, and timers."""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Callback = Callable[[int], None]

IN, OUT = select.POLLIN, select.POLLOUT
GONE = select.POLLHUP | select.POLLERR
"""Reported without being asked for."""

_SHORT_S = 0.1


class Loop:
    """Descriptors are watched by number; a callback gets the events that occurred."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

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
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), callback))

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
        return max(0, int((self._timers[0][0] - time.monotonic()) * 1000) + 1)

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for callback in due:
            callback()


def accept(loop: Loop, listener: socket.socket, callback: Callback) -> socket.socket | None:
    """The next connection of a watched listener, or None. Where descriptors are short, the listener rests for a moment:
    the connection would be reported again at once."""
    try:
        return listener.accept()[0]
    except (BlockingIOError, ConnectionAbortedError):
        return None
    except OSError:
        fd = listener.fileno()
        loop.forget(fd)
        loop.later(_SHORT_S, lambda: loop.watch(fd, IN, callback) if listener.fileno() == fd else None)
        return None
