"""Shims that wait for a container, so that no launch waits for fork(2).

    spawner                        spare shim                     its launcher
       │ fork                         │                                │
       ├─────────────────────────────>│ fork                           │
       │                              ├───────────────────────────────>│
       │ connection to the daemon, the container's lock                │
       ├─────────────────────────────>│ forked, and from here on as in ``engine.runtime``
       │                              ╎
       │ free, with a new connection  │ the container has ended soon, and nothing of it is left
       │<─────────────────────────────┤

One is forked ahead when the spawner has had nothing to do for a moment; where launches come quicker than that, each has
its own forked, as if there were none. The shim of a container that lived for a moment only comes back with its launcher
and waits for the next one: most of what a process costs is its first time, since each page that it writes is copied
then. A spare shim holds nothing of any container and ends with the spawner.
"""

from __future__ import annotations

import socket

from engine.kernel.namespaces import clone
from engine.kernel.process import run_and_exit
from engine.runtime import messages, shim_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

PAUSE_MS = 15
"""How long the launch that took the last one has both processors for itself."""
REST_MS = 2000
"""After so long without a request one of those that wait is enough."""
MOST = 4
"""How many may wait for the next launches of a busy moment."""


class Spare:
    """The spawner's hold on them. Readable when one comes back."""

    def __init__(self) -> None:
        self._waiting: list[socket.socket] = []
        self._is_wanted = False
        self._returning, self._home = messages.pair()

    def fileno(self) -> int:
        return self._returning.fileno()

    @property
    def pause_ms(self) -> int | None:
        """After what time without a request to call ``rest``; None where there is nothing to do then."""
        if len(self._waiting) > 1:
            return REST_MS
        return PAUSE_MS if self._is_wanted and not self._waiting else None

    def rest(self) -> None:
        """See that one waits. Where none can be forked, the next launch will find out why."""
        if self._waiting:
            self._let_go(len(self._waiting) - 1)
            return
        self._is_wanted = False
        try:
            self._waiting.append(self._fork())
        except OSError:
            return

    def take_back(self) -> None:
        """The connection of one whose container has ended. The youngest is used first: its pages are still at hand."""
        try:
            received = messages.receive(self._returning)
        except messages.Truncated:
            return  # no room for its connection, so that is closed, and it ends
        if received is not None:
            self._waiting += [socket.socket(fileno=fd) for fd in received[1]]
        self._let_go(len(self._waiting) - MOST)

    def _let_go(self, count: int) -> None:
        """Of the oldest: they end with their connections."""
        while count > 0:
            self._waiting.pop(0).close()
            count -= 1

    def hand_over(self, fds: Sequence[int]) -> None:
        """Give a shim its connection and its lock. Raises OSError where none can be forked."""
        self._is_wanted = True
        while self._waiting:
            with self._waiting.pop() as waiting:
                try:
                    messages.send(waiting, {"type": "container"}, fds)
                    return
                except (BrokenPipeError, ConnectionResetError):
                    continue  # somebody has killed it
        with self._fork() as fresh:
            messages.send(fresh, {"type": "container"}, fds)

    def _fork(self) -> socket.socket:
        """The connection to a shim that waits for its container; it ends when the connection does."""
        ours, theirs = messages.pair()
        with theirs:
            try:
                pid = clone(0)  # and not os.fork, whose handlers in Python touch (and so copy) half a megabyte
            except OSError:
                ours.close()
                raise
            if pid == 0:
                home, kept = self._home, (theirs.fileno(), self._home.fileno())
                run_and_exit("shim", kept, lambda: shim_process.main(theirs, home))
        return ours
