"""One address of a registry, for one operation: which scheme it speaks, what it wants to see, and its API by paths."""

from __future__ import annotations

import threading
from typing import Any, Mapping, NamedTuple, Sequence
from urllib.parse import urlsplit

from engine.domain.errors import EngineError, InvalidArgument, Unauthorized, Unavailable
from engine.images.references import DEFAULT_DOMAIN
from engine.images.registry.addresses import Place
from engine.images.registry.authorization import Authorizer, Scopes
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.credentials import Credentials
from engine.images.registry.exchange import Exchanges, Notice, ignore_notice
from engine.images.registry.refusals import refusal
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transport import Answer, ConnectionFailed, PlainAnswer, Transport

HUB = "https://registry-1.docker.io"
"""Where docker.io is."""


class Request(NamedTuple):
    """``url`` is a path of the registry's API (``/v2/...``) or a whole URL that the registry gave; ``once`` and
    ``slow`` are those of Exchanges.ask."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: Any = None
    scopes: Scopes = frozenset()
    once: bool = False
    slow: bool = False


class Endpoint:
    """``base`` is ``host[:port]``, or a URL where the scheme is not ours to find out. Several threads may use it."""

    def __init__(
        self,
        base: str,
        names: tuple[str, ...],
        settings: RegistrySettings,
        credentials: Credentials,
        cancellation: Cancellation,
        alone: bool = True,
    ) -> None:
        """Not ``alone``: others are asked after it, so that it is not waited for."""
        self.transport = Transport(names, settings)
        patience = settings.patience if alone else settings.patience._replace(attempts=1)
        self._exchanges = Exchanges(self.transport, patience)
        self._authorizer = Authorizer(self._exchanges, credentials, cancellation)
        self._cancellation = cancellation
        self._bases = [base] if "://" in base else self._schemes(base)
        self._found = False
        self._lock = threading.Lock()
        self.patience = patience
        self.upstream = alone
        self.source = self._bases[0]

    def _schemes(self, host: str) -> list[str]:
        """TLS first, plain HTTP only where that is accepted."""
        if not self.transport.insecure(Place.of(f"https://{host}")):
            return [f"https://{host}"]
        return [f"https://{host}", f"http://{host}"]

    def ask(
        self,
        request: Request,
        expected: Sequence[int] = (200,),
        notice: Notice = ignore_notice,
        cancellation: Cancellation | None = None,
    ) -> Answer:
        """An answer with an expected status; to be closed. Raises what ``refusal`` makes of others, and what
        Exchanges.ask raises."""
        cancellation = cancellation or self._cancellation
        answer = self._found_out(request, notice, cancellation)
        if answer.status == 401:
            answer = self._authorized(answer, request, notice, cancellation)
        if answer.status in expected:
            return answer
        raise refusal(answer)

    def _authorized(self, answer: Answer, request: Request, notice: Notice, cancellation: Cancellation) -> Answer:
        """Once more, with what the challenge asks for."""
        if not self._challenged(answer, request.scopes):
            return answer
        answer.discard()
        return self._send(self.source, request, notice, cancellation)

    def _challenged(self, answer: Answer, scopes: Scopes) -> bool:
        """Only the registry itself says where its tokens come from: who was reached by a redirect could name a realm of
        their own, and would be given the credentials there."""
        if Place.of(answer.url) != Place.of(self.source):
            return False
        try:
            return self._authorizer.challenged(answer.headers.get("WWW-Authenticate", ""), answer.authorization, scopes)
        except EngineError:
            answer.close()
            raise

    def _found_out(self, request: Request, notice: Notice, cancellation: Cancellation) -> Answer:
        """The first exchange decides which scheme the registry speaks."""
        if self._found or len(self._bases) == 1:
            return self._send(self.source, request, notice, cancellation)
        with self._lock:
            if not self._found:
                answer = self._tried(request, notice, cancellation)
                self._found = True
                return answer
        return self._send(self.source, request, notice, cancellation)

    def _tried(self, request: Request, notice: Notice, cancellation: Cancellation) -> Answer:
        secure, plain = self._bases
        try:
            return self._send(secure, request._replace(once=True), notice, cancellation)
        except PlainAnswer:
            self.source = plain
        except ConnectionFailed:
            if Place.of(secure).port != Place.of(plain).port and not request.once:
                self.source = plain  # port 443 is closed; without a port in its name it may serve 80
                try:
                    return self._send(plain, request._replace(once=True), notice, cancellation)
                except Unavailable:
                    self.source = secure
        except Unavailable:
            pass  # it speaks TLS, and is busy
        return self._send(self.source, request, notice, cancellation)

    def _send(self, base: str, request: Request, notice: Notice, cancellation: Cancellation) -> Answer:
        home = Place.of(base)
        self._authorizer.home = home
        url = request.url if "://" in request.url else base.rstrip("/") + request.url
        authorization = self._authorizer.header(request.scopes) if Place.of(url) == home else ""
        answer = self._exchanges.ask(
            request.method, url, request.headers, cancellation, authorization=authorization, body=request.body,
            home=home, notice=notice, once=request.once, slow=request.slow,
        )  # fmt: skip
        answer.authorization = authorization
        return answer

    def login(self) -> str:
        """As Registries.login."""
        request = Request("GET", "/v2/")
        answer = self._found_out(request, ignore_notice, self._cancellation)
        if answer.status == 401 and self._challenged(answer, frozenset()):
            answer.discard()
            self._authorizer.login_token()
            answer = self._send(self.source, request, ignore_notice, self._cancellation)
        if answer.status == 200:
            answer.discard()
            return self._authorizer.identity()
        error = refusal(answer)
        if answer.status == 401:
            raise Unauthorized(f"login attempt to {self.source}/v2/ failed with status: 401 Unauthorized: {error}")
        raise error

    def close(self) -> None:
        self.transport.close()


def endpoints_of(
    domain: str,
    settings: RegistrySettings,
    credentials: Credentials,
    cancellation: Cancellation,
    upstream: bool = False,
) -> list[Endpoint]:
    """Where a registry is asked, in turn: mirrors of docker.io first (not for ``upstream``), which never see its
    credentials."""
    found = []
    if domain == DEFAULT_DOMAIN and not upstream:
        for mirror in settings.mirrors:
            address = Place.of(mirror).address
            found.append(Endpoint(mirror.rstrip("/"), (address,), settings, Credentials(), cancellation, alone=False))
    if domain == DEFAULT_DOMAIN:
        found.append(Endpoint(HUB, (domain, Place.of(HUB).address), settings, credentials, cancellation))
    else:
        found.append(Endpoint(domain, (domain,), settings, credentials, cancellation))
    return found


def same_registry(url: str, base: str) -> str:
    """The path and query of a URL that must lie at the registry itself. Raises InvalidArgument."""
    if Place.of(url) != Place.of(base):
        raise InvalidArgument(f"the registry leads from {base} to {Place.of(url).url} in the middle of a listing")
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
