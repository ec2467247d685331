"""``--init``: a first process that passes signals on to the command and reaps what the command leaves behind.

It is the init itself, which forks instead of executing the command, so no binary has to be put into the container.
Whatever it needs is imported, and every power that the container doesn't have is gone, before it comes here; it has no
descriptor open and is not dumpable. Signals and process groups are as tini has them, which Docker uses.
"""

from __future__ import annotations

import gc
import os

import _signal as signal

from engine.kernel.process import (
    close_all_but, ended_children, exit_code_of, set_child_subreaper, set_command_line, set_name,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import NoReturn

_OWN_FAULTS = {
    signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS,
}  # fmt: skip
_TERMINAL = (signal.SIGTTIN, signal.SIGTTOU)


def fork_command(handshake: socket.socket) -> None:
    """Returns in the child, which executes the command. The parent stays and ends as the command ends."""
    passed_on = signal.valid_signals() - _OWN_FAULTS - set(_TERMINAL)
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # taken back by the execution of the command
    for number in _TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # a collection writes to every object, and each page written is the container's own memory
    set_name("docket-init")  # before there is a command that could look
    set_command_line("docket-init")  # not the spawner's, with paths of the host
    pid = os.fork()
    if pid == 0:
        _take_terminal()
        return
    try:
        handshake.close()
        close_all_but(())
        if os.getpid() != 1:
            set_child_subreaper()  # in the host's pid namespace, or another container's
        _serve(pid, passed_on)
    finally:
        os._exit(1)


def _take_terminal() -> None:
    """A process group of its own, in the foreground: Ctrl-C is for the command, not for both."""
    os.setpgid(0, 0)
    if os.isatty(0):
        os.tcsetpgrp(0, os.getpgrp())


def _serve(command: int, passed_on: set[signal.Signals]) -> NoReturn:
    while True:
        received = signal.sigwaitinfo(passed_on)
        if received.si_signo != signal.SIGCHLD:
            try:
                os.kill(command, received.si_signo)
            except (PermissionError, ProcessLookupError):
                pass  # it has become another user's, or is a zombie
            continue
        ended = dict(ended_children())  # all that wait to be reaped
        if command in ended:
            os._exit(exit_code_of(ended[command]))
