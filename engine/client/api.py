"""``Client``: requests, streams and hijacked connections to one engine, and a few typed conveniences for scripts.

The API version is not asked for beforehand: the newest that this client knows is tried, and an engine that is older
says which one it takes. That spares a round trip in the usual case.
"""

from __future__ import annotations

from engine import __version__
from engine.client import jsontext
from engine.client.address import Address, parse_address
from engine.client.connection import Connection, Response
from engine.client.errors import APIError, ProtocolError
from engine.client.framing import STDERR, STDOUT, SYSTEM_ERROR, FrameReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator, Mapping, Sequence

    Query = Mapping[str, Any] | Sequence[tuple[str, Any]]

NEWEST_API = "1.47"
_NOT_MODIFIED = 304  # what was asked for is so already
_TOO_NEW = "Maximum supported API version is "
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@")


def quote(text: str) -> str:
    """Percent-encode for a path or a query value (RFC 3986)."""
    raw = text.encode("utf-8", "surrogateescape")
    if _UNRESERVED.issuperset(raw):  # as ids and most names are
        return text
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)


def path_of(*segments: str) -> str:
    """A path of segments, each quoted; an empty segment could be taken for another resource, so it is refused.

    Raises APIError with the status that an engine would give."""
    if not all(segments):
        raise APIError(400, "invalid name: it is empty")
    return "".join("/" + quote(segment) for segment in segments)


def query_of(parameters: Query) -> str:
    """``?a=1&b=x`` of what is set: None and False are left out, True is 1, mappings and lists are JSON.

    A list of pairs may hold a name several times."""
    pairs = []
    for name, value in parameters.items() if hasattr(parameters, "items") else parameters:
        if value is None or value is False:
            continue
        if value is True:
            value = 1
        text = jsontext.encode(value) if isinstance(value, (dict, list)) else str(value)
        pairs.append(f"{name}={quote(text).replace('/', '%2F')}")
    return "?" + "&".join(pairs) if pairs else ""


class Outcome:
    """How a container that ``Client.run`` waited for ended: ``id``, exit ``status``, ``stdout``, ``stderr``."""

    __slots__ = ("id", "status", "stderr", "stdout")

    def __init__(self, id: str, status: int, stdout: bytes, stderr: bytes) -> None:
        self.id = id
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class Client:
    """One engine. Not for several threads at once: make one client a thread. A context manager.

    All methods raise APIError (the engine refused), EngineUnreachable and ProtocolError."""

    def __init__(
        self, host: str | Address | None = None, *, program: str = "docket-python", version: str | None = None,
        correlation: str = "",
    ) -> None:  # fmt: skip
        """``host`` is an address, or what parse_address makes one of; without it the environment and the current
        context choose, as they do for the command. ``correlation`` (16 to 64 hexadecimal digits) joins the events of
        all requests in the engine's log."""
        if host is None:
            from engine.client.endpoint import chosen, default_address

            host = chosen() or default_address()
        self.address = host if isinstance(host, Address) else parse_address(host)
        self.version = version or NEWEST_API
        self._version_is_settled = version is not None
        self._headers = {"User-Agent": f"{program}/{__version__}"}
        if correlation:
            self._headers["X-Docket-Correlation"] = correlation
        self._idle: Connection | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connection, if there is one."""
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def keep(self, connection: Connection) -> None:
        """Take over a connection that is open already; the next exchange uses it."""
        self.close()
        self._idle = connection

    def say_cause(self, cause: str) -> None:
        """What the engine's log is to say led to the requests from now on: "project/verb" or "project/verb/service"."""
        self._headers["X-Docket-Cause"] = cause

    # --- exchanges -------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, *, query: Query | None = None) -> Any:
        """One request with a JSON body (None: no body), and its JSON answer; None where there is none."""
        data = self.call_raw(method, path, body, query=query)
        if not data.strip():
            return None
        try:
            return jsontext.decode(data)
        except ValueError as error:
            raise ProtocolError(f"the daemon's answer to {method} {path} is not JSON: {error}") from error

    def call_raw(self, method: str, path: str, body: Any = None, *, query: Query | None = None) -> bytes:
        """As ``call``, but the answer as it came."""
        response = self._exchange(method, path, query, body)
        data = response.read()
        self._release(response)
        return data

    def stream(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Query | None = None,
        upload: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A request whose answer is read as it arrives, on a connection of its own; ``upload`` is sent chunked.

        The caller closes the response."""
        if upload is None:
            return self._exchange(method, path, query, body, own_connection=True, extra=headers)
        self.negotiate()  # an upload can't be sent twice
        connection = Connection(self.address)
        sent = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        connection.send_head(method, self._target(path, query), {**self._headers, **(headers or {}), **sent})
        connection.send_chunks(upload)
        return self._checked(connection.read_response())

    def hijack(
        self, path: str, body: Any = None, *, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A POST that turns its connection into a container's streams; the response's ``connection`` is theirs.

        ``response.headers["content-type"]`` tells raw from multiplexed where the engine is recent enough."""
        upgrade = {**(headers or {}), "Connection": "Upgrade", "Upgrade": "tcp"}
        return self._exchange("POST", path, query, body, own_connection=True, extra=upgrade)

    def negotiate(self) -> str:
        """Settle the API version if no answer has settled it yet; returns it."""
        if not self._version_is_settled:
            response = self._exchange("HEAD", "/_ping", None, None)
            self._release(response)
            self.version = min(NEWEST_API, response.headers.get("api-version", NEWEST_API), key=_version_key)
        return self.version

    def _exchange(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Any,
        *,
        own_connection: bool = False,
        extra: Mapping[str, str] | None = None,
    ) -> Response:
        data = b"" if body is None else jsontext.encode(body).encode()
        headers = {**self._headers, **(extra or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if data or method != "GET":
            headers["Content-Length"] = str(len(data))
        connection = self._connection(own_connection)
        try:
            connection.send_head(method, self._target(path, query), headers)
            if data:
                connection.send(data)
            response = connection.read_response(bodiless=method == "HEAD")
        except (BrokenPipeError, ConnectionResetError) as error:
            connection.close()
            raise ProtocolError(connection.silence()) from error
        try:
            return self._checked(response)
        except APIError as error:
            if self._version_is_settled or not self._step_down(str(error)):
                raise
        return self._exchange(method, path, query, body, own_connection=own_connection, extra=extra)

    def _connection(self, own: bool) -> Connection:
        connection, self._idle = (None, self._idle) if own else (self._idle, None)
        if connection is not None and connection.is_usable():
            return connection
        return Connection(self.address)

    def _target(self, path: str, query: Query | None) -> str:
        """Docket's own endpoints and the ping have no version."""
        prefix = "" if path.startswith(("/docket/", "/_ping")) else f"/v{self.version}"
        return prefix + path + query_of(query or {})

    def _checked(self, response: Response) -> Response:
        if response.status < 300 or response.status == _NOT_MODIFIED:
            self._version_is_settled = True
            return response
        data = response.read()
        self._release(response)
        raise APIError(response.status, _message_in(data, response.status))

    def _step_down(self, message: str) -> bool:
        """Take the version that an older engine says it supports; False if the error is about something else."""
        _, found, rest = message.partition(_TOO_NEW)
        if not found:
            return False
        self.version = rest.split()[0].rstrip(".,")
        self._version_is_settled = True
        return True

    def _release(self, response: Response) -> None:
        connection = response.connection
        if response.complete and connection.is_open and self._idle is None and response.status != 101:
            self._idle = connection
        else:
            connection.close()

    # --- conveniences for scripts ----------------------------------------------------------------------------------

    def inspect(self, container: str) -> dict[str, Any]:
        """Everything about a container, by name or unique beginning of its id."""
        return self.call("GET", path_of("containers", container, "json"))

    def events(
        self, *, since: str | None = None, until: str | None = None, filters: Mapping[str, Sequence[str]] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Events as they come (for ever, without ``until``). Times are RFC 3339, unix seconds or "10m" ago; "seq:12" is
        the event of the log whose attribute ``docket.seq`` is 12, so that a script that keeps it goes on from there.
        """
        from engine.client.moments import place_of

        times = {name: place_of(text) for name, text in (("since", since), ("until", until)) if text is not None}
        chosen = {name: list(values) for name, values in (filters or {}).items()}
        response = self.stream("GET", "/events", query={**times, "filters": chosen or None})
        try:
            for line in response.lines():
                yield jsontext.decode(line)
        finally:
            response.close()

    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        host_config: Mapping[str, Any] | None = None,
        remove: bool = True,
    ) -> Outcome:
        """Create a container, start it, wait for its end and return its output.

        ``config`` and ``host_config`` are Docker's, as in POST /containers/create."""
        body = {**(config or {}), "Image": image, "AttachStdout": True, "AttachStderr": True, "Tty": False}
        if command:
            body["Cmd"] = list(command)
        created = self.call("POST", "/containers/create", {**body, "HostConfig": dict(host_config or {})},
                            query={"name": name})  # fmt: skip
        id = created["Id"]
        try:
            streams = self.hijack(path_of("containers", id, "attach"), query={"stream": 1, "stdout": 1, "stderr": 1})
            self.call("POST", path_of("containers", id, "start"))
            output = collect_output(streams)
            status = self.call("POST", path_of("containers", id, "wait"))["StatusCode"]
        finally:
            if remove:
                self.call("DELETE", path_of("containers", id), query={"force": True, "v": True})
        return Outcome(id, status, *output)


def collect_output(streams: Response) -> tuple[bytes, bytes]:
    """Standard output and standard error of a hijacked, multiplexed connection, up to its end."""
    collected: dict[int, list[bytes]] = {STDOUT: [], STDERR: [], SYSTEM_ERROR: []}
    reader = FrameReader()
    while data := streams.connection.receive(65536):
        for stream, payload in reader.feed(data):
            collected.setdefault(stream, []).append(payload)
    streams.close()
    return b"".join(collected[STDOUT]), b"".join(collected[STDERR] + collected[SYSTEM_ERROR])


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _message_in(data: bytes, status: int) -> str:
    """The message of an error body; what came, if it isn't one."""
    try:
        return str(jsontext.decode(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode("utf-8", "replace").strip() or f"the daemon answered with status {status}"
