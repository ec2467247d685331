"""Attaching over a websocket (RFC 6455), for clients in browsers: binary messages instead of a bare stream.

A thread carries the bytes of one connection between its frames and one end of a socket pair, whose other end is handed
over like a client's socket. What blocks is this client's alone.
"""

from __future__ import annotations

import base64
import hashlib
import select
import socket
import threading
from typing import Iterator, Mapping

from engine.domain.errors import InvalidArgument

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MOST_BYTES = 1 << 20
"""What a client may put into one frame."""
_CHUNK_BYTES = 65536
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_DATA = (0, 1, _BINARY)
_NORMAL, _PROTOCOL_ERROR, _TOO_BIG = 1000, 1002, 1009


class Refused(Exception):
    """A frame that is none; ``code`` is the reason to close with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def accept_of(headers: Mapping[str, str]) -> str:
    """The answer to a client's key. Raises InvalidArgument where it asks for no websocket of version 13."""
    key = headers.get("sec-websocket-key", "")
    if headers.get("upgrade", "").lower() != "websocket" or headers.get("sec-websocket-version") != "13" or not key:
        raise InvalidArgument("this path takes websockets of version 13: use POST .../attach for a stream")
    return base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()


def frame(kind: int, payload: bytes) -> bytes:
    """One whole message of the engine's."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 127)) + size.to_bytes(8, "big")
    return head + payload


def closing(code: int = _NORMAL) -> bytes:
    """The last frame."""
    return frame(_CLOSE, code.to_bytes(2, "big"))


class Frames:
    """Takes apart what a client sends."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(kind, payload) of every frame that is complete now. Raises Refused."""
        self._pending += data
        while len(self._pending) >= 2:
            kind, size, at = self._pending[0] & 15, self._pending[1] & 127, 2
            if self._pending[0] & 0x70 or not self._pending[1] & 0x80 or kind >= 8 and size > 125:
                raise Refused(_PROTOCOL_ERROR)  # an extension, no mask, or a long frame of control
            if size >= 126:
                at += 2 if size == 126 else 8
                size = int.from_bytes(self._pending[2:at], "big")
                if len(self._pending) < at:
                    return
            if size > _MOST_BYTES:
                raise Refused(_TOO_BIG)
            end = at + 4 + size
            if len(self._pending) < end:
                return
            mask, payload = self._pending[at : at + 4], self._pending[at + 4 : end]
            self._pending = self._pending[end:]
            yield kind, _unmasked(mask, payload)


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def carry(client: socket.socket, engine: socket.socket, early: bytes) -> None:
    """In a thread of its own, until one of the two has ended; both belong to it."""
    threading.Thread(target=_carry, args=(client, engine, early), name="api-websocket", daemon=True).start()


def _carry(client: socket.socket, engine: socket.socket, early: bytes) -> None:
    with client, engine:
        try:
            client.sendall(_until_the_end(client, engine, early))
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it is gone


def _until_the_end(client: socket.socket, engine: socket.socket, early: bytes) -> bytes:
    """What is to be sent last. Raises OSError where the client breaks off."""
    frames, poll = Frames(), select.poll()
    poll.register(client, select.POLLIN)
    poll.register(engine, select.POLLIN)
    try:
        if not _take_in(frames, early, client, engine):
            return closing()
        while True:
            for fd, _ in poll.poll():
                if fd == engine.fileno():
                    data = engine.recv(_CHUNK_BYTES)
                    if not data:
                        return closing()
                    client.sendall(frame(_BINARY, data))
                elif not (data := client.recv(_CHUNK_BYTES)) or not _take_in(frames, data, client, engine):
                    return closing()
    except Refused as error:
        return closing(error.code)


def _take_in(frames: Frames, data: bytes, client: socket.socket, engine: socket.socket) -> bool:
    """False where the client says goodbye."""
    for kind, payload in frames.feed(data):
        if kind in _DATA:
            engine.sendall(payload)
        elif kind == _PING:
            client.sendall(frame(_PONG, payload))
        elif kind == _CLOSE:
            return False
        elif kind != _PONG:
            raise Refused(_PROTOCOL_ERROR)
    return True
