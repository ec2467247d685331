"""Which engine is meant: by flags, by the environment, or by the current context, in Docker's order.

``--context``, ``--host``; then DOCKET_HOST, DOCKET_CONTEXT, DOCKER_HOST, DOCKER_CONTEXT; then what ``context use``
chose. Where the folders of an engine are named (DOCKET_ROOT, DOCKET_RUN or their flags), Docker's settings don't count:
the engine on these folders is meant. TLS for a host: ``--tls...``, or DOCKET_TLS_VERIFY (or DOCKER_...) with the
certificates in DOCKET_CERT_PATH (or DOCKER_...), else in the folder of Docker's settings.
"""

from __future__ import annotations

import os

from engine.client.address import Address, default_host, machines_host, parse_address
from engine.client.config_file import config_folder
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.client.tls import TLSFiles

DEFAULT = "default"


class TLSChoice:
    """What the command line says of TLS: None where it says nothing."""

    __slots__ = ("ca", "cert", "key", "tls", "verify")

    def __init__(
        self, tls: bool | None = None, verify: bool | None = None, ca: str = "", cert: str = "", key: str = ""
    ) -> None:
        self.tls = tls
        self.verify = verify
        self.ca = ca
        self.cert = cert
        self.key = key

    def files(self) -> TLSFiles | None:
        """The files to speak TLS with; None for no TLS."""
        verify = bool(_setting("TLS_VERIFY")) if self.verify is None else self.verify
        if not (verify or self.tls or (self.tls is None and _setting("TLS"))):
            return None
        from engine.client.tls import TLSFiles

        folder = _setting("CERT_PATH") or config_folder()
        cert, key = _present(self.cert, folder, "cert.pem"), _present(self.key, folder, "key.pem")
        return TLSFiles(self.ca or os.path.join(folder, "ca.pem"), cert, key, verify=verify)


def _setting(name: str) -> str:
    return os.environ.get(f"DOCKET_{name}") or os.environ.get(f"DOCKER_{name}") or ""


def _present(given: str, folder: str, name: str) -> str:
    """The file that was named; the usual one only where there is one."""
    usual = os.path.join(folder, name)
    return given or (usual if os.path.exists(usual) else "")


def chosen_context(host: str = "", context: str = "", *, local: bool = False) -> str:
    """The name of the context that is in force; "default" where a host is, or nothing.

    ``local``: an engine's folders are named by flags. Raises ClientError."""
    if context and host:
        raise ClientError("conflicting options: cannot specify both --host and --context")
    if context or host:
        return context or DEFAULT
    for place in _places(local):
        if os.environ.get(f"{place}_HOST"):
            return DEFAULT
        if name := os.environ.get(f"{place}_CONTEXT"):
            return name
    return _current_context() if "DOCKER" in _places(local) else DEFAULT


def chosen(
    host: str = "", context: str = "", tls: TLSChoice | None = None, *, local: bool = False
) -> Address | None:
    """Where the engine listens; None where nothing says so: the socket in the run folder is meant.

    Raises ClientError."""
    if (name := chosen_context(host, context, local=local)) != DEFAULT:
        from engine.client.contexts import ContextStore

        return ContextStore().address(name)
    named = host or next(filter(None, (os.environ.get(f"{place}_HOST") for place in _places(local))), "")
    named = named or ("" if local else machines_host())
    return parse_address(named, (tls or TLSChoice()).files()) if named else None


def _places(local: bool) -> tuple[str, ...]:
    """Whose variables count."""
    named = local or os.environ.get("DOCKET_RUN") or os.environ.get("DOCKET_ROOT")
    return ("DOCKET",) if named else ("DOCKET", "DOCKER")


def _current_context() -> str:
    if not os.path.exists(os.path.join(config_folder(), "config.json")):
        return DEFAULT
    from engine.client.contexts import ContextStore

    return ContextStore().current or DEFAULT


def default_address() -> Address:
    """The socket in the run folder."""
    return parse_address(default_host())
