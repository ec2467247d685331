"""A server of the API on fake services, and two ways to speak to it: requests, and bytes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from engine.api.doors import Door, UnixDoor
from engine.api.server import Server
from support.connection import Answer, UnixConnection, ask

from .fakes import Services

V = "/v1.47"


class Api:
    """A running server and its services."""

    def __init__(self, folder: Path, *others: Door) -> None:
        self.socket_path = folder / "docket.sock"
        self.services = Services(folder)
        self.server = Server([UnixDoor(self.socket_path), *others], self.services, clock=self.services.log.clock)
        self.connection = UnixConnection(self.socket_path)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request of the newest version, on one connection that stays open."""
        return ask(self.connection, method, V + path, body, **headers)

    def create(self, name: str = "web", **body: Any) -> str:
        answer = self.ask("POST", f"/containers/create?name={name}", {"Image": "base", **body})
        assert answer.status == 201, answer.body
        return answer.json["Id"]

    def run(self, name: str = "web", **body: Any) -> str:
        container_id = self.create(name, **body)
        assert self.ask("POST", f"/containers/{name}/start").status == 204
        return container_id

    def dial(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(10)
        sock.connect(str(self.socket_path))
        return sock

    def send(self, data: bytes) -> bytes:
        """Send bytes, and read until the server closes the connection."""
        with self.dial() as sock:
            sock.sendall(data)
            return read_to_end(sock)


def read_to_end(sock: socket.socket) -> bytes:
    whole = b""
    while chunk := sock.recv(65536):
        whole += chunk
    return whole


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """Read until ``mark`` was seen, and not a byte further."""
    whole = b""
    while not whole.endswith(mark):
        chunk = sock.recv(1)
        assert chunk, f"the connection ended before {mark!r}: {whole!r}"
        whole += chunk
    return whole
