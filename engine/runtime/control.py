"""The shim's ears: its socket, the connections of daemons, requests and their answers, news for whoever listens.

A request is ``{"id", "op", ...}`` with descriptors, its answer ``{"reply": id, ...}``, news are ``{"type", ...}``.
"""

from __future__ import annotations

import os
import socket
from collections import deque

from engine.kernel.steps import step
from engine.runtime import messages
from engine.runtime.loop import GONE, IN, OUT, Loop, accept, lose_one
from engine.runtime.messages import Message
from engine.runtime.setup import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Handler = Callable[["Connection", Message, list[int]], None]


def socket_name(container_id: str) -> str:
    """Short enough for sun_path together with the prefix through which it is reached."""
    return f"{container_id[:16]}.sock"


class Connection:
    """One daemon, or what was one. Sending never blocks the shim."""

    def __init__(
        self, loop: Loop, sock: socket.socket, handler: Handler, on_gone: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self.socket = sock
        self._handler = handler
        self._on_gone = on_gone
        self._waiting: deque[Message] = deque()
        self._watch(IN)

    def _watch(self, events: int) -> None:
        self._loop.watch(self.socket.fileno(), events, self._serve, self.close)

    def send(self, message: Message) -> None:
        """Now, or when the other end reads again."""
        self._waiting.append(message)
        self._flush()

    def send_waiting(self) -> None:
        """Send what waits, and read again."""
        self._flush()

    def _flush(self) -> None:
        if self.socket.fileno() < 0:
            return
        try:
            while self._waiting:
                messages.send(self.socket, self._waiting[0], flags=messages.DONT_WAIT)
                self._waiting.popleft()
        except BlockingIOError:
            self._watch(IN | OUT)
            return
        except OSError:
            self.close()
            return
        self._watch(IN)

    def _serve(self, events: int) -> None:
        if events & IN:
            try:
                received = messages.receive(self.socket, messages.DONT_WAIT)
            except BlockingIOError:
                return
            except messages.Truncated as error:
                self._refuse(error)
                return
            if received is None:
                self.close()
                return
            self._handler(self, *received)
        elif events & GONE:
            self.close()
            return
        if events & OUT:
            self._flush()

    def _refuse(self, error: messages.Truncated) -> None:
        """A request whose descriptors didn't all arrive; where that was the one with its text, nobody knows which."""
        for fd in error.fds:
            os.close(fd)
        if error.message is None:
            self.close()
        else:
            self.send({"reply": error.message["id"], "error": failure(error)})

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._loop.forget(self.socket.fileno())
            self.socket.close()
            self._on_gone(self)


class Control:
    """All connections of a shim, the first of which it got from the spawner."""

    def __init__(self, loop: Loop, folder: str, container_id: str, first: socket.socket, handler: Handler) -> None:
        self._loop = loop
        self._handler = handler
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = socket_name(container_id)
        self._connections = [Connection(loop, first, handler, self._gone)]
        loop.forget(first.fileno())  # until the launcher has read the plan from it: see serve_first
        self._listener: socket.socket | None = None
        self.when_alone: Callable[[], None] = lambda: None
        """Called when the last daemon is gone."""

    @property
    def first(self) -> Connection:
        return self._connections[0]

    def serve_first(self) -> None:
        """The launcher is done with the first connection: requests on it are ours from now on."""
        for connection in list(self._connections):
            connection.send_waiting()

    def listen(self) -> None:
        """Bind the socket. Its path goes through our descriptor of the folder, since sun_path holds 108 bytes only."""
        with step("shim.listen"):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            self._unlink()  # of an earlier shim of this container, which is dead: we hold the lock
            previous = os.umask(0o177)
            try:
                listener.bind(f"/proc/self/fd/{self._folder}/{self._name}")
            finally:
                os.umask(previous)
            listener.listen(8)
        self._listener = listener
        self._loop.watch(listener.fileno(), IN, self._accept, lose_one)

    def _accept(self, events: int) -> None:
        assert self._listener is not None
        if (sock := accept(self._loop, self._listener)) is None:
            return
        sock.setblocking(True)
        self._connections.append(Connection(self._loop, sock, self._handler, self._gone))

    def _gone(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self.when_alone()

    def tell_all(self, news: dict[str, Any]) -> bool:
        """News to every daemon that listens; False where there is none."""
        for connection in list(self._connections):
            connection.send(news)
        return bool(self._connections)

    def close(self) -> None:
        """Be found no more. Connections stay open for the last news."""
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
            self._unlink()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _unlink(self) -> None:
        try:
            os.unlink(self._name, dir_fd=self._folder)
        except FileNotFoundError:
            pass  # the run folder has been cleared, or there was none
