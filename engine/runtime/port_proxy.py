"""Ports of the host that the shim holds for its container, and the little that the kernel can't translate.

What comes to a published port by IPv4 is translated by the kernel before a socket sees it. What comes by IPv6 to a
container that has no such address, and what comes to ::1, is carried by hand, in the shim's loop.
"""

from __future__ import annotations

import errno
import socket

from engine.runtime.loop import GONE, IN, OUT, Loop, accept, lose_one
from engine.runtime.udp_relay import UdpRelay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

_CHUNK_BYTES = 65536
_BACKLOG = 128
_MOST_CONNECTIONS = 192
"""At once, of all ports of the container: each has two descriptors. Others wait in the backlog."""


class PortProxies:
    """The held sockets. ``listeners`` says for each where what comes is to go: "protocol", "target" and "port", or
    nothing."""

    def __init__(self, loop: Loop, held: Sequence[int], listeners: Sequence[dict[str, Any]]) -> None:
        self._loop = loop
        self._sockets = [socket.socket(fileno=fd) for fd in held]
        self._listening: list[tuple[socket.socket, Callable[[int], None]]] = []
        self._connections: set[_Connection] = set()
        self._relays: list[UdpRelay] = []
        try:
            for sock, listener in zip(self._sockets, listeners):
                if listener and listener["protocol"] == "udp":
                    self._relays.append(UdpRelay(loop, sock, listener["target"], listener["port"]))
                elif listener:
                    self._listen(sock, listener["target"], listener["port"])
        except OSError:
            self.close()
            raise

    def _listen(self, sock: socket.socket, target: str, port: int) -> None:
        sock.setblocking(False)
        # listening asks for the port anew, and connections that are closed must not keep it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.listen(_BACKLOG)
        self._listening.append((sock, lambda events: self._accept(sock, target, port)))
        self._loop.watch(sock.fileno(), IN, self._listening[-1][1], lose_one)

    def _accept(self, sock: socket.socket, target: str, port: int) -> None:
        client = accept(self._loop, sock)
        if client is None:
            return
        server = _connect(target, port)
        if server is None:
            client.close()
            return
        client.setblocking(False)
        self._connections.add(_Connection(self._loop, client, server, self._ended))
        if len(self._connections) >= _MOST_CONNECTIONS:
            for one, _ in self._listening:
                self._loop.forget(one.fileno())

    def _ended(self, connection: _Connection) -> None:
        was_full = len(self._connections) >= _MOST_CONNECTIONS
        self._connections.discard(connection)
        if was_full:
            for sock, callback in self._listening:
                self._loop.watch(sock.fileno(), IN, callback, lose_one)

    def close(self) -> None:
        """Let go of the ports and of what is connected through them."""
        for connection in list(self._connections):
            connection.close()
        for relay in self._relays:
            relay.close()
        for sock in self._sockets:
            self._loop.forget(sock.fileno())
            sock.close()
        self._listening.clear()
        self._sockets.clear()


def _connect(target: str, port: int) -> socket.socket | None:
    """A socket that is about to be connected; None where that can't be."""
    try:
        server = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return None  # no more descriptors
    server.setblocking(False)
    if server.connect_ex((target, port)) in (0, errno.EINPROGRESS):
        return server
    server.close()
    return None


class _Connection:
    """Two sockets, each with what waits to be written to it. An end of one direction is passed on alone."""

    def __init__(self, loop: Loop, client: socket.socket, server: socket.socket, on_end: Any) -> None:
        self._loop = loop
        self._on_end = on_end
        self._peers = {client: server, server: client}
        self._waiting = {client: b"", server: b""}
        self._ended: set[socket.socket] = set()
        self._shut: set[socket.socket] = set()
        self._connecting = server
        loop.watch(server.fileno(), OUT, lambda events: self._turn(server, events), self.close)

    def _turn(self, sock: socket.socket, events: int) -> None:
        try:
            if sock is self._connecting:
                if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(error, "the container refused")
                self._connecting = None  # type: ignore[assignment]
            if events & OUT:
                self._write(sock)
            if events & (IN | GONE) and sock not in self._ended and not self._waiting[self._peers[sock]]:
                self._read(sock)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._watch()

    def _read(self, sock: socket.socket) -> None:
        data, peer = sock.recv(_CHUNK_BYTES), self._peers[sock]
        if data:
            self._waiting[peer] = data
            self._write(peer)
        else:
            self._ended.add(sock)
            self._write(peer)

    def _write(self, sock: socket.socket) -> None:
        if data := self._waiting[sock]:
            self._waiting[sock] = data[sock.send(data) :]
        if not self._waiting[sock] and self._peers[sock] in self._ended and sock not in self._shut:
            self._shut.add(sock)
            sock.shutdown(socket.SHUT_WR)

    def _watch(self) -> None:
        if len(self._shut) == 2:
            self.close()
            return
        for sock, peer in self._peers.items():
            readable = sock not in self._ended and not self._waiting[peer]
            events = (IN if readable else 0) | (OUT if self._waiting[sock] else 0)
            if events:
                self._loop.watch(sock.fileno(), events, lambda found, one=sock: self._turn(one, found), self.close)
            else:
                self._loop.forget(sock.fileno())

    def close(self) -> None:
        for sock in self._peers:
            if sock.fileno() >= 0:
                self._loop.forget(sock.fileno())
                sock.close()
        self._on_end(self)
