"""An engine on another machine by ssh(1): ``docket system dial-stdio`` there carries the bytes of its socket.

The one module that starts ssh. Its standard input and output are one socket, whose other end serves as any connection
does: our half-close is its end of input, its end ours. Its messages and questions go to the user's terminal.
"""

from __future__ import annotations

import os
from _signal import SIG_IGN, SIGINT, SIGQUIT, signal
from _socket import AF_UNIX, SOCK_STREAM, socketpair
from _socket import socket as Socket

from engine.client.address import Address
from engine.client.errors import ClientError

PROGRAM = "ssh"
_started: list[int] = []
"""Processes that may have ended meanwhile, and whose ends nobody has looked at."""


def command_of(address: Address) -> list[str]:
    """What is started: nothing of the address can be taken for an option, and the far shell gets fixed words and a
    quoted path."""
    command = [PROGRAM, "-o", "ConnectTimeout=30", "-T"]
    command += ["-l", address.user] if address.user else []
    command += ["-p", str(address.port)] if address.port else []
    quoted = "'" + address.path.replace("'", "'\\''") + "'"
    there = ["--host", f"unix://{quoted}"] if address.path else []
    return [*command, "--", address.node, "docket", *there, "system", "dial-stdio"]


def connect(address: Address) -> Socket:
    """Our end of the streams. Raises ClientError where there is no ssh to start."""
    _started[:] = [pid for pid in _started if os.waitpid(pid, os.WNOHANG)[0] == 0]
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1)]
    try:
        with _Uninterrupted():
            pid = os.posix_spawnp(PROGRAM, command_of(address), os.environ, file_actions=actions)
    except OSError as error:
        ours.close()
        why = "is not in $PATH" if isinstance(error, FileNotFoundError) else error.strerror
        raise ClientError(f"{address}: the program {PROGRAM} {why}") from error
    finally:
        theirs.close()
    _started.append(pid)
    return ours


class _Uninterrupted:
    """What is started meanwhile ignores Ctrl-C: that is for the container, and reaches it through this connection.

    It stays in our session, though, since it may have to ask for a password."""

    def __enter__(self) -> None:
        try:
            self._before = [(number, signal(number, SIG_IGN)) for number in (SIGINT, SIGQUIT)]
        except ValueError:  # not the main thread, which alone may say so
            self._before = []

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before:
            signal(number, handler)
