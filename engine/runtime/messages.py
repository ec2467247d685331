"""Messages between the processes: one JSON object with descriptors, over a SOCK_SEQPACKET socket (unix(7)).

A message that doesn't fit into a packet travels in a memfd that is the first descriptor; the first byte tells.
"""

from __future__ import annotations

import errno
import os

import _socket

from engine.kernel import json_text, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any, Sequence

    Socket = socket | sockets.UnixSocket

Message = dict[str, "Any"]

DONT_WAIT = _socket.MSG_DONTWAIT
"""A plain number, as all flags in the shim's half: arithmetic on enum's members runs a lot of Python."""

_INLINE_BYTES = 60_000
_MOST_FDS = 250
_ANCILLARY_BYTES = _socket.CMSG_SPACE(4 * (_MOST_FDS + 1))
_MSG_NOSIGNAL, _MSG_CMSG_CLOEXEC, _MSG_CTRUNC = _socket.MSG_NOSIGNAL, _socket.MSG_CMSG_CLOEXEC, _socket.MSG_CTRUNC
_INLINE, _IN_FILE = b"J", b"F"
_encode, _decode = json_text.dumps, json_text.loads


class Truncated(OSError):
    """Not all descriptors of a message arrived, since the receiver may have no more. ``message`` is its text (None
    where that travelled in one of them), ``fds`` are those that did arrive, and belong to the receiver."""

    def __init__(self, message: Message | None, fds: list[int]) -> None:
        super().__init__(errno.EMFILE, os.strerror(errno.EMFILE))
        self.message = message
        self.fds = fds


def pair() -> tuple[sockets.UnixSocket, sockets.UnixSocket]:
    """Two ends of a private connection; both are close-on-exec."""
    return sockets.pair(sockets.SOCK_SEQPACKET)


def encode(message: Message) -> bytes:
    """A small message without descriptors as the packet that it is, for who can't call sendmsg(2)."""
    return _INLINE + _encode(message).encode()


def send(sock: Socket, message: Message, fds: Sequence[int] = (), flags: int = 0) -> None:
    """Send one message; the receiver gets duplicates of ``fds``. Raises OSError (EPIPE: nobody is there)."""
    payload = _encode(message).encode()
    if len(payload) <= _INLINE_BYTES:
        _send(sock, _INLINE + payload, fds, flags)
        return
    file = os.memfd_create("docket-message", os.MFD_CLOEXEC)
    try:
        while payload:
            payload = payload[os.write(file, payload) :]
        os.lseek(file, 0, os.SEEK_SET)
        _send(sock, _IN_FILE, [file, *fds], flags)
    finally:
        os.close(file)


def _send(sock: Socket, payload: bytes, fds: Sequence[int], flags: int) -> None:
    sock.sendmsg([payload], sockets.rights(fds), flags | _MSG_NOSIGNAL)


def _receive(sock: Socket, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
    return sock.recvmsg(_INLINE_BYTES + 1, _ANCILLARY_BYTES, flags | _MSG_CMSG_CLOEXEC)[:3]


def receive(sock: Socket, flags: int = 0) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, close-on-exec; None when the other end is closed. Raises Truncated."""
    try:
        payload, ancillary, got = _receive(sock, flags)
    except ConnectionResetError:  # told once, where the other end closed with something unread ...
        try:
            payload, ancillary, got = _receive(sock, flags)  # ... and what it had said before that is still to be heard
        except ConnectionResetError:
            return None
    descriptors = sockets.descriptors(ancillary)
    if not payload:
        return None
    if got & _MSG_CTRUNC:
        raise Truncated(None if payload[:1] == _IN_FILE else _decode(payload[1:].decode()), descriptors)
    if payload[:1] == _IN_FILE:
        with os.fdopen(descriptors.pop(0), "rb") as file:
            return _decode(file.read().decode()), descriptors
    return _decode(payload[1:].decode()), descriptors
