"""The supervisor's connection to one shim: requests with answers, and the news that come in between."""

from __future__ import annotations

import socket
import threading
from typing import Any, Sequence

from engine.domain.errors import EngineError, NotFound, Unavailable
from engine.runtime import messages

ANSWER_S = 30.0
"""A shim answers in milliseconds; freezing a busy container may take seconds."""


class Leaving(Unavailable):
    """This daemon ends, and the shim goes on: what comes of the request is for the next daemon to find out."""


class _Answer:
    __slots__ = ("ready", "message")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.message: dict[str, Any] | None = None


class Link:
    """Asking may be done from any thread; ``read`` from one."""

    def __init__(self, container_id: str, directory: str, sock: socket.socket) -> None:
        self.container_id = container_id
        self.directory = directory
        self._socket = sock
        self._lock = threading.Lock()
        self._answers: dict[int, _Answer] = {}
        self._last_id = 0
        self._closed = self._leaving = False
        self.told_the_end = False
        self.dropped = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, request: dict[str, Any], fds: Sequence[int] = (), wait_s: float | None = None) -> dict[str, Any]:
        """The shim's answer. Raises NotFound where it is gone, Unavailable where it doesn't answer, Leaving."""
        answer = _Answer()
        with self._lock:
            if self._closed:
                raise self._no_answer()
            self._last_id += 1
            number = self._last_id
            self._answers[number] = answer
            try:
                messages.send(self._socket, {"id": number, **request}, fds)
            except OSError as error:
                del self._answers[number]
                raise gone(self.container_id) from error
        if not answer.ready.wait(ANSWER_S if wait_s is None else wait_s):
            with self._lock:
                self._answers.pop(number, None)
            raise Unavailable(f"the shim of container {self.container_id} does not answer")
        if answer.message is None:
            raise self._no_answer()
        return answer.message

    def tell(self, request: dict[str, Any]) -> None:
        """Ask for nothing back. A shim that is gone needs no telling."""
        with self._lock:
            if self._closed:
                return
            try:
                messages.send(self._socket, request)
            except OSError:
                return

    def read(self) -> dict[str, Any] | None:
        """The next news, {} for an answer (which goes to whoever asked), None at the end."""
        received = messages.receive(self._socket)
        if received is None:
            return None
        message = received[0]
        if "reply" not in message:
            self.told_the_end |= message["type"] == "exited"
            return message
        with self._lock:
            answer = self._answers.pop(message["reply"], None)
        if answer is not None:
            answer.message = message
            answer.ready.set()
        return {}

    def _no_answer(self) -> EngineError:
        return Leaving("the engine is stopping") if self._leaving else gone(self.container_id)

    def close(self, *, leaving: bool = False) -> None:
        """Whoever waits for an answer learns that there will be none. ``leaving`` a shim that may live."""
        with self._lock:
            self._closed = True
            self._leaving = leaving
            self._socket.close()
            waiting = list(self._answers.values())
            self._answers.clear()
        for answer in waiting:
            answer.ready.set()


def gone(container_id: str) -> NotFound:
    """Nobody holds the container."""
    return NotFound(f"no shim of container {container_id} answers")
