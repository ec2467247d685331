"""The shim that was forked before anybody asked for it, so that no launch waits for fork(2).

    spawner                        spare shim                     its launcher
       │ fork                         │                                │
       ├─────────────────────────────>│ fork                           │
       │                              ├───────────────────────────────>│
       │ connection to the daemon, the container's lock                │
       ├─────────────────────────────>│ forked, and from here on as in ``engine.runtime``

There is one at most, made when the spawner has had nothing to do for a moment; where launches come quicker than that,
each has its own forked, as if there were none. It holds nothing of any container and ends with the spawner.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Sequence

from engine.kernel.namespaces import clone
from engine.kernel.process import close_all_but
from engine.runtime import messages, shim

PAUSE_MS = 15
"""How long the launch that took the last one has both processors for itself."""


class Spare:
    """The spawner's hold on it."""

    def __init__(self) -> None:
        self._waiting: socket.socket | None = None
        self._is_wanted = False

    @property
    def pause_ms(self) -> int | None:
        """After what time without a request to call ``prepare``; None where nothing is to be prepared."""
        return PAUSE_MS if self._is_wanted and self._waiting is None else None

    def prepare(self) -> None:
        """Fork one. Where that fails, the next launch will find out why."""
        self._is_wanted = False
        try:
            self._waiting = fork_shim()
        except OSError:
            return

    def hand_over(self, fds: Sequence[int]) -> None:
        """Give a shim its connection and its lock. Raises OSError where none can be forked."""
        self._is_wanted = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            with waiting:
                try:
                    messages.send(waiting, {"type": "container"}, fds)
                    return
                except (BrokenPipeError, ConnectionResetError):
                    pass  # somebody has killed it
        with fork_shim() as fresh:
            messages.send(fresh, {"type": "container"}, fds)


def fork_shim() -> socket.socket:
    """The connection to a shim that waits for its container; it ends when the connection does."""
    ours, theirs = messages.pair()
    with theirs:
        try:
            pid = clone(0)  # and not os.fork, whose handlers in Python touch (and so copy) half a megabyte
        except OSError:
            ours.close()
            raise
        if pid == 0:
            _be_shim(theirs)
    return ours


def _be_shim(waiting: socket.socket) -> None:
    status = 1
    try:
        close_all_but((0, 1, 2, waiting.fileno()))
        shim.main(waiting)
        status = 0
    except BaseException as error:
        print(f"docket shim: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise
    finally:
        os._exit(status)
