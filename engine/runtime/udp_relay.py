"""Datagrams of a published port that the kernel can't translate: carried between clients and container by hand.

Each client has a socket of its own to the container, so that what comes back by it is known to be his.
"""

from __future__ import annotations

import socket
import time

from engine.runtime.loop import IN, Loop, lose_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_CLIENTS = 64
"""Each has a descriptor; the one that was silent for longest makes way."""
_IDLE_S = 90.0
_TURN = 32
"""Datagrams that are carried before others get their turn."""
_MOST_BYTES = 65535
_ANCILLARY_BYTES = 64
_IP_PKTINFO = 8

Ancillary = list[tuple[int, int, bytes]]


class UdpRelay:
    """``sock`` is bound to the port of the host, and is closed by its owner."""

    def __init__(self, loop: Loop, sock: socket.socket, target: str, port: int) -> None:
        self._loop = loop
        self._sock = sock
        self._target = (target, port)
        self._clients: dict[Any, _Client] = {}
        self._timer_runs = False
        sock.setblocking(False)
        level, option = (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
        if sock.family == socket.AF_INET:
            level, option = socket.IPPROTO_IP, _IP_PKTINFO
        sock.setsockopt(level, option, 1)  # the answer comes from where it was asked
        loop.watch(sock.fileno(), IN, self._receive, lose_one)

    def _receive(self, events: int) -> None:
        for _ in range(_TURN):
            try:
                data, ancillary, _, source = self._sock.recvmsg(_MOST_BYTES, _ANCILLARY_BYTES)
            except OSError:
                return  # nothing more, or an earlier answer met a closed port
            client = self._clients.get(source) or self._admit(source, ancillary)
            if client is not None:
                client.send(data)

    def _admit(self, source: Any, ancillary: Ancillary) -> _Client | None:
        if len(self._clients) >= _MOST_CLIENTS:
            self._dismiss(min(self._clients.values(), key=lambda one: one.last_s))
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:
            return None  # no more descriptors: the datagram is lost, as datagrams may be
        client = _Client(sock, self._sock, source, ancillary)
        try:
            sock.setblocking(False)
            sock.connect(self._target)
        except OSError:
            sock.close()
            return None
        self._clients[source] = client
        self._loop.watch(sock.fileno(), IN, client.answer, lambda: self._dismiss(client))
        self._look_later()
        return client

    def _look_later(self) -> None:
        if not self._timer_runs and self._clients:
            self._timer_runs = True
            self._loop.later(_IDLE_S / 2, self._expire)

    def _expire(self) -> None:
        self._timer_runs = False
        oldest_s = time.monotonic() - _IDLE_S
        for client in [one for one in self._clients.values() if one.last_s < oldest_s]:
            self._dismiss(client)
        self._look_later()

    def _dismiss(self, client: _Client) -> None:
        del self._clients[client.source]
        self._loop.forget(client.sock.fileno())
        client.sock.close()

    def close(self) -> None:
        for client in list(self._clients.values()):
            self._dismiss(client)


class _Client:
    """``last_s`` is when something came or went, by the monotonic clock."""

    __slots__ = ("sock", "source", "last_s", "_port", "_ancillary")

    def __init__(self, sock: socket.socket, port: socket.socket, source: Any, ancillary: Ancillary) -> None:
        self.sock = sock
        self.source = source
        self.last_s = time.monotonic()
        self._port = port
        self._ancillary = ancillary

    def send(self, data: bytes) -> None:
        self.last_s = time.monotonic()
        try:
            self.sock.send(data)
        except OSError:
            return  # the container's port is closed, or its buffer full: datagrams may be lost

    def answer(self, events: int) -> None:
        for _ in range(_TURN):
            try:
                data = self.sock.recv(_MOST_BYTES)
                self._port.sendmsg([data], self._ancillary, 0, self.source)
            except OSError:
                return  # nothing more; or the container refused, or the client is gone
            self.last_s = time.monotonic()
