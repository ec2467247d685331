"""Clients that have attached to a container before its start: their sockets wait here for its shim."""

from __future__ import annotations

import os
import select
import threading

from engine.domain.container_commands import AttachClient
from engine.eventlog.log import Context
from engine.runtime.attachment import Attachment, close_all
from engine.services.recorder import Recorder


class WaitingClients:
    """Their descriptors are ours until they are taken. Those of who has left go when the next one comes."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._guard = threading.Lock()
        self._waiting: dict[str, list[tuple[Attachment, Context]]] = {}

    def add(self, container_id: str, attachment: Attachment, context: Context) -> None:
        """``context`` is the client's own."""
        with self._guard:
            self._forget_who_left()
            self._waiting.setdefault(container_id, []).append((attachment, context))

    def _forget_who_left(self) -> None:
        for container_id, waiting in list(self._waiting.items()):
            stay = []
            for one in waiting:
                if _has_left(one[0].fd):
                    os.close(one[0].fd)
                else:
                    stay.append(one)
            self._waiting[container_id] = stay
            if not stay:
                del self._waiting[container_id]

    def attaching(self, container_id: str, context: Context) -> tuple[tuple[str, ...], ...]:
        """The streams of those that wait for the start and are of the same actor as it. What others want is put on
        record here, in their own name."""
        with self._guard:
            waiting = list(self._waiting.get(container_id, ()))
        for attachment, own in waiting:
            if own.actor != context.actor:
                self._recorder.decide("container", container_id, AttachClient(attachment.streams), own)
        return tuple(attachment.streams for attachment, own in waiting if own.actor == context.actor)

    def take(self, container_id: str) -> list[Attachment]:
        """For the start."""
        with self._guard:
            return [attachment for attachment, _ in self._waiting.pop(container_id, [])]

    def drop(self, container_id: str) -> None:
        """Their wait is over: the container will not start."""
        close_all(self.take(container_id))


def _has_left(fd: int) -> bool:
    """Whoever has only ended what it sends still wants to read."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
