"""The connections over which registries are spoken with: who is at the other end, and who may end them.

urllib3's connections and the adapter of requests, made to tell a Call which socket it uses: a wait is ended from
another thread by shutting the socket down, and where it leads is looked at before anything is sent.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import threading
from typing import Any, Callable, Sequence

import requests.adapters
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from engine.domain.errors import Forbidden, NotSupported
from engine.images.registry.addresses import Network, Place, Reach, check_reach, lies_in, reach_of, shown
from engine.images.registry.cancellation import Cancellation

if urllib3.__version__.startswith("1."):
    raise NotSupported(f"registries need urllib3 2, and this is {urllib3.__version__}: pip install --upgrade urllib3")

_SEND_BYTES = 512 * 1024
_CONNECTIONS = 8


class Call:
    """One exchange as its connection sees it: who may end it, how far inside it may lead (None: anywhere), and in which
    networks it must end (none: in any)."""

    def __init__(
        self, url: str, cancellation: Cancellation, allowed: Reach | None, networks: Sequence[Network] = ()
    ) -> None:
        self.url = url
        self.allowed = allowed
        self._networks = networks
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
        if self._networks and not lies_in(ipaddress.ip_address(address.partition("%")[0]), self._networks):
            raise Forbidden(f"refused to speak with {shown(self.url)} unverified: its name led to {address} this time")
        self.reach = reach_of(address)

    def using(self, connection: Any) -> None:
        self._connection = connection
        self._socket = connection.sock or self._socket

    def __enter__(self) -> Call:
        _CALLS.current = self
        self._cancellation.on_cancel(self, self.hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        _CALLS.current = None

    def end(self) -> None:
        self._cancellation.forget(self)

    def hang_up(self) -> None:
        """Whoever reads or writes gets an error at once. TLS objects are bypassed: theirs is not for other threads."""
        for used in {self._socket, getattr(self._connection, "sock", None)} - {None}:
            try:
                socket.socket.shutdown(used, socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself


_CALLS = threading.local()


class _Watched:
    """Connections that tell the thread's Call which socket they use, and send files in large pieces."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.blocksize = _SEND_BYTES

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
        call: Call = _CALLS.current
        call.using(self)  # its socket may be gone from it afterwards, though the answer is still read from it
        late = threading.Event()

        def give_up() -> None:
            late.set()
            call.hang_up()

        timer = threading.Timer(self.timeout, give_up)  # type: ignore[attr-defined]
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse(*arguments, **options)  # type: ignore[misc]
        except Exception:
            if not late.is_set():
                raise
        finally:
            timer.cancel()
        if late.is_set():  # the socket's own time-out starts anew with each byte of a head
            raise TimeoutError("the head of the answer did not end")
        return answer


class _Connection(_Watched, urllib3.connection.HTTPConnection):
    pass


class _SecureConnection(_Watched, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Adapter(requests.adapters.HTTPAdapter):
    """Connections of our kinds, and a TLS context for each host in place of the one of requests."""

    def __init__(self, context_of: Callable[[Place], ssl.SSLContext]) -> None:
        self._context_of = context_of
        super().__init__(pool_maxsize=_CONNECTIONS, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[dict, dict]:
        place = Place.of(request.url)
        host = {"scheme": place.scheme, "host": place.host, "port": place.port}
        return host, {"ssl_context": self._context_of(place)} if place.scheme == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context knows."""


def cause_of(error: BaseException) -> tuple[str, BaseException]:
    """The innermost reason, in the system's words, and as it was raised."""
    seen: list[BaseException] = []
    current: Any = error
    while isinstance(current, BaseException) and current not in seen:
        seen.append(current)
        inner = getattr(current, "reason", None)
        causes = [inner, *current.args, current.__cause__]
        current = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    return _worded(seen), seen[-1]


def _worded(seen: list[BaseException]) -> str:
    innermost = seen[-1]
    if any(isinstance(error, urllib3.exceptions.ReadTimeoutError) for error in seen):
        return "the registry stalls: nothing came in time"
    if isinstance(innermost, socket.gaierror):
        return "no such host" if innermost.errno != socket.EAI_AGAIN else "temporary failure in name resolution"
    if isinstance(innermost, TimeoutError):
        return "timed out"
    if isinstance(innermost, ssl.SSLError):
        reason = (innermost.reason or str(innermost)).lower().replace("_", " ")
        return getattr(innermost, "verify_message", "") or reason
    if isinstance(innermost, OSError) and (innermost.errno or 0) > 0:
        return os.strerror(innermost.errno or 0).lower()
    return str(innermost)[:300] or type(innermost).__name__
