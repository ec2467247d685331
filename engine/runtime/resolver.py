"""The resolver of a container, in its shim's loop: names of its networks are answered, everything else is passed on.

It needs no daemon to answer: what it knows lies in files (see ``known_names``). Forwarded questions go out from the
host's network namespace.
"""

from __future__ import annotations

import socket
import struct
import sys

from engine.runtime import dns_message
from engine.runtime.dns_message import NOT_IMPLEMENTED, Query
from engine.runtime.known_names import KnownNames
from engine.runtime.loop import GONE, IN, OUT, Loop, accept, lose_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Reply = Callable[[bytes], None]

_MOST_BYTES = 65535
_QUERIES_A_TURN = 64
_FORWARD_S = 4.0
_TCP_S = 30.0
_MOST_WAITING = 512
"""Each has a descriptor, and a shim has more to do with those that it may have: 1024 by most systems' default."""
_MOST_CONNECTIONS = 64
_MOST_UNREAD_BYTES = 1 << 17
"""Answers that somebody who asks over TCP doesn't read: then nothing more is read of him."""
_SERVER_PORT = 53


class Resolver:
    """``fds`` are a UDP and a listening TCP socket in the container's network namespace."""

    def __init__(self, loop: Loop, fds: list[int], path: str) -> None:
        self._loop = loop
        self._known = KnownNames(path)
        self._udp, self._tcp = (socket.socket(fileno=fd) for fd in fds)
        self._waiting: set[_Forward] = set()
        self._connections: set[_Connection] = set()
        loop.watch(self._udp.fileno(), IN, self._read, lose_one)
        loop.watch(self._tcp.fileno(), IN, self._accept, lose_one)

    def close(self) -> None:
        for one in [*self._waiting, *self._connections]:
            one.close()
        for sock in (self._udp, self._tcp):
            self._loop.forget(sock.fileno())
            sock.close()

    # --- questions -------------------------------------------------------------------------------------------------

    def _read(self, events: int) -> None:
        udp = self._udp
        for _ in range(_QUERIES_A_TURN):
            try:
                data, source = udp.recvfrom(_MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier answer met a closed port
            if (answer := self._known.again(data)) is not None:
                self._send(answer, source)
            elif (query := dns_message.parse_query(data)) is not None:
                self.serve(query, data, lambda reply, to=source, asked=query: self._fit(reply, to, asked))

    def _fit(self, reply: bytes, to: Any, query: Query) -> None:
        self._send(reply if len(reply) <= query.udp_bytes else dns_message.truncated(query), to)

    def _send(self, reply: bytes, to: Any) -> None:
        try:
            self._udp.sendto(reply, to)
        except OSError:
            return  # the asker is gone, or doesn't read

    def _accept(self, events: int) -> None:
        sock = accept(self._loop, self._tcp)
        if sock is None:
            return
        if len(self._connections) >= _MOST_CONNECTIONS:
            sock.close()
            return
        sock.setblocking(False)
        self._connections.add(_Connection(self._loop, sock, self, self._connections.discard))

    def serve(self, query: Query, data: bytes, reply: Reply, *, tcp: bool = False) -> None:
        """Answer, now or when somebody else has."""
        if query.opcode:
            reply(dns_message.answer(query, code=NOT_IMPLEMENTED))
            return
        known = self._known
        try:
            known.refresh()
            own = known.answer(query, data)
        except Exception as error:  # a defect here must not end the shim, and with it the container
            print(f"docket shim: the resolver: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            own = dns_message.answer(query, code=dns_message.SERVER_FAILURE)
        if own is not None:
            reply(own)
            return
        is_shut_in, servers = known.is_shut_in, known.servers
        if is_shut_in or not servers or len(self._waiting) >= _MOST_WAITING:
            code = dns_message.NAME_ERROR if is_shut_in else dns_message.SERVER_FAILURE
            reply(dns_message.answer(query, code=code))
            return
        forward = _Forward(self._loop, servers, query, data, reply, tcp, self._waiting.discard)
        self._waiting.add(forward)
        forward.ask()


class _Connection:
    """A client that asks over TCP: messages with their length before them (RFC 1035, 4.2.2)."""

    def __init__(self, loop: Loop, sock: socket.socket, resolver: Resolver, on_end: Any) -> None:
        self._loop = loop
        self._sock = sock
        self._resolver = resolver
        self._on_end = on_end
        self._received = self._waiting = b""
        loop.watch(sock.fileno(), IN, self._turn, self.close)
        loop.later(_TCP_S, self.close)

    def _turn(self, events: int) -> None:
        try:
            if events & OUT:
                self._flush()
                self._serve()  # what was held back while nobody read the answers
            if events & (IN | GONE) and self._sock.fileno() >= 0:
                self._read()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _read(self) -> None:
        data = self._sock.recv(_MOST_BYTES)
        if not data:
            self.close()
            return
        self._received += data
        self._serve()

    def _serve(self) -> None:
        while len(self._received) >= 2 and len(self._waiting) < _MOST_UNREAD_BYTES:
            (length,) = struct.unpack_from(">H", self._received)
            if len(self._received) < length + 2:
                return
            message, self._received = self._received[2 : length + 2], self._received[length + 2 :]
            query = dns_message.parse_query(message)
            if query is None:
                self.close()
                return
            self._resolver.serve(query, message, self._reply, tcp=True)

    def _reply(self, message: bytes) -> None:
        if self._sock.fileno() < 0:
            return
        self._waiting += struct.pack(">H", len(message)) + message
        try:
            self._flush()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        readable = IN if len(self._waiting) < _MOST_UNREAD_BYTES else 0
        self._loop.watch(self._sock.fileno(), readable | (OUT if self._waiting else 0), self._turn, self.close)

    def _flush(self) -> None:
        while self._waiting:
            self._waiting = self._waiting[self._sock.send(self._waiting) :]
        self._loop.watch(self._sock.fileno(), IN, self._turn, self.close)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._on_end(self)


class _Forward:
    """One question that is asked of the host's resolvers, one after the other, by a socket of its own: an answer from
    anybody else doesn't reach it."""

    def __init__(
        self, loop: Loop, servers: list[str], query: Query, data: bytes, reply: Reply, tcp: bool, on_end: Any
    ) -> None:
        self._loop = loop
        self._servers = list(servers)
        self._query = query
        self._data = struct.pack(">H", len(data)) + data if tcp else data
        self._unsent = b""
        self._reply = reply
        self._is_tcp = tcp
        self._on_end = on_end
        self._received = b""
        self._sock: socket.socket | None = None
        self._attempt = 0

    def ask(self) -> None:
        """Begin with the first server."""
        self._ask_next()

    def _ask_next(self) -> None:
        self._drop()
        self._attempt += 1
        self._received, self._unsent = b"", self._data
        if not self._servers:
            self._finish(dns_message.answer(self._query, code=dns_message.SERVER_FAILURE))
            return
        server = self._servers.pop(0)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM if self._is_tcp else socket.SOCK_DGRAM)
        except OSError:  # no more descriptors, or no such family here
            self._ask_next()
            return
        sock.setblocking(False)
        self._sock = sock
        attempt = self._attempt
        self._loop.later(_FORWARD_S, lambda: self._expired(attempt))
        try:
            sock.connect((server, _SERVER_PORT))
            if not self._is_tcp:
                sock.send(self._data)
                self._loop.watch(sock.fileno(), IN, self._turn, self.close)
                return
        except BlockingIOError:
            pass
        except OSError:
            self._ask_next()
            return
        self._loop.watch(sock.fileno(), OUT, self._turn, self.close)

    def _expired(self, attempt: int) -> None:
        if self._sock is not None and attempt == self._attempt:
            self._ask_next()

    def _turn(self, events: int) -> None:
        assert self._sock is not None
        try:
            if self._is_tcp and events & OUT:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
                if not self._unsent:
                    self._loop.watch(self._sock.fileno(), IN, self._turn, self.close)
                return
            data = self._sock.recv(_MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._ask_next()
            return
        if self._is_tcp:
            self._received += data
            if len(self._received) < 2 or len(self._received) < 2 + struct.unpack_from(">H", self._received)[0]:
                if not data:
                    self._ask_next()
                return
            data = self._received[2 : 2 + struct.unpack_from(">H", self._received)[0]]
        if len(data) >= 12 and data[:2] == struct.pack(">H", self._query.id):
            self._finish(data)

    def _finish(self, answer: bytes) -> None:
        self.close()
        self._reply(answer)

    def _drop(self) -> None:
        if self._sock is not None:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def close(self) -> None:
        self._drop()
        self._servers.clear()
        self._on_end(self)
