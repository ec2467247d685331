"""Following the log: what was, then what comes, each event once and in order."""

from __future__ import annotations

import threading
from typing import Iterator

from engine.eventlog.log import Recorded
from engine.services.core import Core

_PATIENCE_S = 1.0
"""How soon a follower notices that its client has left."""


class Events:
    """Reads only."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def follow(self, since_us: int | None, until_us: int | None, stop: threading.Event) -> Iterator[Recorded]:
        """Past events from ``since_us``, then new ones until ``until_us`` or ``stop``.

        Subscribed before the past is read, and joined by sequence: none is missing, none comes twice.
        """
        log, clock = self._core.log, self._core.clock
        with log.subscribe() as subscription:
            last = log.head().seq
            if since_us is not None:
                yield from log.events(since_us=since_us, until_us=until_us, until=last)
            while not stop.is_set():
                remaining_s = _PATIENCE_S
                if until_us is not None:
                    remaining_s = min(remaining_s, (until_us - clock.now_us()) / 1e6)
                if remaining_s <= 0:
                    return
                yield from (recorded for recorded in subscription.wait(remaining_s) if recorded.seq > last)
