"""Delivering news: in order for one container, side by side for several, on threads that come and go."""

from __future__ import annotations

import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

_MOST_THREADS = 32
_ENDS = ("exited", "exec_exited", "lost")
_ATTEMPTS = 3600
"""Of an end, a second apart."""

Deliver = Callable[[str, dict[str, Any]], None]


class Mailboxes:
    """``deliver`` may block: it holds up its own container only (as long as fewer than 32 of them block)."""

    def __init__(self, deliver: Deliver, pause_s: float = 1.0) -> None:
        self._deliver = deliver
        self._pause_s = pause_s
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(_MOST_THREADS, "docket-news")
        self._lock = threading.Lock()
        self._boxes: dict[str, deque[dict[str, Any]]] = {}

    def put(self, container_id: str, message: dict[str, Any]) -> None:
        """Queue a message; a thread is on its way, or already at this box."""
        with self._lock:
            box = self._boxes.get(container_id)
            if box is not None:
                box.append(message)
                return
            self._boxes[container_id] = deque([message])
        self._pool.submit(self._empty, container_id)

    def _empty(self, container_id: str) -> None:
        while True:
            with self._lock:
                box = self._boxes[container_id]
                if not box:
                    del self._boxes[container_id]
                    return
                message = box.popleft()
            self._take_in(container_id, message)

    def _take_in(self, container_id: str, message: dict[str, Any]) -> None:
        """An end must not be lost: where the disk is full, say, it is delivered again until that is over."""
        attempts = _ATTEMPTS if message.get("type") in _ENDS else 1
        for attempt in range(attempts):
            if attempt and self._closing.wait(self._pause_s):
                return  # the next engine reads it in the shim's journal
            try:
                self._deliver(container_id, message)
                return
            except Exception as error:  # one message that can't be taken in must not stop those behind it for ever
                if attempt in (0, attempts - 1):
                    text = f"docket: message {message.get('type')!r} of container {container_id}: "
                    print(f"{text}{type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Wait until everything that was put is delivered, or can't be now."""
        self._closing.set()
        self._pool.shutdown(wait=True)
