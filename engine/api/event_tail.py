"""What the followers of the log's end share: each record is told in Docker's events once, when the first of them gets
there. A hundred followers would else fold every container a hundred times, and hold it as often.
"""

from __future__ import annotations

import threading
from typing import Any, Iterable, Iterator

from engine.api.documents import encode
from engine.api.events import Translator

KEPT = 512
"""Records back from the last one: who is further behind tells them for himself."""

Told = tuple[dict[str, Any], bytes]
"""One of Docker's events, and its line. Shared, so nobody changes it."""


class Tail:
    """Records of the log, each as Docker's events. For any thread."""

    def __init__(self, services: Any) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._translator = Translator(services)
        self._next = 0
        self._told: dict[int, list[Told]] = {}

    def follow(self, records: Iterable[Any]) -> Iterator[Told]:
        """What a follower is told, who gets all records from somewhere on."""
        own: Translator | None = None
        for record in records:
            shared = self._shared(record)
            if shared is None:
                own = own or Translator(self._services)
                shared = _told(own, record)
            else:
                own = None
            yield from shared

    def _shared(self, record: Any) -> list[Told] | None:
        """None for what lies too far back."""
        with self._lock:
            if record.seq in self._told:
                return self._told[record.seq]
            if record.seq < self._next:
                return None
            if record.seq > self._next:
                self._translator = Translator(self._services)  # nobody followed what came before
            told = self._told[record.seq] = _told(self._translator, record)
            self._next = record.seq + 1
            if len(self._told) > KEPT:
                del self._told[next(iter(self._told))]
            return told


def _told(translator: Translator, record: Any) -> list[Told]:
    return [(event, encode(event)) for event in translator.translate(record)]
