"""Where an engine listens: ``unix:///run/docket/docket.sock`` or ``tcp://127.0.0.1:2375``."""

from __future__ import annotations

import os

from engine.client.errors import ClientError

DEFAULT_RUN_DIR = "/run/docket"
_DEFAULT_TCP_PORT = 2375


class Address:
    """A parsed host: ``path`` of a unix socket, or ``node`` and ``port`` of a TCP one."""

    __slots__ = ("node", "path", "port")

    def __init__(self, path: str = "", node: str = "", port: int = 0) -> None:
        self.path = path
        self.node = node
        self.port = port

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"tcp://{self.node}:{self.port}"


def parse_address(host: str) -> Address:
    """The address that Docker's notation names. Raises ClientError."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "tcp", host
    if scheme == "unix" and rest.startswith("/"):
        return Address(path=rest)
    if scheme in ("tcp", "http") and rest:
        node, _, port = rest.rstrip("/").rpartition(":") if ":" in rest else (rest, "", str(_DEFAULT_TCP_PORT))
        if port.isdecimal() and 0 < int(port) < 65536 and "/" not in node:
            return Address(node=node.strip("[]") or "127.0.0.1", port=int(port))
    raise ClientError(f'host "{host}" is not an address: use unix:///absolute/path.sock or tcp://HOST:PORT')


def default_host() -> str:
    """``$DOCKET_HOST``, else the socket in the run folder (``$DOCKET_RUN``, else /run/docket)."""
    return os.environ.get("DOCKET_HOST") or f"unix://{os.environ.get('DOCKET_RUN') or DEFAULT_RUN_DIR}/docket.sock"
