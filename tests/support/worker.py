"""One of several pytest processes that share the files of tests among them (see ``support.parallel``)."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import signal
import socket
import struct
import sys
import time
from typing import Any, Iterator

import pytest

from support.machine import CLONE_NEWNET, OUTSIDE_NETWORK, private_mounts, unshare
from support.skips import refused_skips, skip_reasons

LONGEST_FIRST = (
    "tests/e2e/test_faults.py",
    "tests/simulation/test_simulation.py",
    "tests/e2e/test_recovery.py",
    "tests/e2e/test_attacks.py",
    "tests/runtime/test_faults.py",
    "tests/runtime/test_processes.py",
    "tests/eventlog/test_verification.py",
)
"""Files that take long by themselves: whoever took one last would keep everybody waiting."""

NUMBER = struct.Struct("=H")
"""How the number of a file lies in the queue, which is a pipe: each read takes one."""

KINDS = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def isolate() -> None:
    """Give this process mounts and a network (with a loopback) of its own, where it may."""
    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        private_mounts()
        unshare(CLONE_NEWNET)
    except OSError:
        os.close(outside)  # the tests that mount or link are skipped, and say why
        return
    os.environ[OUTSIDE_NETWORK] = f"/proc/{os.getpid()}/fd/{outside}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:  # netdevice(7)
        request = fcntl.ioctl(door, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(door, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


class Worker:
    """The pytest plugin of a worker: takes files by their numbers from ``queue`` and tells of them on ``news``.

    Everybody collects everything, in the same order, so that a number says which file it is.
    """

    def __init__(self, queue: int, news: socket.socket) -> None:
        self._queue = queue
        self._news = news
        self._begun_s = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """As pytest's own loop does it, over the files that this worker takes."""
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        self._begun_s = time.monotonic()
        items = self._items(session)
        item = next(items, None)
        while item is not None:
            following = next(items, None)  # fixtures of a file or session end with the last test that wants them
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if following is None or following.path != item.path:
                self._report_file(item.location[0])
            item = following
        return True

    def _items(self, session: pytest.Session) -> Iterator[pytest.Item]:
        files = {name: list(items) for name, items in itertools.groupby(session.items, lambda item: item.location[0])}
        long = [name for name in LONGEST_FIRST if name in files]
        order = [*long, *(name for name in files if name not in long)]
        while number := os.read(self._queue, NUMBER.size):
            (position,) = NUMBER.unpack(number)
            yield from files[order[position]] if position < len(order) else ()

    def _report_file(self, name: str) -> None:
        now_s = time.monotonic()
        self._say(file=name, seconds=now_s - self._begun_s)
        self._begun_s = now_s

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a failure as soon as it is known."""
        if report.failed:
            self._say(failure=f"{report.nodeid} ({report.when})")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell what all tests of this worker came to."""
        stats = session.config.pluginmanager.get_plugin("terminalreporter").stats
        counts = {kind: len(stats.get(kind, [])) for kind in KINDS}
        self._say(counts=counts, skips=skip_reasons(stats), refused=refused_skips(session.config))

    def _say(self, **message: Any) -> None:
        self._news.send(json.dumps(message).encode())


if __name__ == "__main__":
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, signal.default_int_handler)  # also where a shell has them ignored
    isolate()
    sys.exit(pytest.main(["-q"], plugins=[Worker(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))]))
