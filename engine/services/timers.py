"""What is to happen later: one thread that waits, and a thread for each call when its time has come."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Callable, Protocol


_PATIENCE_S = 1.0


class Timers(Protocol):
    def later(self, delay_s: float, name: str, call: Callable[[], None]) -> None:
        """Call after ``delay_s`` seconds, on a thread called ``name``. There is no taking back: who is called looks
        whether there is still something to do."""


class SystemTimers:
    """Timers of a running daemon. Its thread starts with the first call."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, str, Callable[[], None]]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def later(self, delay_s: float, name: str, call: Callable[[], None]) -> None:
        """See Timers."""
        with self._condition:
            if self._closed:
                return
            heapq.heappush(self._heap, (time.monotonic() + max(0.0, delay_s), next(self._order), name, call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._closed and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._condition.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                if self._closed:
                    return
                _, _, name, call = heapq.heappop(self._heap)
            try:
                threading.Thread(target=call, name=name, daemon=True).start()
            except RuntimeError:  # the machine has no thread left: what was promised is kept a moment later
                self.later(_PATIENCE_S, name, call)

    def close(self) -> None:
        """Nothing is called any more, from now on."""
        with self._condition:
            self._closed = True
            self._heap.clear()
            self._condition.notify()
