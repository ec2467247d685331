"""HTTP/1.1 to an engine over a unix socket, TLS or ssh: one exchange at a time, kept alive, hijackable.

RFC 9112, as much of it as the Docker Engine API uses: Content-Length and chunked bodies in both directions, and
Docker's upgrade to a raw stream (101, or 200 from old engines).

The socket module costs 8 ms at start (it builds enumerations and imports selectors): ``_socket`` is what it wraps.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, AF_UNIX, MSG_DONTWAIT, MSG_PEEK, SHUT_RDWR, SHUT_WR, SOCK_STREAM, getaddrinfo
from _socket import socket as Socket

from engine.client.address import Address
from engine.client.errors import EngineUnreachable, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

    from engine.client.tls import TLSSocket

_SOCK_CLOEXEC = 0o2000000
_RECEIVE_BYTES = 65536
_MAX_LINE_BYTES = 65536
_MAX_HEADERS = 200
_BODILESS = (204, 304)


def connect(address: Address) -> Socket | TLSSocket:
    """A connected socket. Raises EngineUnreachable, and ClientError where TLS or ssh can't be begun."""
    if address.ssh:
        from engine.client import ssh

        return ssh.connect(address)
    sock = _connect(address)
    if address.tls is None:
        return sock
    from engine.client.tls import TLSSocket

    try:
        return TLSSocket(sock, address.tls, address.node)
    except BaseException:
        sock.close()
        raise


def _connect(address: Address) -> Socket:
    try:
        if address.path:
            return _connect_unix(address.path)
        refusal = OSError(f"no address for {address.node}")
        for family, kind, _, _, where in getaddrinfo(address.node, address.port, 0, SOCK_STREAM):
            if family in (AF_INET, AF_INET6):
                sock = Socket(family, kind | _SOCK_CLOEXEC)
                try:
                    sock.connect(where)
                    return sock
                except OSError as error:
                    sock.close()
                    refusal = error
        raise refusal
    except OSError as error:
        raise EngineUnreachable(str(address), error) from error


def _connect_unix(path: str) -> Socket:
    sock = Socket(AF_UNIX, SOCK_STREAM | _SOCK_CLOEXEC)
    if len(os.fsencode(path)) < 108:  # sizeof(sockaddr_un.sun_path), unix(7)
        sock.connect(path)
        return sock
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)
    return sock


class Response:
    """Status, headers (lower-case names) and the body, which is read once: whole, in pieces or in lines."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], *, bodiless: bool) -> None:
        self.status = status
        self.headers = headers
        self.connection = connection
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = int(headers["content-length"]) if "content-length" in headers else None
        self._chunk_left = 0
        self.complete = bodiless or (self._left == 0 and not self._chunked)

    def read_some(self) -> bytes:
        """The next piece of the body as it arrives; empty at its end. Raises ProtocolError if it is cut off."""
        if self.complete:
            return b""
        if self._chunked:
            return self._read_chunk()
        piece = self.connection.receive(_RECEIVE_BYTES if self._left is None else min(self._left, _RECEIVE_BYTES))
        if self._left is None:
            self.complete = not piece
            return piece
        if not piece:
            raise ProtocolError("the daemon hung up in the middle of an answer")
        self._left -= len(piece)
        self.complete = self._left == 0
        return piece

    def _read_chunk(self) -> bytes:
        if self._chunk_left == 0:
            size = self.connection.read_line().partition(b";")[0]
            try:
                self._chunk_left = int(size, 16)
            except ValueError as error:
                raise ProtocolError(f"the daemon sent a bad chunk size {size[:20]!r}") from error
            if self._chunk_left == 0:
                while self.connection.read_line():
                    pass  # trailers
                self.complete = True
                return b""
        piece = self.connection.receive(min(self._chunk_left, _RECEIVE_BYTES))
        if not piece:
            raise ProtocolError("the daemon hung up in the middle of an answer")
        self._chunk_left -= len(piece)
        if self._chunk_left == 0:
            self.connection.read_line()
        return piece

    def read(self) -> bytes:
        """What is left of the body."""
        pieces = []
        while piece := self.read_some():
            pieces.append(piece)
        return b"".join(pieces)

    def lines(self) -> Iterator[bytes]:
        """The lines of the body as they arrive, without their ends; blank ones are left out."""
        rest = b""
        while piece := self.read_some():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if line.strip():
                    yield line.rstrip(b"\r")
        if rest.strip():
            yield rest

    def close(self) -> None:
        """Give the rest of the body up, and the connection with it."""
        self.connection.close()


class Connection:
    """One socket to an engine. ``early`` holds bytes that arrived with a response's head."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.socket = connect(address)
        self._buffer = b""
        self.is_open = True

    def fileno(self) -> int:
        return self.socket.fileno()

    def send_head(self, method: str, target: str, headers: dict[str, str]) -> None:
        """The request line and the headers."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.send(f"{method} {target} HTTP/1.1\r\nHost: docket\r\n{lines}\r\n".encode("utf-8", "surrogateescape"))

    def send(self, data: bytes) -> None:
        """All of ``data``."""
        self.socket.sendall(data)

    def send_chunks(self, pieces: Iterable[bytes]) -> None:
        """A chunked body. An engine that answers before it has read everything is heard, not blamed."""
        try:
            for piece in pieces:
                if piece:
                    self.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.is_open = False  # its answer is in our receive buffer

    def read_response(self, *, bodiless: bool = False) -> Response:
        """The head of the next response; 1xx ones but 101 are passed over. Raises ProtocolError."""
        while True:
            version, _, rest = self.read_line().partition(b" ")
            code = rest[:3]
            if not version.startswith(b"HTTP/1.") or not code.isdigit():
                raise ProtocolError(f"what answers at {self.address} does not speak HTTP")
            headers = self._read_headers()
            status = int(code)
            if status >= 200 or status == 101:
                break
        response = Response(self, status, headers, bodiless=bodiless or status in _BODILESS)
        if headers.get("connection", "").lower() == "close":
            self.is_open = False
        return response

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while line := self.read_line():
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
            if len(headers) > _MAX_HEADERS:
                raise ProtocolError("the daemon sent too many headers")
        return headers

    def read_line(self) -> bytes:
        """One line without its CRLF."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise ProtocolError("the daemon sent a line without an end")
            piece = self._receive(_RECEIVE_BYTES)
            if not piece:
                raise ProtocolError(self.silence())
            self._buffer += piece
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r")

    def silence(self) -> str:
        """What to say of an engine that hung up without a word."""
        if self.address.ssh:
            return f"{self.address}: nothing answers: can `ssh` log in there, and is `docket` in $PATH there?"
        hint = ": does it want TLS (--tlsverify)?" if self.address.node and not self.address.tls else ""
        return f"the daemon hung up before it answered{hint}"

    def receive(self, limit: int) -> bytes:
        """At most ``limit`` bytes, those that came early first; empty at the end of the stream."""
        if self._buffer:
            piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return piece
        return self._receive(limit)

    def _receive(self, limit: int) -> bytes:
        try:
            return self.socket.recv(limit)
        except ConnectionResetError:
            return b""

    @property
    def has_early_bytes(self) -> bool:
        """Whether ``receive`` answers without asking the socket."""
        return bool(self._buffer) or bool(self.address.tls and self.socket.pending)

    def is_usable(self) -> bool:
        """Whether an idle connection can carry another exchange: the engine has not closed it meanwhile."""
        if not self.is_open:
            return False
        try:
            self.socket.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # its end, or bytes that nobody asked for

    def close_write(self) -> None:
        """Half-close: the container's standard input ends, its output goes on."""
        try:
            self.socket.shutdown(SHUT_WR)
        except OSError:
            return  # the engine has closed it already

    def break_off(self) -> None:
        """From another thread: whoever reads from it finds its end."""
        try:
            raw = Socket(fileno=os.dup(self.fileno()))  # below TLS, which is the reader's
            raw.shutdown(SHUT_RDWR)
        except OSError:
            return  # it has ended already
        raw.close()

    def close(self) -> None:
        self.is_open = False
        self.socket.close()
