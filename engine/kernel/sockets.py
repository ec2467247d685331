"""Unix sockets by the interpreter's own C module: socket itself loads enum and selectors, which takes a short-lived
command longer than all that it has to say."""

from __future__ import annotations

import os
import struct

import _socket
from _socket import AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

__all__ = [
    "SOCK_SEQPACKET", "SOCK_STREAM", "UnixSocket", "by_folder", "connect", "descriptors", "new", "pair", "rights"
]  # fmt: skip
_INT_BYTES = 4


class UnixSocket(_socket.socket):
    """What of ``socket.socket`` is used here; close-on-exec."""

    def __enter__(self) -> UnixSocket:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def accept(self) -> tuple[UnixSocket, object]:
        fd, address = self._accept()
        return UnixSocket(fileno=fd), address


def new(kind: int) -> UnixSocket:
    return UnixSocket(AF_UNIX, kind)


def pair(kind: int) -> tuple[UnixSocket, UnixSocket]:
    """Two ends of a private connection."""
    first, second = _socket.socketpair(AF_UNIX, kind)
    return UnixSocket(AF_UNIX, kind, 0, first.detach()), UnixSocket(AF_UNIX, kind, 0, second.detach())


def connect(path: str, kind: int) -> UnixSocket:
    """Raises OSError with the path."""
    sock = new(kind)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, path) from error
    return sock


def by_folder(path: str, call: Callable[[str], None]) -> None:
    """Call a socket's ``bind`` or ``connect`` with a name of ``path`` by a descriptor of its folder, since sockaddr_un
    has room for 107 bytes only (unix(7)). Raises OSError."""
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def rights(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Ancillary data that gives descriptors away (unix(7))."""
    return [(SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []


def descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Those that came with a message."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            count = len(data) // _INT_BYTES
            found += struct.unpack(f"{count}i", data[: count * _INT_BYTES])
    return found
