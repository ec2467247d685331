"""The doors and the connections: one thread each, so that a stuck client holds up nobody but itself."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any, Callable, Sequence

from engine.api.connection import Composition, Connection
from engine.api.doors import Door
from engine.api.exchange import JSON
from engine.api.router import Router
from engine.api.routes import ROUTES
from engine.api.status import body_of
from engine.kernel import allocator

CONNECTIONS = 2048
"""More than this are told to try again later: each costs a thread."""
CROWD = 64
"""So many connections at once leave a heap behind that is worth giving back, when most of them are gone."""


class Server:
    """Accepts connections until it is stopped, and closes the doors then. ``clock`` gives microseconds since the
    epoch."""

    def __init__(self, doors: Sequence[Door], services: Any, *, clock: Callable[[], int]) -> None:
        self._doors = doors
        self._shared = Composition(services, Router(ROUTES), clock)
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._most = 0
        self._acceptors = [
            threading.Thread(target=self._accept, args=(door,), name="api-accept", daemon=True) for door in doors
        ]

    @property
    def connection_count(self) -> int:
        """How many connections are open: each has a thread."""
        with self._lock:
            return len(self._connections)

    def start(self) -> None:
        for acceptor in self._acceptors:
            acceptor.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Refuse new connections, end those that are open, and wait for their threads at most ``timeout_s``."""
        if self._shared.stopping.is_set():
            return
        self._shared.stopping.set()
        for door in self._doors:
            door.close()
        for door, acceptor in zip(self._doors, self._acceptors):
            acceptor.join()
            door.listener.close()
        with self._lock:
            threads = list(self._connections.items())
        for connection, _ in threads:
            connection.interrupt()
        share_s = timeout_s / max(1, len(threads))
        for _, thread in threads:
            thread.join(share_s)
        self._shared.departures.close()

    def _accept(self, door: Door) -> None:
        while not self._shared.stopping.is_set():
            try:
                sock, _ = door.listener.accept()
            except OSError as error:
                if self._shared.stopping.is_set():
                    return
                print(f"api: accept: {error}", file=sys.stderr)
                self._shared.stopping.wait(0.2)  # out of descriptors: let some connections end
                continue
            try:
                door.admit(sock, self._open)
            except (OSError, RuntimeError) as error:  # RuntimeError: no more threads can be started
                print(f"api: a connection could not be admitted: {error}", file=sys.stderr)
                sock.close()

    def _open(self, sock: socket.socket, actor: dict[str, Any]) -> None:
        try:
            if self.connection_count >= CONNECTIONS:
                _turn_away(sock)
                return
            connection = Connection(sock, self._shared, actor)
            thread = threading.Thread(target=self._run, args=(connection,), name="api-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
                self._most = max(self._most, len(self._connections))
            thread.start()
        except (OSError, RuntimeError) as error:
            print(f"api: a connection could not be served: {error}", file=sys.stderr)
            sock.close()

    def _run(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            if self._has_ended(connection):
                allocator.give_back()

    def _has_ended(self, connection: Connection) -> bool:
        """Forget a connection. True where it was one of the last of a crowd."""
        with self._lock:
            self._connections.pop(connection, None)
            left = len(self._connections)
            if self._most < CROWD or left > self._most // 8:
                return False
            self._most = left
            return True


def _turn_away(sock: socket.socket) -> None:
    body = body_of("too many connections are open, try again later")
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
    with sock:
        sock.settimeout(0)  # its buffer is empty, so this fits; if not, the client is not worth waiting for
        try:
            sock.send((head + "Connection: close\r\n\r\n").encode("ascii") + body)
        except OSError as error:
            print(f"api: turning a connection away: {error}", file=sys.stderr)
