"""What ``run`` and ``exec`` do while they wait: signals are passed on, a terminal is carried, the end is awaited."""

from __future__ import annotations

import os
import select

import _signal as signal

from engine.kernel.process import exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_KEPT = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE, 32, 33}
"""Not passed on: what is our own affair, what can't be caught, and two that the C library keeps for itself."""
_PASSED_ON = [int(number) for number in signal.valid_signals() - _KEPT]


def hold_signals() -> None:
    """From before the process is there: what comes meanwhile waits until it can be passed on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)


def let_signals() -> None:
    """They are our own again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)


def pass_signals_on(pid_fd: int) -> None:
    """From now on to the process of a pidfd, which can't become another."""

    def pass_on(number: int, frame: object) -> None:
        try:
            signal.pidfd_send_signal(pid_fd, number)
        except ProcessLookupError:
            return

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    let_signals()


def wait_for_child(pid: int) -> int:
    """Its exit status as shells have it, 128 and a signal's number. Orphans that come to us are reaped, too."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return exit_code_of(status)


def with_terminal(terminal: int, wait: Callable[[], int]) -> int:
    """Carry a terminal to and from our standard streams until nobody has its other end, then ``wait``."""
    import termios
    import tty

    from engine.kernel.terminals import copy_window_size

    before = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if before is not None:
            tty.setraw(0)
            signal.signal(signal.SIGWINCH, lambda number, frame: copy_window_size(0, terminal))
            copy_window_size(0, terminal)
        _carry(terminal)
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSANOW, before)
    return wait()


def _carry(terminal: int) -> None:
    """Where nobody reads our output any more the terminal is read all the same: its process must not hang."""
    inputs = [terminal, 0]
    lost = False
    while True:
        ready, _, _ = select.select(inputs, [], [])
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""  # EIO: nobody has the other end any more
            if not data and fd == terminal:
                return
            if not data:
                inputs.remove(0)
            elif fd == 0:
                _write(terminal, data)
            elif not lost:
                lost = not _write(1, data)


def _write(fd: int, data: bytes) -> bool:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        return False
    return True
