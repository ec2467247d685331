"""The listening socket and its connections: one thread each, so that a stuck client holds up nobody but itself."""

from __future__ import annotations

import errno
import grp
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Callable

from engine.api.connection import Composition, Connection
from engine.api.exchange import JSON
from engine.api.router import Router
from engine.api.routes import ROUTES
from engine.api.status import body_of
from engine.domain.errors import Conflict

CONNECTIONS = 2048
"""More than this are told to try again later: each costs a thread."""
BACKLOG = 512


def listen(path: Path, group: str = "docket") -> socket.socket:
    """A unix socket at ``path``, 0660 and root's, or ``group``'s where that exists. A dead socket is replaced.

    Raises Conflict where somebody listens there already. Paths longer than sockaddr_un's 107 bytes work: the folder
    is reached through its descriptor.
    """
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        address = f"/proc/self/fd/{folder}/{path.name}"
        _unlink_dead(address, path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listener.fileno(), 0o660)  # before bind(2), which creates the name with the socket's mode
            listener.bind(address)
            try:
                os.chown(address, -1, grp.getgrnam(group).gr_gid)
            except KeyError:
                pass  # no such group: root alone may connect
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener
    finally:
        os.close(folder)


def _unlink_dead(address: str, path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(address)
            return
    raise Conflict(f'another engine listens on "{path}"')


class Server:
    """Accepts connections until it is stopped.

    ``make_context(actor=, correlation=, causation=)`` and ``make_attachment(fd=, stdin=, stdout=, stderr=, framed=,
    detach_keys=, early=)`` construct what services take; ``clock`` gives microseconds since the epoch. ``path`` is the
    socket's, where it is to be removed at the end.
    """

    def __init__(
        self,
        listener: socket.socket,
        services: Any,
        *,
        make_context: Callable[..., Any],
        make_attachment: Callable[..., Any],
        clock: Callable[[], int],
        path: Path | None = None,
    ) -> None:
        self._listener = listener
        self._path = path
        self._shared = Composition(
            services, Router(ROUTES), make_context=make_context, make_attachment=make_attachment, clock=clock
        )
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="api-accept", daemon=True)

    @property
    def connection_count(self) -> int:
        """How many connections are open: each has a thread."""
        with self._lock:
            return len(self._connections)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Refuse new connections, end those that are open, and wait for their threads at most ``timeout_s``."""
        if self._shared.stopping.is_set():
            return
        self._shared.stopping.set()
        if self._path is not None:  # first: once nobody listens any more, the next daemon may bind here
            self._path.unlink(missing_ok=True)
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(2); close alone would not
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            threads = list(self._connections.items())
        for connection, _ in threads:
            connection.interrupt()
        share_s = timeout_s / max(1, len(threads))
        for _, thread in threads:
            thread.join(share_s)
        self._shared.departures.close()

    def _accept(self) -> None:
        while not self._shared.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if self._shared.stopping.is_set():
                    return
                print(f"api: accept: {error}", file=sys.stderr)
                self._shared.stopping.wait(0.2)  # out of descriptors: let some connections end
                continue
            self._open(sock)

    def _open(self, sock: socket.socket) -> None:
        try:
            if self.connection_count >= CONNECTIONS:
                _turn_away(sock)
                return
            connection = Connection(sock, self._shared)
            thread = threading.Thread(target=self._run, args=(connection,), name="api-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()
        except (OSError, RuntimeError) as error:  # RuntimeError: no more threads can be started
            print(f"api: a connection could not be served: {error}", file=sys.stderr)
            sock.close()

    def _run(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._connections.pop(connection, None)


def _turn_away(sock: socket.socket) -> None:
    body = body_of("too many connections are open, try again later")
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
    with sock:
        sock.settimeout(0)  # its buffer is empty, so this fits; if not, the client is not worth waiting for
        try:
            sock.send((head + "Connection: close\r\n\r\n").encode("ascii") + body)
        except OSError as error:
            print(f"api: turning a connection away: {error}", file=sys.stderr)
