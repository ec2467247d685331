"""One run of the program: which engine it talks to, where that engine's folders are, and how it is started."""

from __future__ import annotations

import os

from engine.cli.output import CommandError
from engine.client.address import Address, default_root, default_run_dir
from engine.client.api import Client
from engine.client.connection import Connection
from engine.client.endpoint import TLSChoice, chosen
from engine.client.errors import EngineUnreachable

PROGRAM = "docket-cli"


class Session:
    """``address`` is None where nobody named an engine: then the socket in the run folder is meant, and a daemon is
    started if none listens there. Raises ClientError where flags or environment name one badly."""

    def __init__(
        self, host: str = "", root: str = "", run_dir: str = "", context: str = "", tls: TLSChoice | None = None
    ) -> None:
        self.host = host
        self.context = context
        self.is_local = bool(root or run_dir)
        self.root = root or default_root()
        self.run_dir = run_dir or default_run_dir()
        self._tls = tls
        self._client: Client | None = None

    @property
    def default_socket(self) -> str:
        return os.path.join(os.path.abspath(self.run_dir), "docket.sock")

    def chosen(self) -> Address | None:
        """The engine that flags, environment or the current context name."""
        return chosen(self.host, self.context, self._tls, local=self.is_local)

    @property
    def address(self) -> Address:
        """Where this session's engine listens, or will."""
        return self.chosen() or Address(self.default_socket)

    @property
    def client(self) -> Client:
        """The client of this session's engine, which answers."""
        if self._client is None:
            named = self.chosen()
            self._client = Client(named or Address(self.default_socket), program=PROGRAM)
            if named is None:
                self._be_connected(self._client)
        return self._client

    def _be_connected(self, client: Client) -> None:
        """Connect, or start the daemon where nobody listens. The connection serves the first request."""
        try:
            client.keep(Connection(client.address))
        except EngineUnreachable as error:
            if not isinstance(error.cause, (FileNotFoundError, ConnectionRefusedError)):
                raise
            from engine.cli.daemon import start_daemon

            start_daemon(self.root, self.run_dir, client)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def read_file(path: str) -> str:
    """A text file that the user named. Raises CommandError in Docker's words."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
