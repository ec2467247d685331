"""Telling a listener how far a blob is, not too often."""

from __future__ import annotations

import time

from engine.images.registry.transfers import Listener, Progress

_PERIOD_S = 0.1


class Meter:
    """For one blob, from one thread."""

    def __init__(self, listener: Listener, action: str, total_bytes: int) -> None:
        self._listener = listener
        self._action = action
        self._total_bytes = total_bytes
        self._told = 0.0

    def moved(self, done_bytes: int) -> None:
        now = time.monotonic()
        if now - self._told >= _PERIOD_S:
            self._told = now
            self._listener(Progress(self._action, done_bytes, self._total_bytes))

    def retrying(self, done_bytes: int, note: str) -> None:
        self._listener(Progress("retrying", done_bytes, self._total_bytes, note))

    def finished(self, done_bytes: int) -> None:
        self._listener(Progress(self._action, done_bytes, self._total_bytes))
