"""Where an engine listens: ``unix:///run/docket/docket.sock``, ``tcp://host:2376`` or ``ssh://user@host``; and where
its folders are. An ordinary user has an engine of their own, in those of the XDG Base Directory Specification.
"""

from __future__ import annotations

import os

from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.client.tls import TLSFiles

_ROOT, _RUN_DIR, _SOCKET = "/var/lib/docket", "/run/docket", "/run/docket/docket.sock"
_TCP_PORT, _TLS_PORT = 2375, 2376


class Address:
    """A parsed host: ``path`` of a unix socket, ``node`` and ``port`` of a TCP one (by TLS with the files of ``tls``),
    or, with ``ssh``, the machine on which a command carries the bytes (``port`` 0: what ssh's own settings say;
    ``path``: of the socket there, "" for the default)."""

    __slots__ = ("node", "path", "port", "ssh", "tls", "user")

    def __init__(
        self, path: str = "", node: str = "", port: int = 0, *, tls: TLSFiles | None = None, ssh: bool = False,
        user: str = "",
    ) -> None:  # fmt: skip
        self.path = path
        self.node = node
        self.port = port
        self.tls = tls
        self.ssh = ssh
        self.user = user

    def __str__(self) -> str:
        if self.ssh:
            who, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
            return f"ssh://{who}{self.node}{port}{self.path}"
        return f"unix://{self.path}" if self.path else f"tcp://{self.node}:{self.port}"


def parse_address(host: str, tls: TLSFiles | None = None) -> Address:
    """The address that Docker's notation names; ``tls`` is what TCP is spoken with. Raises ClientError."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "tcp", host
    if scheme == "unix" and rest.startswith("/"):
        return Address(path=rest)
    if scheme == "ssh":
        user, _, place = rest.rpartition("@")
        place, slash, path = place.partition("/")
        node, port = _node_and_port(place, 0)
        if node and port >= 0 and not node.startswith("-") and not user.startswith("-") and ":" not in user:
            return Address(slash + path if path else "", node, port, ssh=True, user=user)
    if scheme in ("tcp", "http", "https") and rest:
        node, port = _node_and_port(rest.rstrip("/"), _TLS_PORT if tls else _TCP_PORT)
        if port > 0 and "/" not in node:
            return Address(node=node or "127.0.0.1", port=port, tls=tls)
    raise ClientError(
        f'host "{host}" is not an address: use unix:///absolute/path.sock, tcp://HOST:PORT or ssh://USER@HOST'
    )


def _node_and_port(place: str, default: int) -> tuple[str, int]:
    """Host and port, -1 for a port that is none."""
    if ":" not in place or place.endswith("]"):
        return place.strip("[]"), default
    node, _, port = place.rpartition(":")
    return node.strip("[]"), int(port) if port.isdecimal() and 0 < int(port) < 65536 else -1


def default_root() -> str:
    """``$DOCKET_ROOT``, else /var/lib/docket, or the user's $XDG_DATA_HOME/docket (~/.local/share/docket)."""
    if named := os.environ.get("DOCKET_ROOT"):
        return named
    return _ROOT if os.geteuid() == 0 else os.path.join(_home("XDG_DATA_HOME", ".local/share"), "docket")


def default_run_dir() -> str:
    """``$DOCKET_RUN``, else /run/docket, or the user's $XDG_RUNTIME_DIR/docket; where there is none, a folder in the
    data root, since whatever lies in /tmp others could have put there."""
    if named := os.environ.get("DOCKET_RUN"):
        return named
    if os.geteuid() == 0:
        return _RUN_DIR
    runtime = os.environ.get("XDG_RUNTIME_DIR") or ""
    return os.path.join(runtime, "docket") if os.path.isabs(runtime) else os.path.join(default_root(), "run")


def default_config() -> str:
    """``$DOCKET_CONFIG``, else /etc/docket/daemon.json, or the user's $XDG_CONFIG_HOME/docket/daemon.json."""
    if named := os.environ.get("DOCKET_CONFIG"):
        return named
    folder = "/etc" if os.geteuid() == 0 else _home("XDG_CONFIG_HOME", ".config")
    return os.path.join(folder, "docket", "daemon.json")


def _home(variable: str, fallback: str) -> str:
    given = os.environ.get(variable) or ""
    return given if os.path.isabs(given) else os.path.join(os.path.expanduser("~"), fallback)


def machines_host() -> str:
    """The machine's engine, where its socket lets an ordinary user in (group docket) who names no folders of their
    own; else ""."""
    if os.geteuid() == 0 or os.environ.get("DOCKET_ROOT") or os.environ.get("DOCKET_RUN"):
        return ""
    return f"unix://{_SOCKET}" if os.access(_SOCKET, os.W_OK) else ""


def default_host() -> str:
    """The socket in the run folder."""
    return f"unix://{default_run_dir()}/docket.sock"
