"""A kept-alive API connection that costs next to nothing, so that a figure is the engine's and not its client's."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class KeptAlive:
    """HTTP/1.1 on a unix socket; bodies by Content-Length or chunks, as the engine sends them."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._read = b""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """(status, body)."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if data else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: docket\r\n{kind}Content-Length: {len(data)}\r\n\r\n"
        self._socket.sendall(head.encode() + data)
        head_bytes = self._until(b"\r\n\r\n")
        lowered = head_bytes.lower()
        if b"transfer-encoding: chunked" in lowered:
            answer = self._chunks()
        else:
            length = lowered.partition(b"content-length:")[2].partition(b"\r\n")[0]
            answer = self._take(int(length or 0))
        return int(head_bytes[9:12]), answer

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._until(b"\r\n"), 16):
            parts.append(self._take(size + 2)[:-2])
        self._take(2)
        return b"".join(parts)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._fill()
        found, _, self._read = self._read.partition(mark)
        return found + mark

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._fill()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _fill(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the engine closed the connection")
        self._read += data

    def close(self) -> None:
        self._socket.close()
