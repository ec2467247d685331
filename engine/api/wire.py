"""HTTP/1.1 as bytes: request heads and bodies, parsed strictly (RFC 9112), bounded in size and in time.

Whatever is ambiguous is refused and ends the connection, since two readers that disagree on where a request ends are
how requests are smuggled: both Content-Length and Transfer-Encoding, a repeated or odd length, a bare line feed,
a folded header, a space before a colon.
"""

from __future__ import annotations

import io
import re
import socket
import time
from dataclasses import dataclass
from typing import Callable
from urllib.parse import unquote_to_bytes

HEAD_BYTES = 64 * 1024
HEADERS = 100
TARGET_BYTES = 16 * 1024
READ_AHEAD_BYTES = 4096
"""What a connection that waits for its next request holds, however many there are."""
CHUNK_LINE_BYTES = 1024
TRAILER_BYTES = 8 * 1024

IDLE_S = 600.0
"""How long a kept-alive connection may be silent between two requests."""
HEAD_S = 15.0
"""How long a head may take from its first byte on: a client that drips headers is sent away."""
BODY_IDLE_S = 300.0
"""How long a body may be silent. A person may be typing it (``docker load``), so this is generous."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CONTROL_TEXT = re.compile(r"[\x00-\x1f\x7f]")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_HEX = re.compile(rb"[0-9a-fA-F]{1,15}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")
_ONCE = frozenset({"content-length", "transfer-encoding", "host"})


class WireError(Exception):
    """The bytes are not a request that can be served; the connection ends after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClientLeft(ConnectionError):
    """The client closed the connection, or fell silent, in the middle of a request."""


@dataclass(slots=True)
class Head:
    """A request's first part. Header names are lower-case; ``length`` is None for a chunked body."""

    method: str
    path: str
    query: str
    minor: int
    headers: dict[str, str]
    length: int | None

    @property
    def keep_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection if self.minor else "keep-alive" in connection


class Source:
    """The bytes of a connection, buffered, with a time limit on every wait."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def _fill(self, timeout_s: float) -> bool:
        """Wait for more bytes. False at the end of the stream. Raises TimeoutError."""
        self._sock.settimeout(max(timeout_s, 0.001))
        received = self._sock.recv(READ_AHEAD_BYTES)
        self._buffer += received
        return bool(received)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def rest(self) -> bytes:
        """What was read ahead and not yet consumed: it belongs to whoever takes the connection over."""
        return self._take(len(self._buffer))

    def read_head(self) -> bytes | None:
        """The next head without its empty line; None where the client is done. Raises WireError."""
        deadline: float | None = None
        searched = 0
        while True:
            while self._buffer[:2] == b"\r\n":  # RFC 9112 2.2: an empty line before a request is ignored
                del self._buffer[:2]
            end = self._buffer.find(b"\r\n\r\n", searched)
            if 0 <= end <= HEAD_BYTES:
                head = self._take(end)
                del self._buffer[:4]
                return head
            if len(self._buffer) > HEAD_BYTES:
                raise WireError(431, f"the request's headers are larger than {HEAD_BYTES} bytes")
            searched = max(0, len(self._buffer) - 3)
            if self._buffer and deadline is None:
                deadline = time.monotonic() + HEAD_S
            try:
                if not self._fill(IDLE_S if deadline is None else deadline - time.monotonic()):
                    return None
                deadline = deadline or time.monotonic() + HEAD_S
            except TimeoutError as error:
                if deadline is None:
                    return None
                raise WireError(408, f"the request's headers took longer than {HEAD_S:.0f} s") from error

    def read_line(self, limit: int, timeout_s: float) -> bytes:
        """A line of a body's framing without its CRLF. Raises WireError, ClientLeft."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > limit:
                break
            self._more(timeout_s)
        if not 0 <= end <= limit:
            raise WireError(400, "the chunked body's framing is broken")
        line = self._take(end)
        del self._buffer[:2]
        return line

    def read_into(self, view: memoryview, timeout_s: float) -> int:
        """Copy at least one byte. Raises ClientLeft where none will come."""
        if not self._buffer:
            if len(view) >= 65536:  # large reads go around the buffer
                return self._receive_into(view, timeout_s)
            self._more(timeout_s)
        count = min(len(view), len(self._buffer))
        view[:count] = self._buffer[:count]
        del self._buffer[:count]
        return count

    def _receive_into(self, view: memoryview, timeout_s: float) -> int:
        self._sock.settimeout(timeout_s)
        try:
            count = self._sock.recv_into(view)
        except TimeoutError as error:
            raise ClientLeft("the client fell silent in the middle of the request's body") from error
        if not count:
            raise ClientLeft("the client hung up in the middle of the request's body")
        return count

    def _more(self, timeout_s: float) -> None:
        try:
            alive = self._fill(timeout_s)
        except TimeoutError as error:
            raise ClientLeft("the client fell silent in the middle of the request's body") from error
        if not alive:
            raise ClientLeft("the client hung up in the middle of the request's body")


def parse_head(raw: bytes) -> Head:
    """Parse a head. Raises WireError with the status that says what is wrong."""
    lines = raw.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):
        raise WireError(400, "malformed request line")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise WireError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    minor = version[-1] - 48
    headers = _parse_headers(lines[1:])
    if minor and "host" not in headers:
        raise WireError(400, "missing required Host header")
    path, query = _parse_target(target)
    return Head(method.decode("ascii"), path, query, minor, headers, _body_length(headers, minor))


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > HEADERS:
        raise WireError(431, f"the request has more than {HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        raw_name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(raw_name) or _CONTROL.search(value):
            raise WireError(400, "malformed header")
        name = raw_name.decode("ascii").lower()
        text = value.strip(b" \t").decode("latin-1")
        if name in headers:
            if name in _ONCE:
                raise WireError(400, f"the header {name} is repeated")
            text = f"{headers[name]}, {text}"
        headers[name] = text
    return headers


def _parse_target(target: bytes) -> tuple[str, str]:
    if len(target) > TARGET_BYTES:
        raise WireError(414, f"the request's target is longer than {TARGET_BYTES} bytes")
    if not target.startswith(b"/") or b"#" in target or _CONTROL.search(target):
        raise WireError(400, "malformed request target")
    raw_path, _, query = target.partition(b"?")
    try:
        if b"%" in raw_path:
            if _BAD_ESCAPE.search(raw_path):
                raise WireError(400, "malformed escape in the request's path")
            raw_path = unquote_to_bytes(raw_path)
        path = raw_path.decode("utf-8")
        text = query.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(400, "the request's target is not UTF-8") from error
    if "//" in path:
        path = re.sub("/+", "/", path)  # old clients put a container's name with its slash into the path
    if _CONTROL_TEXT.search(path) or "/../" in path or "/./" in path or path.endswith(("/..", "/.")):
        raise WireError(400, "malformed request path")
    return path, text


def _body_length(headers: dict[str, str], minor: int) -> int | None:
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise WireError(400, "a request has either a Content-Length or a Transfer-Encoding, not both")
        if coding.lower() != "chunked" or not minor:
            raise WireError(501, f"transfer encoding {coding[:40]!r} is not supported")
        return None
    if length is None:
        return 0
    if not _DIGITS.fullmatch(length.encode("latin-1")):
        raise WireError(400, "malformed Content-Length")
    return int(length)


class Body(io.RawIOBase):
    """A request's body as a readable file, streamed and never held.

    ``deadline`` (seconds of time.monotonic) bounds the whole body where set. ``permit`` is called once before the
    first read: a client that expects it waits for "100 Continue". ``broken``: no request can follow on this connection.
    """

    def __init__(self, source: Source, length: int | None, permit: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self._permit = permit
        self.deadline: float | None = None
        self.length = length
        self.finished = length == 0
        self.broken = False

    @property
    def awaits_permission(self) -> bool:
        """True while the client waits for "100 Continue" before it sends anything."""
        return self._permit is not None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Raises WireError where the framing is broken, ClientLeft where the body is cut short."""
        view = memoryview(buffer).cast("B")
        if self.finished or not len(view):
            return 0
        try:
            return self._read(view)
        except (WireError, OSError):
            self.broken = True  # whatever a handler makes of the error, nothing after it can be read
            raise

    def _read(self, view: memoryview) -> int:
        if self._permit is not None:
            permit, self._permit = self._permit, None
            permit()
        if self._chunked and not self._left and not self._next_chunk():
            return 0
        count = self._source.read_into(view[: self._left], self._timeout_s())
        self._left -= count
        if not self._left:
            if self._chunked:
                if self._source.read_line(0, self._timeout_s()):
                    raise WireError(400, "the chunked body's framing is broken")
            else:
                self.finished = True
        return count

    def _timeout_s(self) -> float:
        if self.deadline is None:
            return BODY_IDLE_S
        return max(0.001, min(BODY_IDLE_S, self.deadline - time.monotonic()))

    def _next_chunk(self) -> bool:
        line = self._source.read_line(CHUNK_LINE_BYTES, self._timeout_s())
        size = line.partition(b";")[0].rstrip(b" \t")
        if not _HEX.fullmatch(size):
            raise WireError(400, "the chunked body's framing is broken")
        self._left = int(size, 16)
        if self._left:
            return True
        budget = TRAILER_BYTES
        while trailer := self._source.read_line(budget, self._timeout_s()):
            budget -= len(trailer)  # trailers mean nothing in this API
        self.finished = True
        return False
