"""What a handler gets and what it may answer."""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, Protocol
from urllib.parse import parse_qsl

from engine.api.documents import encode, parse_json_object, read_limited
from engine.api.wire import Body, Head
from engine.domain.errors import InvalidArgument
from engine.eventlog.log import Context

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")

JSON = "application/json"
RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"

QUERY_FIELDS = 200


class Request:
    """One request. ``params`` are the variable parts of its path; ``version`` is the API's that the client speaks."""

    __slots__ = ("method", "path", "headers", "body", "version", "params", "_query_text", "_query", "_exchange")

    def __init__(self, head: Head, body: Body, exchange: Exchange) -> None:
        self.method = head.method
        self.path = head.path
        self.headers = head.headers
        self.body = body
        self.version: tuple[int, int] = (0, 0)
        self.params: tuple[str, ...] = ()
        self._query_text = head.query
        self._query: dict[str, list[str]] | None = None
        self._exchange = exchange

    @property
    def query(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = {}
            try:
                pairs = parse_qsl(
                    self._query_text, keep_blank_values=True, max_num_fields=QUERY_FIELDS, errors="strict"
                )
            except ValueError as error:
                raise InvalidArgument("the request's query is malformed") from error
            for name, value in pairs:
                if "\0" in value:
                    raise InvalidArgument(f'parameter "{name}" holds a NUL character')
                self._query.setdefault(name, []).append(value)
        return self._query

    def text(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[0] if values else default

    def texts(self, name: str) -> list[str]:
        return self.query.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's reading of a boolean: everything but these words is true."""
        values = self.query.get(name)
        if not values:
            return default
        return values[0].strip().lower() not in ("", "0", "no", "false", "none")

    def number(self, name: str, default: int | None = None) -> int | None:
        value = self.text(name)
        if not value:
            return default
        if not _NUMBER.fullmatch(value):
            raise InvalidArgument(f'invalid value "{value[:100]}" for {name}: not a whole number')
        return int(value)

    def json(self, *, required: bool = True) -> dict[str, Any]:
        """The body as a JSON object; {} where there is none and none is required. Raises InvalidArgument."""
        raw = read_limited(self.body)
        if not raw.strip():
            if required:
                raise InvalidArgument("invalid JSON: got EOF while reading request body")
            return {}
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != JSON:
            raise InvalidArgument(f"unsupported Content-Type header ({content_type}): must be '{JSON}'")
        return parse_json_object(raw)

    @property
    def context(self) -> Context:
        """Who asks, and under which correlation: made for requests that change something."""
        return self._exchange.context()

    @property
    def departed(self) -> threading.Event:
        """Set when the client leaves or the server stops. Asked for once, the connection is watched."""
        return self._exchange.departed()

    def tell(self, records: Iterable[Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Records of the log as Docker's events, each with its line; all followers share them."""
        return self._exchange.tell(records)

    @property
    def now_us(self) -> int:
        return self._exchange.now_us()

    @property
    def upgrades(self) -> bool:
        return bool(self.headers.get("upgrade"))


class Exchange(Protocol):
    """What a connection lends to its request."""

    def context(self) -> Context: ...

    def departed(self) -> threading.Event: ...

    def tell(self, records: Iterable[Any]) -> Iterator[tuple[dict[str, Any], bytes]]: ...

    def now_us(self) -> int: ...


@dataclass(slots=True)
class Reply:
    """A whole answer, written in one piece."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """An answer whose head leaves at once and whose bytes follow as ``chunks`` gives them.

    ``release`` is called at the end in any case, also where the client was gone before the first chunk was asked
    for: closing a generator that never ran does nothing.
    """

    chunks: Iterator[bytes]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    release: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Hijack:
    """The connection is handed over. ``take`` gets the server's end of it (a socket descriptor of its own, which it
    must see to be closed), the bytes that were read ahead, and the function that sends the answer's head. An error
    that it raises is written to the client as Docker does, on standard error where the stream is ``framed``.
    ``accept`` answers the key of a websocket."""

    take: Callable[[int, bytes, Callable[[], None]], None]
    framed: bool
    content_type: str
    accept: str = ""


Answer = Reply | Stream | Hijack

NO_CONTENT = Reply(204)
OK = Reply(200)


def reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, encode(value), JSON)


@contextmanager
def given_back(fd: int) -> Iterator[None]:
    """Close a connection's descriptor where what comes before its handing over fails: the client has left, mostly."""
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def frame(stream: str, data: bytes) -> bytes:
    """Docker's multiplex header: stream number, three zeros, length in network order, then the bytes."""
    return (b"\x02" if stream == "stderr" else b"\x01") + b"\0\0\0" + len(data).to_bytes(4, "big") + data


def stream_type(request: Request, *, framed: bool) -> str:
    """Clients before 1.42 know only one name for both forms."""
    return MULTIPLEXED_STREAM if framed and request.version >= (1, 42) else RAW_STREAM
