"""HTTP over a unix socket, for tests that speak to the API themselves."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.specification import violations


class UnixConnection(http.client.HTTPConnection):
    """http.client on a unix socket. Keeps the connection alive between requests."""

    def __init__(self, path: Path | str, timeout_s: float = 30.0) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclass(frozen=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The text of an error as the API words it."""
        return self.json["message"]


def ask(connection: UnixConnection, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request on an open connection. ``body``: bytes as they are, anything else as JSON.

    Every answer is compared with Docker's description of it on the way.
    """
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    connection.request(method, path, body=body, headers=sent)
    response = connection.getresponse()
    answer = Answer(response.status, dict(response.getheaders()), response.read())
    wrong = violations(method, path, answer.status, answer.headers, answer.body)
    assert not wrong, "\n".join(wrong)
    return answer
