"""The shim's main loop: poll(2), one callback a descriptor, and timers.

A defect in a callback must not end the shim, and with it the container, because of one client: what the callback
belongs to is ended, and whoever made the loop is told.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Callback = Callable[[int], None]
    End = Callable[[], None]

IN, OUT = select.POLLIN, select.POLLOUT
GONE = select.POLLHUP | select.POLLERR
"""Reported without being asked for."""

_SHORT_S = 0.1


def lose_one() -> None:
    """The ``end`` of who takes in many: the one that it was about is lost, and the next one is taken in."""


class Loop:
    """Descriptors are watched by number; a callback gets the events that occurred. ``report`` gets defects."""

    def __init__(self, report: Callable[[Exception], None] | None = None) -> None:
        self._poll = select.poll()
        self._report = report or tell
        self._callbacks: dict[int, tuple[Callback, End | None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def watch(self, fd: int, events: int, callback: Callback, end: End | None = None) -> None:
        """Call ``callback(events)`` when one of the events, or the end, comes. Again for the same fd: changes all.

        ``end`` ends what the descriptor belongs to, after a defect of the callback. Where there is none, nothing of
        the shim's could go on without it, and the defect goes to whoever turns the loop.
        """
        self._callbacks[fd] = callback, end
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch no more; before the descriptor is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def rest(self, sock: socket.socket, seconds: float) -> None:
        """Don't watch it for a while."""
        fd = sock.fileno()
        watched = self._callbacks[fd]
        self.forget(fd)
        self.later(seconds, lambda: self.watch(fd, IN, *watched) if sock.fileno() == fd else None)

    def contain(self, end: End, act: Callable[..., Any], *arguments: Any) -> None:
        """Do something for one of many. A defect in it is told, and ends that one."""
        try:
            act(*arguments)
        except Exception as error:
            try:
                end()  # first: what is told may go out by the very same connection
            except Exception as another:
                self._report(another)
            self._report(error)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call once, not before ``seconds`` from now."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), callback))

    def turn(self) -> None:
        """Wait for something to happen and serve it."""
        for fd, events in self._poll.poll(self._timeout_ms()):
            callback, end = self._callbacks.get(fd, (None, None))
            if callback is None:
                continue  # an earlier callback of this turn has forgotten it
            if end is None:
                callback(events)
            else:
                self.contain(end, callback, events)
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
            self.contain(lose_one, callback)


def tell(error: Exception) -> None:
    """A line for the engine's own log, if that is still there."""
    try:
        print(f"docket shim: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    except OSError:
        return


def accept(loop: Loop, listener: socket.socket) -> socket.socket | None:
    """The next connection of a watched listener, or None. Where descriptors are short, the listener rests for a moment:
    the connection would be reported again at once."""
    try:
        return listener.accept()[0]
    except (BlockingIOError, ConnectionAbortedError):
        return None
    except OSError:
        loop.rest(listener, _SHORT_S)
        return None
