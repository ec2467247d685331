"""A user at a terminal: a command on a pseudo-terminal of its own, what it shows, what is typed."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import time
from typing import Any, Sequence


class Terminal:
    """The command runs in a session of its own, with this terminal as the controlling one."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], rows: int = 24, columns: int = 80) -> None:
        self.seen = b""
        self._master, self._slave = os.openpty()
        self.resize(rows, columns)
        self.mode_before = termios.tcgetattr(self._slave)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
                for number in (0, 1, 2):
                    os.dup2(self._slave, number)
                os.closerange(3, 256)
                os.execvpe(command[0], list(command), environment)
            finally:
                os._exit(127)

    @property
    def mode(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def expect(self, wanted: bytes, timeout_s: float = 20) -> bytes:
        """Read until ``wanted`` is on the screen; what was read up to its end, which is then forgotten."""
        deadline = time.monotonic() + timeout_s
        while wanted not in self.seen:
            self._read(deadline, wanted)
        before, _, self.seen = self.seen.partition(wanted)
        return before + wanted

    def _read(self, deadline: float, wanted: bytes) -> None:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._master], [], [], left)[0]:
            raise AssertionError(f"{wanted!r} never came: {self.seen!r}")
        self.seen += os.read(self._master, 65536)

    def end(self, timeout_s: float = 20) -> int:
        """Wait for the command: its exit code."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if select.select([self._master], [], [], 0.01)[0]:
                try:
                    self.seen += os.read(self._master, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = -1
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"the command does not end: {self.seen[-300:]!r}")

    def close(self) -> None:
        if self.pid > 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = -1
        os.close(self._master)
        os.close(self._slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
