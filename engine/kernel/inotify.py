"""Waiting for a file to grow without polling: inotify(7)."""

from __future__ import annotations

import os
import select

from engine.kernel.libc import LIBC, check

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVE_SELF = 0x800
IN_DELETE_SELF = 0x400
_IN_CLOEXEC = os.O_CLOEXEC
_IN_NONBLOCK = os.O_NONBLOCK


class Watch:
    """One watch on one path. Close it, or use it as a context manager."""

    def __init__(self, path: str, mask: int) -> None:
        self.fd = check(LIBC.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK), path)
        try:
            check(LIBC.inotify_add_watch(self.fd, os.fsencode(path), mask), path)
        except OSError:
            os.close(self.fd)
            raise

    def wait(self, timeout_s: float) -> bool:
        """Whether something happened within the time; swallows all that did."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return False
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
        return True

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
