"""The Authorization header for a registry: Basic, or Bearer with tokens of a token server.

The flow is that of the distribution project (docs/spec/auth/token.md and oauth.md): the registry's challenge names a
realm and a service; a GET with user and password, or a POST with an identity token, gives a token for scopes
(``repository:team/app:pull,push``), which expires. Secrets go to the realm over TLS, and over plain HTTP only to
loopback and to hosts that the operator lists.
"""

from __future__ import annotations

import base64
import threading
import time
from typing import Iterable, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from engine.domain.errors import Forbidden, InvalidArgument, NotSupported, Unauthorized
from engine.images.documents import parse_object
from engine.images.registry.addresses import Place, shown
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.challenges import Challenge, parse_challenges
from engine.images.registry.credentials import Credentials
from engine.images.registry.exchange import Exchanges
from engine.images.registry.refusals import refusal
from engine.images.registry.transport import Answer

_CLIENT_ID = "docket"
_ANSWER_LIMIT_BYTES = 1 << 20
_TOKEN_LIMIT = 64 * 1024
_DEFAULT_LIFE_S = 60
_LONGEST_LIFE_S = 24 * 3600
_MARGIN = 0.1
"""A token is not used in the last tenth of its life: an exchange takes time."""

Scopes = frozenset[str]


class Token(NamedTuple):
    """``identity`` is the identity token that came along, if any."""

    text: str
    good_until: float
    identity: str = ""


class Authorizer:
    """The credentials of one operation at one registry. Several threads may use it."""

    def __init__(
        self, exchanges: Exchanges, credentials: Credentials, cancellation: Cancellation, home: Place | None = None
    ) -> None:
        self._exchanges = exchanges
        self._credentials = credentials
        self._cancellation = cancellation
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, Token] = {}
        self._lock = threading.Lock()
        self.home = home

    def header(self, scopes: Scopes) -> str:
        """What to send along, as far as is known by now; "" for nothing."""
        if self._credentials.registry_token:
            return f"Bearer {_checked(self._credentials.registry_token, 'the registry token')}"
        with self._lock:
            if self._challenge is None:
                return ""
            if self._challenge.scheme == "basic":
                return basic(self._credentials)
            return f"Bearer {self._token(scopes).text}"

    def challenged(self, header: str, sent: str, scopes: Scopes) -> bool:
        """After status 401 to a request with ``sent``: whether another attempt with what ``header`` gives makes sense.

        Raises Unauthorized where a registry wants credentials and there are none."""
        challenges = {challenge.scheme: challenge for challenge in reversed(parse_challenges(header))}
        if not challenges or self._credentials.registry_token:
            return False
        chosen = challenges.get("bearer") or challenges.get("basic")
        if chosen is None:
            raise NotSupported(f"the registry wants authorization by {', '.join(sorted(challenges))[:100]}, which is "
                               "not supported: only Basic and Bearer are")  # fmt: skip
        with self._lock:
            if chosen.scheme == "basic":
                if not self._credentials.username:
                    raise Unauthorized("no basic auth credentials")
                self._challenge = chosen
                return sent != basic(self._credentials)
            before = self._tokens.get(scopes)
            first = self._challenge is None or not sent
            self._challenge = chosen
            if not first and before and sent == f"Bearer {before.text}":
                del self._tokens[scopes]
            return True

    def identity(self) -> str:
        """The identity token that came with a token, at login."""
        return next((token.identity for token in self._tokens.values() if token.identity), "")

    def login_token(self) -> str:
        """At login: a token for no scope at all; "" where the registry takes Basic."""
        with self._lock:
            if self._challenge is None or self._challenge.scheme == "basic":
                return ""
            self._tokens[frozenset()] = token = self._fetched(frozenset(), offline=True)
            return token.text

    def _token(self, scopes: Scopes) -> Token:
        token = self._tokens.get(scopes)
        if token is None or time.monotonic() > token.good_until:
            token = self._tokens[scopes] = self._fetched(scopes)
        return token

    def _fetched(self, scopes: Scopes, offline: bool = False) -> Token:
        assert self._challenge is not None
        realm = self._challenge.parameters.get("realm", "")
        place = Place.of(realm)
        if place.scheme == "http" and not self._exchanges.transport.insecure(place):
            raise Forbidden(f"refused to ask the token server {shown(realm)} over plain HTTP")
        service = self._challenge.parameters.get("service", "")
        wanted = sorted(scopes | set(self._challenge.parameters.get("scope", "").split()))
        if self._credentials.identity_token:
            answer = self._post(realm, service, wanted)
            if answer.status not in (404, 405):
                return _parse_token(answer, realm)
            answer.discard()
        return _parse_token(self._get(realm, service, wanted, offline), realm)

    def _get(self, realm: str, service: str, scopes: Iterable[str], offline: bool) -> Answer:
        query = parse_qsl(urlsplit(realm).query, keep_blank_values=True)
        query += [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        if self._credentials.username:
            query += [("account", self._credentials.username)]
        if offline:
            query += [("client_id", _CLIENT_ID), ("offline_token", "true")]
        base = realm.partition("?")[0].partition("#")[0]
        return self._ask("GET", f"{base}?{urlencode(query)}", {}, basic(self._credentials), None)

    def _post(self, realm: str, service: str, scopes: Iterable[str]) -> Answer:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._credentials.identity_token,
            "service": service,
            "scope": " ".join(scopes),
            "client_id": _CLIENT_ID,
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", realm, kind, "", urlencode(form).encode())

    def _ask(self, method: str, url: str, headers: dict[str, str], authorization: str, body: bytes | None) -> Answer:
        return self._exchanges.ask(
            method, url, headers, self._cancellation, authorization=authorization, body=body, home=self.home
        )


def basic(credentials: Credentials) -> str:
    """The header for user and password; "" where there are none."""
    if not credentials.username or credentials.identity_token:
        return ""
    pair = f"{credentials.username}:{credentials.password}".encode(errors="surrogateescape")
    return f"Basic {base64.b64encode(pair).decode()}"


def _parse_token(answer: Answer, realm: str) -> Token:
    if answer.status != 200:
        raise refusal(answer)
    what = f"the answer of the token server {shown(realm)}"
    document = parse_object(answer.body(_ANSWER_LIMIT_BYTES, what), what)
    text = document.get("token") or document.get("access_token")
    if not isinstance(text, str) or not text:
        raise InvalidArgument(f"{what} holds no token")
    _checked(text, what)
    life_s = document.get("expires_in")
    if not isinstance(life_s, (int, float)) or isinstance(life_s, bool) or not 0 < life_s <= _LONGEST_LIFE_S:
        life_s = _DEFAULT_LIFE_S
    identity = document.get("refresh_token")
    good_until = time.monotonic() + life_s * (1 - _MARGIN)
    return Token(text, good_until, identity if isinstance(identity, str) else "")


def _checked(token: str, what: str) -> str:
    """What is to go into a header, unseen by error messages."""
    if len(token) > _TOKEN_LIMIT or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArgument(f"{what} has characters that no token has, or too many")
    return token
