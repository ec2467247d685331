"""One client's connection: requests in, answers out, in one thread of its own.

Answers leave in one write, head and body together. A hijacked connection is handed over as a duplicate of its
descriptor, in blocking mode, and this side forgets it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Callable, Iterable, Iterator, Mapping

from engine import __version__
from engine.api import API_VERSION, causes
from engine.api.departures import Departures
from engine.api.event_tail import Tail, Told
from engine.api.exchange import JSON, Answer, Exchange, Hijack, Reply, Request, Stream, frame
from engine.api.router import Router
from engine.api.status import body_of, message_of, status_of
from engine.api.wire import Body, ClientLeft, Head, Source, WireError, parse_head
from engine.domain.errors import EngineError
from engine.eventlog.log import Context

SEND_S = 60.0
"""How long a client may leave a whole answer unread. Streams wait for ever: a pager may sit on the other end."""
REST_BYTES = 256 * 1024
REST_S = 0.5
"""What is read of a body that nobody wanted before it is answered, as net/http's server does: clients that are written
in Go break off the rest, and complain of that, when the answer comes first."""
DRAIN_BYTES = 8 * 1024 * 1024
DRAIN_S = 2.0
"""What is read of a body that nobody wanted, so that the client gets to read the answer, before it is cut off."""

_SERVER = (
    "Api-Version: {}.{}\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docket/{} (linux)\r\n"
).format(*API_VERSION, __version__)
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Composition:
    """What every connection of a server shares."""

    def __init__(self, services: Any, router: Router, clock: Callable[[], int]) -> None:
        self.services = services
        self.router = router
        self.clock = clock
        self.departures = Departures()
        self.tail = Tail(services)
        self.stopping = threading.Event()


class Connection(Exchange):
    """Serves a socket until the client is done, breaks the protocol, leaves, or the server stops."""

    def __init__(self, sock: socket.socket, shared: Composition, actor: Mapping[str, Any]) -> None:
        """``actor`` holds the facts of who is at the other end, which the door has found out."""
        self._sock = sock
        self._shared = shared
        self._source = Source(sock)
        self._actor = actor
        self._headers: Mapping[str, str] = {}
        self._departed: threading.Event | None = None
        self._lock = threading.Lock()
        self._handed_over = False

    def serve(self) -> None:
        try:
            while not self._shared.stopping.is_set() and self._one_exchange():
                pass
        except (ConnectionError, TimeoutError):
            pass  # the client left: nobody is there to be told
        finally:
            self._unwatch()
            with self._lock:
                self._sock.close()

    def interrupt(self) -> None:
        """From another thread: end what this connection does, and the connection."""
        with self._lock:
            if self._departed is not None:
                self._departed.set()
            if self._handed_over:
                return  # the stream is a shim's now, and outlives this server
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already

    # --- what a request borrows --------------------------------------------------------------------------------

    def context(self) -> Context:
        correlation, causation = causes.of(self._headers)
        actor = {"door": _door(self._headers.get("user-agent", "")), **self._actor}
        return Context(actor, correlation, causation)

    def departed(self) -> threading.Event:
        if self._departed is None:
            departed = threading.Event()
            with self._lock:
                self._departed = departed
            self._shared.departures.watch(self._sock, departed)
            if self._shared.stopping.is_set():
                departed.set()
        return self._departed

    def tell(self, records: Iterable[Any]) -> Iterator[Told]:
        return self._shared.tail.follow(records)

    def now_us(self) -> int:
        return self._shared.clock()

    # --- one request -------------------------------------------------------------------------------------------

    def _one_exchange(self) -> bool:
        """Serve one request. True while the connection may carry another."""
        try:
            raw = self._source.read_head()
            if raw is None:
                return False
            head = parse_head(raw)
        except WireError as error:
            self._write_reply(Reply(error.status, body_of(str(error)), JSON), keep=False)
            self._drain(None)
            return False
        self._headers = head.headers
        body = Body(self._source, head.length, self._continue if head.headers.get("expect") else None)
        request = Request(head, body, self)
        answer = self._answer(request, head)
        keep = head.keep_alive and not self._shared.stopping.is_set()
        if isinstance(answer, Hijack):
            self._hand_over(request, answer)
            return False
        if isinstance(answer, Stream):
            keep = self._write_stream(answer, head, keep and body.finished)
            self._unwatch()
            return keep
        self._unwatch()
        self._take_in_rest(body)
        keep = keep and (body.finished or self._is_worth_reading(body))
        self._write_reply(answer, keep=keep, head_only=head.method == "HEAD")
        return keep if body.finished else self._drain(body)

    def _answer(self, request: Request, head: Head) -> Answer:
        """The handler's answer, or the error's. Never raises but for a client that left."""
        try:
            expectation = head.headers.get("expect")
            if expectation and expectation.lower() != "100-continue":
                raise WireError(417, "the only expectation that is met is 100-continue")
            return self._shared.router.route(request)(self._shared.services, request)
        except WireError as error:
            return Reply(error.status, body_of(str(error)), JSON)
        except ClientLeft as error:
            return Reply(400, body_of(message_of(error)), JSON)
        except Exception as error:  # the last resort: one broken request must not take the connection's thread down
            return _error_reply(error)

    @staticmethod
    def _take_in_rest(body: Body) -> None:
        if body.finished or body.broken or body.awaits_permission:
            return
        body.deadline = time.monotonic() + REST_S
        left = REST_BYTES
        try:
            while left > 0 and (part := body.read(min(left, 65536))):
                left -= len(part)
        except (WireError, ClientLeft):
            return  # it says of itself that it is broken

    @staticmethod
    def _is_worth_reading(body: Body) -> bool:
        """Whether the rest of an unwanted body is read to get at the next request."""
        return not body.broken and not body.awaits_permission and (body.length or DRAIN_BYTES + 1) <= DRAIN_BYTES

    def _continue(self) -> None:
        self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _send(self, data: bytes) -> None:
        self._sock.settimeout(SEND_S)
        self._send_chunk(data)

    def _write_reply(self, answer: Reply, *, keep: bool, head_only: bool = False) -> None:
        lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n", _SERVER, _date()]
        if answer.content_type:
            lines.append(f"Content-Type: {answer.content_type}\r\n")
        lines.extend(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        if answer.status not in (204, 304):
            lines.append(f"Content-Length: {len(answer.body)}\r\n")
        lines.append("\r\n" if keep else "Connection: close\r\n\r\n")
        bodiless = head_only or answer.status in (204, 304)
        self._send("".join(lines).encode("latin-1") + (b"" if bodiless else answer.body))

    def _write_stream(self, answer: Stream, head: Head, keep: bool) -> bool:
        chunked = head.minor == 1
        keep = keep and chunked
        lines = ["HTTP/1.1 200 OK\r\n", _SERVER, _date(), f"Content-Type: {answer.content_type}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
        if chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        lines.append("\r\n" if keep else "Connection: close\r\n\r\n")
        try:
            self._send("".join(lines).encode("latin-1"))
            self._sock.settimeout(None)
            for chunk in answer.chunks:
                if chunk:
                    self._send_chunk(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        except ClientLeft:
            raise
        except Exception as error:  # the status is out already: a cut connection is how the client learns of it
            _report(error)
            return False
        finally:
            answer.release()
        if self._departed is not None and self._departed.is_set():
            return False
        if chunked:
            self._send(b"0\r\n\r\n")
        return keep

    def _send_chunk(self, data: bytes) -> None:
        """Send within the socket's time limit. Raises ClientLeft: it can't be taken for an error of services."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise ClientLeft("the client left in the middle of an answer") from error

    def _hand_over(self, request: Request, answer: Hijack) -> None:
        if answer.accept:
            first = "HTTP/1.1 101 Switching Protocols\r\n"
            last = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {answer.accept}\r\n\r\n"
        elif request.upgrades:
            first = "HTTP/1.1 101 UPGRADED\r\n"
            last = f"Content-Type: {answer.content_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        else:
            first, last = "HTTP/1.1 200 OK\r\n", f"Content-Type: {answer.content_type}\r\n\r\n"
        sent = False

        def send_head() -> None:
            nonlocal sent
            sent = True
            self._send((first + _SERVER + last).encode("latin-1"))
            self._unwatch()
            with self._lock:
                self._handed_over = True
            self._sock.setblocking(True)  # the mode belongs to the open file, which the duplicate shares

        try:
            answer.take(os.dup(self._sock.fileno()), self._source.rest(), send_head)
        except Exception as error:  # Docker, too, writes the error into the stream
            if not sent:
                send_head()
            if not isinstance(error, EngineError):
                _report(error)
            text = message_of(error).encode("utf-8", "replace") + b"\r\n"
            if not answer.accept:  # a websocket ends with its connection
                self._send(frame("stderr", text) if answer.framed else text)

    def _drain(self, body: Body | None) -> bool:
        """Read what is left of an unwanted body. True where the next request may follow."""
        deadline = time.monotonic() + DRAIN_S
        if body is not None and self._is_worth_reading(body):
            body.deadline = deadline
            try:
                while body.read(65536):
                    pass
            except (WireError, ClientLeft):
                return False
            return body.finished
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while (left_s := deadline - time.monotonic()) > 0:
                self._sock.settimeout(left_s)
                if not self._sock.recv(65536):
                    break
        except OSError:
            return False  # it left, or keeps sending: it was told, and is cut off
        return False

    def _unwatch(self) -> None:
        if self._departed is not None:
            self._shared.departures.forget(self._sock)
            with self._lock:
                self._departed = None


def _door(user_agent: str) -> str:
    """Which program the client claims to be. A claim only: the actor's other facts are the kernel's."""
    if user_agent.startswith("docket-cli/"):
        return "cli"
    return "python" if user_agent.startswith("docket-python/") else "api"


def _error_reply(error: Exception) -> Reply:
    status = status_of(error)
    if status == 304:
        return Reply(304)
    if not isinstance(error, EngineError | OSError):
        _report(error)
    return Reply(status, body_of(message_of(error)), JSON)


def _report(error: Exception) -> None:
    """Into the daemon's log: a defect that no client can do anything about."""
    traceback.print_exception(error, file=sys.stderr)


_date_cache = (0, "")


def _date() -> str:
    global _date_cache
    second = int(time.time())
    if _date_cache[0] != second:
        _date_cache = (second, f"Date: {formatdate(second, usegmt=True)}\r\n")
    return _date_cache[1]
