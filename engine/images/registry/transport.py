"""One HTTP exchange with a registry, on requests and urllib3: connections, TLS, proxies, time-outs, cancellation.

What is asked again, and where answers lead, is the business of ``endpoint``. Cookies, .netrc and redirects of requests
are left out: only its adapters are used. The body of an answer is never decoded: digests are of what was sent.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Any, Mapping
from urllib.request import getproxies_environment

import requests
import requests.adapters
import requests.certs
import requests.utils
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from engine import __version__
from engine.domain.errors import InvalidArgument, Unavailable
from engine.images.registry import certificates
from engine.images.registry.addresses import Place, Reach, check_reach, is_insecure, reach_of, shown
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.settings import RegistrySettings

READ_BYTES = 1 << 20
_SEND_BYTES = 512 * 1024
_CONNECTIONS = 8
_PLAIN = frozenset(("wrong version number", "http request", "record layer failure"))
"""OpenSSL's words for an answer in plain text."""
_SHORT_BYTES = 64 * 1024
_LEAST_BYTES = 4096
"""Who sends less than this within the stall time-out stalls."""


class ConnectionFailed(Unavailable):
    """The exchange broke off, or none came about; it may go better at another time."""


class PlainAnswer(ConnectionFailed):
    """What listens there does not speak TLS."""


class Untrusted(Unavailable):
    """TLS failed, and would fail again."""


class Call:
    """One exchange as its connection sees it: who may end it, and how far inside it may lead (None: anywhere)."""

    def __init__(self, url: str, cancellation: Cancellation, allowed: Reach | None) -> None:
        self.url = url
        self.allowed = allowed
        self.reach: Reach | None = None
        self._cancellation = cancellation
        self._connection: Any = None
        self._socket: socket.socket | None = None

    def connected(self, peer: socket.socket, proxied: bool) -> None:
        """Before anything is sent. Raises Forbidden."""
        self._socket = peer
        if proxied or peer.family not in (socket.AF_INET, socket.AF_INET6):
            return
        address = peer.getpeername()[0]
        if self.allowed is not None:
            check_reach(address, self.allowed, self.url)
        self.reach = reach_of(address)

    def using(self, connection: Any) -> None:
        self._connection = connection
        self._socket = connection.sock or self._socket

    def __enter__(self) -> Call:
        _CALLS.current = self
        self._cancellation.on_cancel(self, self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        _CALLS.current = None

    def end(self) -> None:
        self._cancellation.forget(self)

    def _hang_up(self) -> None:
        """Whoever reads or writes gets an error at once. TLS objects are bypassed: theirs is not for other threads."""
        for used in {self._socket, getattr(self._connection, "sock", None)} - {None}:
            try:
                socket.socket.shutdown(used, socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself


_CALLS = threading.local()


class _Watched:
    """Connections that tell the thread's Call which socket they use."""

    def _new_conn(self) -> socket.socket:
        peer = super()._new_conn()  # type: ignore[misc]
        try:
            _CALLS.current.connected(peer, proxied=getattr(self, "proxy", None) is not None)
        except BaseException:
            peer.close()
            raise
        return peer

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        _CALLS.current.using(self)
        super().putrequest(*arguments, **options)  # type: ignore[misc]

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        _CALLS.current.using(self)  # its socket may be gone from it afterwards, though the answer is still read from it
        return super().getresponse(*arguments, **options)  # type: ignore[misc]


class _Connection(_Watched, urllib3.connection.HTTPConnection):
    pass


class _SecureConnection(_Watched, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections of our kinds, and a TLS context for each host in place of the one of requests."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        super().__init__(pool_maxsize=_CONNECTIONS, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, blocksize=_SEND_BYTES)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options, blocksize=_SEND_BYTES)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[dict, dict]:
        place = Place.of(request.url)
        host = {"scheme": place.scheme, "host": place.host, "port": place.port}
        return host, {"ssl_context": self._transport.context(place)} if place.scheme == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context knows."""


class Answer:
    """What came back: status and headers at once, the body piece by piece. To be closed."""

    def __init__(self, response: requests.Response, call: Call, stall_timeout_s: float) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = call.url
        self.call = call
        self.authorization = ""
        self._raw = response.raw
        self._stall_timeout_s = stall_timeout_s
        self._window_ends = time.monotonic() + stall_timeout_s
        self._window_bytes = 0

    @property
    def length(self) -> int | None:
        """What Content-Length announces."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdecimal() else None

    def read(self) -> bytes:
        """What there is, up to READ_BYTES; b"" at the end. Raises ConnectionFailed, also where it is cut short."""
        try:
            piece = self._raw.read1(READ_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ConnectionFailed(f"{shown(self.url)}: {_cause(error)}") from error
        self._window_bytes += len(piece)
        if time.monotonic() > self._window_ends:
            if self._window_bytes < _LEAST_BYTES and piece:
                raise ConnectionFailed(f"{shown(self.url)}: {self._window_bytes} bytes in {self._stall_timeout_s:g} s")
            self._window_ends = time.monotonic() + self._stall_timeout_s
            self._window_bytes = 0
        return piece

    def body(self, limit_bytes: int, what: str) -> bytes:
        """All of it, and close. Raises InvalidArgument above the limit, without reading on."""
        with self:
            if (self.length or 0) > limit_bytes:
                raise InvalidArgument(f"{what} of {self.length} bytes is larger than the limit of {limit_bytes} bytes")
            pieces, total = [], 0
            while piece := self.read():
                pieces.append(piece)
                total += len(piece)
                if total > limit_bytes:
                    raise InvalidArgument(f"{what} is larger than the limit of {limit_bytes} bytes")
        return b"".join(pieces)

    def beginning(self, limit_bytes: int) -> bytes:
        """As much of it as came, for error messages, and close."""
        text = b""
        try:
            with self:
                while len(text) < limit_bytes and (piece := self.read()):
                    text += piece
        except ConnectionFailed:
            return text[:limit_bytes]
        return text[:limit_bytes]

    def discard(self) -> None:
        """Close it, and keep the connection if the body is short."""
        self.beginning(_SHORT_BYTES)

    def close(self) -> None:
        """The connection ends as well, unless the answer was read to its end: then it is kept for the next exchange."""
        self.call.end()
        self._raw.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Transport:
    """The connections of one operation to one registry (``names``: what its folder of certificates may be called) and
    to where that leads. Several threads may use it."""

    def __init__(self, names: tuple[str, ...], settings: RegistrySettings) -> None:
        self._settings = settings
        self._names = names
        self._folder = certificates.folder_of(names, settings.certificate_folders)
        self._contexts: dict[Place, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._insecure: dict[Place, bool] = {}
        self._trusted = _Adapter(self)
        self._elsewhere = _Adapter(self)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any,
        cancellation: Cancellation,
        allowed: Reach | None,
        stall_timeout_s: float = 0.0,
    ) -> Answer:
        """Raises ConnectionFailed, PlainAnswer, Untrusted, Forbidden (a place too far inside), Cancelled."""
        patience = self._settings.patience
        stall_timeout_s = stall_timeout_s or patience.stall_timeout_s
        place = Place.of(url)
        if allowed is not None:
            check_reach(place.host, allowed, url)
        request = requests.Request(method, url, {**_HEADERS, **headers}, data=body).prepare()
        call = Call(url, cancellation, allowed)
        adapter = self._trusted if allowed is None else self._elsewhere
        cancellation.check()
        with call:
            try:
                response = adapter.send(
                    request, stream=True, timeout=(patience.connect_timeout_s, stall_timeout_s), proxies=_proxies(place)
                )  # fmt: skip
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                call.end()
                cancellation.check()
                raise self._failure(method, url, error) from error
            except BaseException:
                call.end()
                raise
        return Answer(response, call, stall_timeout_s)

    def context(self, place: Place) -> ssl.SSLContext:
        """The TLS context for a host."""
        with self._lock:
            if place not in self._contexts:
                own = self._own_folder(place)
                self._contexts[place] = certificates.make_context(
                    own, self._folder, not self.insecure(place), requests.certs.where()
                )
            return self._contexts[place]

    def insecure(self, place: Place) -> bool:
        """Whether plain HTTP and unverified TLS will do. Loopback with a CA of its own is verified like others."""
        if place not in self._insecure:
            listed = self._settings.insecure
            accepted = place.address in listed or is_insecure(place.host, place.address, listed)
            if accepted and place.address not in listed and certificates.has_authorities(self._own_folder(place)):
                accepted = False
            self._insecure[place] = accepted
        return self._insecure[place]

    def close(self) -> None:
        for adapter in (self._trusted, self._elsewhere):
            adapter.close()

    def _own_folder(self, place: Place) -> Any:
        if place.address in self._names:
            return self._folder
        return certificates.folder_of((place.address,), self._settings.certificate_folders)

    @staticmethod
    def _failure(method: str, url: str, error: BaseException) -> Unavailable:
        where = f'{method.capitalize()} "{shown(url)}"'
        cause = _cause(error)
        if cause in _PLAIN:
            return PlainAnswer(f"{where}: http: server gave HTTP response to HTTPS client")
        if isinstance(error, requests.exceptions.SSLError) and "eof" not in cause:
            return Untrusted(f"{where}: tls: {cause}")
        return ConnectionFailed(f"{where}: {cause}")


_HEADERS = {"User-Agent": f"docket/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"}


def _proxies(place: Place) -> dict[str, str]:
    """As Docker reads the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and never a proxy for loopback."""
    known = getproxies_environment()
    if place.scheme not in known or place.host == "localhost":
        return {}
    try:
        if reach_of(place.host) is Reach.LOOPBACK:
            return {}
    except ValueError:
        pass  # a name
    bypassed = requests.utils.should_bypass_proxies(place.url, no_proxy=None)
    return {} if bypassed else {place.scheme: known[place.scheme]}


def _cause(error: BaseException) -> str:
    """The innermost reason, in the system's words."""
    seen: list[BaseException] = []
    current: Any = error
    while isinstance(current, BaseException) and current not in seen:
        seen.append(current)
        inner = getattr(current, "reason", None)
        arguments = [argument for argument in current.args if isinstance(argument, BaseException)]
        current = inner if isinstance(inner, BaseException) else (arguments or [current.__cause__])[0]
    return _worded(seen)


def _worded(seen: list[BaseException]) -> str:
    innermost = seen[-1]
    if any(isinstance(error, urllib3.exceptions.ReadTimeoutError) for error in seen):
        return "the registry stalls: nothing came in time"
    if isinstance(innermost, socket.gaierror):
        return "no such host"
    if isinstance(innermost, TimeoutError):
        return "timed out"
    if isinstance(innermost, ssl.SSLError):
        reason = (innermost.reason or str(innermost)).lower().replace("_", " ")
        return getattr(innermost, "verify_message", "") or reason
    if isinstance(innermost, OSError) and (innermost.errno or 0) > 0:
        return os.strerror(innermost.errno or 0).lower()
    return str(innermost)[:300] or type(innermost).__name__
