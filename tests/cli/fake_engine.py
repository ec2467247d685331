"""A scripted engine on a unix socket: it answers what a test tells it to and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any, Callable

from support.waiting import eventually


class Asked:
    """One request as it arrived; ``path`` is without version and query."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        path, _, self.query = target.partition("?")
        first, _, rest = path[1:].partition("/")
        self.path = "/" + rest if first[:1] == "v" and first[1:2].isdigit() else path

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Asked, socket.socket], bytes | None]
"""Returns the bytes of the answer, or None where it has spoken to the socket itself and the connection is over."""


def answer(value: Any = None, status: int = 200, *, headers: str = "") -> bytes:
    """A JSON answer with a length; without a value an empty one."""
    body = b"" if value is None else json.dumps(value).encode()
    kind = "Content-Type: application/json\r\n" if body else ""
    return f"HTTP/1.1 {status} X\r\n{kind}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def refusal(status: int, message: str) -> bytes:
    return answer({"message": message}, status)


def chunked(*pieces: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


class FakeEngine:
    """``on["GET /info"]`` is an answer, or a function that gets the request and the socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.sock"
        self.host = f"unix://{self.path}"
        self.on: dict[str, bytes | Script] = {"HEAD /_ping": answer(headers="Api-Version: 1.47\r\n")}
        self.asked: list[Asked] = []
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def requests(self) -> list[str]:
        """"GET /info" for everything that was asked, in order."""
        return [f"{one.method} {one.path}" for one in self.asked]

    def wait_for(self, request: str) -> Asked:
        """The first such request, once it has arrived."""
        eventually(lambda: request in self.requests(), what=request)
        return self.asked[self.requests().index(request)]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as reader:
            while (asked := self._next(reader)) is not None:
                self.asked.append(asked)
                script = self.on.get(f"{asked.method} {asked.path}", refusal(404, f"page not found: {asked.path}"))
                try:
                    reply = script if isinstance(script, bytes) else script(asked, client)
                    if reply is None:
                        return
                    client.sendall(reply)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the client left in the middle

    @staticmethod
    def _next(reader: Any) -> Asked | None:
        try:
            return _read_request(reader)
        except ConnectionResetError:
            return None  # the client was killed


def _read_request(reader: Any) -> Asked | None:
    line = reader.readline().decode()
    if not line:
        return None
    method, target, _ = line.split()
    headers = {}
    while (header := reader.readline().decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, body)
