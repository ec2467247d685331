"""A token server: what a registry's realm leads to (distribution project, docs/spec/auth/token.md and oauth.md).

Tokens are opaque, or JSON Web Tokens signed by a key of the test, which a real registry believes.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Mapping, NamedTuple
from urllib.parse import parse_qs, urlsplit

ISSUER = "tests"


class Wanted(NamedTuple):
    """One request for a token."""

    method: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]

    @property
    def scopes(self) -> list[str]:
        return [word for text in self.query.get("scope", []) for word in text.split()]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else headers and body, written apart, come 40 ms apart
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Tests look into ``wanted``."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = parse_qs(body if self.command == "POST" else urlsplit(self.path).query)
        status, answer = self.server.tokens.answer(Wanted(self.command, query, self.headers))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _handle


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tokens: TokenServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may hang up."""


class TokenServer:
    """Gives ``users`` (name -> password) what they ask for, and the anonymous the right to pull what is ``public``.

    ``body`` replaces every answer; ``life_s`` is how long tokens are said to be good; ``posts`` says whether identity
    tokens are known here."""

    def __init__(self, users: Mapping[str, str], public: tuple[str, ...] = (), host: str = "127.0.0.1") -> None:
        self.users = dict(users)
        self.public = public
        self.wanted: list[Wanted] = []
        self.given: dict[str, list[str]] = {}
        self.body: bytes | None = None
        self.status = 200
        self.life_s: Any = 300
        self.posts = True
        self.key: Path | None = None
        self.certificate: Path | None = None
        self._server = _Server((host, 0), _Handler)
        self._server.tokens = self
        self.realm = f"http://{host}:{self._server.server_address[1]}/token"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> TokenServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, wanted: Wanted) -> tuple[int, bytes]:
        self.wanted.append(wanted)
        if self.body is not None:
            return self.status, self.body
        if wanted.method == "POST" and not self.posts:
            return 405, b""
        user = self._user(wanted)
        if user is None:
            return 401, b'{"details": "incorrect username or password"}'
        granted = [scope for scope in wanted.scopes if user or self._is_public(scope)]
        token = self._token(user, granted, wanted.query.get("service", [""])[0])
        self.given[token] = granted
        answer = {"token": token, "access_token": token, "expires_in": self.life_s}
        if "offline_token" in wanted.query:
            answer["refresh_token"] = f"identity-of-{user}"
        return 200, json.dumps(answer).encode()

    def _user(self, wanted: Wanted) -> str | None:
        """"" for nobody in particular, None for a lie."""
        if wanted.method == "POST":
            user = wanted.query.get("refresh_token", [""])[0].removeprefix("identity-of-")
            return user if user in self.users else None
        scheme, _, text = wanted.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return ""
        user, _, password = base64.b64decode(text).decode().partition(":")
        return user if self.users.get(user) == password else None

    def _is_public(self, scope: str) -> bool:
        _, name, actions = scope.split(":")
        return name in self.public and actions == "pull"

    def _token(self, user: str, scopes: list[str], service: str) -> str:
        if self.key is None:
            return f"token-{len(self.wanted)}-{user or 'anonymous'}"
        now = int(time.time())
        access = [dict(zip(("type", "name", "actions"), scope.split(":"))) for scope in scopes]
        for entry in access:
            entry["actions"] = entry["actions"].split(",")  # type: ignore[assignment]
        claims = {
            "iss": ISSUER, "sub": user, "aud": service, "exp": now + 300, "nbf": now - 10, "iat": now,
            "jti": str(len(self.wanted)), "access": access,
        }  # fmt: skip
        return self._signed(claims)

    def _signed(self, claims: dict[str, Any]) -> str:
        """A JSON Web Token by RS256 (RFC 7515), the certificate in its header."""
        assert self.key is not None and self.certificate is not None
        lines = self.certificate.read_text().splitlines()
        chain = "".join(line for line in lines if not line.startswith("-"))
        header = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=signed, capture_output=True, check=True
        ).stdout
        return (signed + b"." + _base64(signature)).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
