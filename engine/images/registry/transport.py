"""One HTTP exchange with a registry, on requests and urllib3: connections, TLS, proxies, time-outs, cancellation.

What is asked again, and where answers lead, is the business of ``endpoint``. Cookies, .netrc and redirects of requests
are left out: only its adapters are used. The body of an answer is never decoded: digests are of what was sent.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Any, Mapping
from urllib.request import getproxies_environment

import requests
import requests.certs
import requests.utils
import urllib3
import urllib3.exceptions

from engine import __version__
from engine.domain.errors import InvalidArgument, Unavailable
from engine.images.registry import certificates
from engine.images.registry.addresses import Network, Place, Reach, check_reach, insecure_networks, reach_of, shown
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.connections import Adapter, Call, cause_of
from engine.images.registry.settings import RegistrySettings

READ_BYTES = 1 << 20
_PLAIN = frozenset(("wrong version number", "http request", "record layer failure"))
"""OpenSSL's words for an answer in plain text."""
_ABSENT = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH))
_SHORT_BYTES = 64 * 1024
_LEAST_BYTES = 4096
"""Who sends less than this within the stall time-out stalls."""


class ConnectionFailed(Unavailable):
    """The exchange broke off, or none came about; it may go better at another time."""


class NotThere(ConnectionFailed):
    """Nobody listens, or no such host."""


class PlainAnswer(ConnectionFailed):
    """What listens there does not speak TLS."""


class Untrusted(Unavailable):
    """TLS failed, and would fail again."""


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

    @property
    def retry_after_s(self) -> float | None:
        """What Retry-After asks for (RFC 9110 section 10.2.3); None where that makes no sense."""
        text = self.headers.get("Retry-After", "")
        try:
            return urllib3.Retry().parse_retry_after(text) if text else None
        except (urllib3.exceptions.HTTPError, ValueError, OverflowError):
            return None

    def read(self) -> bytes:
        """What there is, up to READ_BYTES; b"" at the end. Raises ConnectionFailed, also where it is cut short."""
        try:
            piece = self._raw.read1(READ_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ConnectionFailed(f"{shown(self.url)}: {cause_of(error)[0]}") from error
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
        self._networks: dict[Place, tuple[Network, ...]] = {}
        self._trusted = Adapter(self.context)
        self._elsewhere = Adapter(self.context)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any,
        cancellation: Cancellation,
        allowed: Reach | None,
        stall_timeout_s: float,
    ) -> Answer:
        """Raises ConnectionFailed, PlainAnswer, Untrusted, Forbidden (a place too far inside), Cancelled,
        InvalidArgument (a URL that is none)."""
        connect_timeout_s = self._settings.patience.connect_timeout_s
        place = Place.of(url)
        if allowed is not None:
            check_reach(place.host, allowed, url)
        try:
            request = requests.Request(method, url, {**_HEADERS, **headers}, data=body).prepare()
        except requests.exceptions.InvalidURL as error:
            raise InvalidArgument(f"invalid URL {shown(url)!r}: {error}") from error
        call = Call(url, cancellation, allowed, self._insecure_networks(place))
        adapter = self._trusted if allowed is None else self._elsewhere
        cancellation.check()
        with call:
            try:
                response = adapter.send(
                    request, stream=True, timeout=(connect_timeout_s, stall_timeout_s), proxies=_proxies(place)
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
        return place.address in self._settings.insecure or bool(self._insecure_networks(place))

    def _insecure_networks(self, place: Place) -> tuple[Network, ...]:
        """() where the host is listed itself, or is to be verified."""
        if place not in self._networks:
            known = place.address in self._settings.insecure or certificates.has_authorities(self._own_folder(place))
            self._networks[place] = () if known else insecure_networks(place.host, self._settings.insecure)
        return self._networks[place]

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
        cause, innermost = cause_of(error)
        if cause in _PLAIN:
            return PlainAnswer(f"{where}: http: server gave HTTP response to HTTPS client")
        if isinstance(error, requests.exceptions.SSLError) and "eof" not in cause:
            return Untrusted(f"{where}: tls: {cause}")
        absent = isinstance(innermost, socket.gaierror) or getattr(innermost, "errno", None) in _ABSENT
        return (NotThere if absent else ConnectionFailed)(f"{where}: {cause}")


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
