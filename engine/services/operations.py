"""An operation at a registry that a client waits for: its end when the client leaves, and what is said on the way."""

from __future__ import annotations

import queue
import threading
from typing import Any, Iterator, NamedTuple

from engine.images.registry.cancellation import Cancellation

_PATIENCE_S = 0.25
"""How soon an operation notices that its client has left."""


class Notice(NamedTuple):
    """One line of progress in Docker's words: of a layer (``id``) or of the whole. ``total`` of 0: nothing to count.

    ``aux`` is what programs read instead."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0
    aux: dict[str, Any] | None = None


News = queue.SimpleQueue["Notice | BaseException | None"]
"""What the threads of an operation tell it: progress, an error, None for a piece that is done."""


def told(news: News, pieces: int) -> Iterator[Notice]:
    """What is told until so many pieces are done. Raises the first error."""
    while pieces:
        item = news.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            pieces -= 1
        else:
            yield item


class Operation:
    """A context that ends with its client: ``cancellation`` is what those who work listen to."""

    def __init__(self, departed: threading.Event) -> None:
        self.cancellation = Cancellation()
        self._departed = departed
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="operation", daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(_PATIENCE_S):
            if self._departed.is_set():
                self.cancellation.cancel()
                return

    def __enter__(self) -> Operation:
        self._watcher.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self.cancellation.cancel()  # whoever still works on it works for nobody
        self._watcher.join()
