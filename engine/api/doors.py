"""Where the engine listens. A door accepts sockets, finds out who is at the other end, and hands on plain sockets.

On a unix socket the kernel says who it is. TCP is served by TLS alone, and only to clients with a certificate of the
operator's authority (engine.api.tls): whoever may speak with the engine is root on its host.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
from pathlib import Path
from typing import Any, Callable, Protocol

from engine.api.peer import identify
from engine.domain.errors import Conflict
from engine.kernel import sockets

BACKLOG = 512

Serve = Callable[[socket.socket, dict[str, Any]], None]
"""Takes a plain socket over, with the facts of the actor at its other end."""


class Door(Protocol):
    """``listener`` is accepted from by one thread; ``admit`` must not keep it waiting."""

    listener: socket.socket

    def admit(self, sock: socket.socket, serve: Serve) -> None: ...

    def close(self) -> None: ...

    def __str__(self) -> str: ...


class UnixDoor:
    """A unix socket at ``path``, 0660 and root's, or ``group``'s where that exists; 0600 where it is an ordinary
    user's engine, whose group may be everybody's. A dead socket is replaced."""

    def __init__(self, path: Path, group: str = "docket") -> None:
        """Raises Conflict where somebody listens there already."""
        self._path = path
        self.listener = listen(path, group)

    def __str__(self) -> str:
        return f"unix://{self._path}"

    def admit(self, sock: socket.socket, serve: Serve) -> None:
        serve(sock, identify(sock))

    def close(self) -> None:
        """Be found no more: once nobody listens, the next daemon may bind here."""
        self._path.unlink(missing_ok=True)
        stop_listening(self.listener)


def stop_listening(listener: socket.socket) -> None:
    """Wake whoever accepts, and close."""
    try:
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept(2); close alone would not
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def listen(path: Path, group: str = "docket") -> socket.socket:
    """The socket of a UnixDoor. Raises Conflict where somebody listens there."""
    is_root = os.geteuid() == 0
    path.parent.mkdir(mode=0o711 if is_root else 0o700, parents=True, exist_ok=True)
    _unlink_dead(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o660 if is_root else 0o600)  # before bind(2): the name gets the socket's mode
        sockets.by_folder(str(path), listener.bind)
        if is_root:
            _give_to(group, path)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _give_to(group: str, path: Path) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        pass  # no such group: root alone may connect


def _unlink_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            sockets.by_folder(str(path), probe.connect)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise Conflict(f'another engine listens on "{path}"')
