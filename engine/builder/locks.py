"""Locks by name: who waits for one looks now and then whether the wait is to end."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Callable, Iterator

_PATIENCE_S = 0.25


class Locks:
    """Any number of names; those that nobody holds take no memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def held(self, name: str, check: Callable[[], None]) -> Iterator[None]:
        """``check`` raises where the wait is to end."""
        with self._changed:
            while name in self._held:
                self._changed.wait(_PATIENCE_S)
                check()
            self._held.add(name)
        try:
            yield
        finally:
            self.release(name)

    def take(self, name: str) -> bool:
        """Whether the lock was free, which the caller then holds until ``release``."""
        with self._changed:
            if name in self._held:
                return False
            self._held.add(name)
            return True

    def release(self, name: str) -> None:
        with self._changed:
            self._held.discard(name)
            self._changed.notify_all()
