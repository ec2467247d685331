"""A command in the foreground that the engine's spawner carries out: the half of it that the user has started.

``run`` and ``exec`` that wait need not be the parents of the container's process. Where the engine's daemon runs, its
spawner has everything loaded and is sealed already; so this process only hands over its words, its streams and its
folder, passes signals on, and waits for the exit status. See ``serving`` for the other half, which refuses who is not
in its own place (namespaces, root, powers); then, and where there is no daemon, the command is carried out here.

    words; descriptors 0, 1, 2 and the working directory ->        <- "n": not by me
                                                                   <- "y": from here on it is mine
                                                                   <- "p", a pidfd and perhaps a terminal
                                                                   <- "e" and the exit status

This is all that such a command loads: two modules of the interpreter's own, and ``foreground`` with a terminal.
"""

from __future__ import annotations

import os
import sys

import _signal
import _socket

DOOR = "runtime.sock"
_DEFAULT_RUN = "/run/docket"
_VERBS = ("run", "exec")
_ALONE = ("-d", "--d", "--preserve-fds", "-preserve-fds")
"""Words that begin so mean that the caller wants to be the parent, or gives more than three descriptors away."""
_LONGEST = 60_000
_KEPT = (9, 17, 19, 13, 23, 28, 32, 33)
"""KILL, CHLD, STOP, PIPE, URG, WINCH, and two of the C library's: not passed on."""


def ask(verb: str, words: list[str]) -> int | None:
    """The exit status; None where the command is to be carried out here."""
    if verb not in _VERBS or any(word.startswith(_ALONE) for word in words) or os.environ.get("DOCKET_FAILPOINTS"):
        return None
    said = b"\0".join(map(os.fsencode, words))
    if len(said) > _LONGEST:
        return None
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(os.path.join(os.environ.get("DOCKET_RUN") or _DEFAULT_RUN, DOOR))
        passed_on = [number for number in range(1, _signal.NSIG) if number not in _KEPT]
        _signal.pthread_sigmask(_signal.SIG_BLOCK, passed_on)
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        fds = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2, here))
        sock.sendmsg([said], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
        answer = sock.recv(1)
    except OSError:
        answer = b"n"  # nobody is there, or one of our streams is closed
    if answer != b"y":
        sock.close()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        return None
    return _wait(sock, passed_on)


def _wait(sock: _socket.socket, passed_on: list[int]) -> int:
    kind, ancillary, _, _ = sock.recvmsg(16, _socket.CMSG_SPACE(8), _socket.MSG_CMSG_CLOEXEC)
    if kind[:1] == b"p":
        fds = [int.from_bytes(ancillary[0][2][at : at + 4], sys.byteorder) for at in range(0, len(ancillary[0][2]), 4)]
        _pass_on(fds[0], passed_on)
        if len(fds) > 1:
            from engine.oci.foreground import with_terminal

            return with_terminal(fds[1], lambda: _status(sock.recv(16)))
        kind = sock.recv(16)
    return _status(kind)


def _status(said: bytes) -> int:
    if said[:1] == b"e":
        return int(said[1:])
    print("docket-runtime: the process that carried this out has died", file=sys.stderr)
    return 1


def _pass_on(pid_fd: int, numbers: list[int]) -> None:
    def pass_on(number: int, frame: object) -> None:
        try:
            _signal.pidfd_send_signal(pid_fd, number)
        except ProcessLookupError:
            return

    for number in numbers:
        _signal.signal(number, pass_on)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)
