"""Ending an operation from another thread: waits are cut short and connections are shut down."""

from __future__ import annotations

import threading
from typing import Callable

from engine.domain.errors import EngineError


class Cancelled(EngineError):
    """Somebody ended the operation."""


class Cancellation:
    """Shared by those who work on an operation and those who may end it. ``cancel`` may be called from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._actions: dict[object, Callable[[], None]] = {}

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        """End the operation: whoever works on it gets Cancelled."""
        self._event.set()
        with self._lock:
            actions = list(self._actions.values())
            self._actions.clear()
        for action in actions:
            action()

    def check(self) -> None:
        """Raises Cancelled."""
        if self._event.is_set():
            raise Cancelled("operation was cancelled")

    def wait(self, seconds: float) -> None:
        """Sleep, at most so long. Raises Cancelled."""
        self._event.wait(seconds)
        self.check()

    def on_cancel(self, key: object, action: Callable[[], None]) -> None:
        """Have ``action`` called by ``cancel``, once; at once where that has happened already. ``forget`` undoes it."""
        with self._lock:
            if not self._event.is_set():
                self._actions[key] = action
                return
        action()

    def forget(self, key: object) -> None:
        with self._lock:
            self._actions.pop(key, None)
