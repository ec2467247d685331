"""Seeing what the kernel's OOM killer takes of a container, while it lives and once more at its end."""

from __future__ import annotations

import os

from engine.kernel.cgroups import Cgroup
from engine.runtime.loop import IN, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_RECHECKS = 5
_RECHECK_S = 0.05


class OomWatch:
    """``tell`` gets the number of kills, each time that it has grown."""

    def __init__(self, loop: Loop, cgroup: Cgroup, tell: Callable[[int], None]) -> None:
        self._loop = loop
        self._cgroup = cgroup
        self._tell = tell
        self._fd = -1
        self._is_over = False
        self.kills = 0

    def begin(self) -> None:
        try:
            self._fd = self._cgroup.oom_watch_fd()
        except OSError:
            return  # no memory controller: nothing counts either, and the missing limits have been warned of
        self._loop.watch(self._fd, IN, self._event, lambda: self._loop.forget(self._fd))

    def end(self) -> None:
        """While the cgroup is still there."""
        self._is_over = True
        self._look()
        if self._fd >= 0:
            self._loop.forget(self._fd)
            os.close(self._fd)

    def _event(self, events: int) -> None:
        try:
            os.read(self._fd, 4096)
        except BlockingIOError:
            return
        self._count(_RECHECKS)

    def _count(self, rechecks: int) -> None:
        """v1 signals before it kills and counts: look again a little later."""
        if not self._is_over and not self._look() and rechecks:
            self._loop.later(_RECHECK_S, lambda: self._count(rechecks - 1))

    def _look(self) -> bool:
        kills = self._cgroup.oom_kills()
        if kills <= self.kills:
            return False
        self.kills = kills
        self._tell(kills)
        return True
