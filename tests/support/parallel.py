"""Run all tests in as many workers as there are processors, or chosen ones in this process: what scripts/test starts.

Each worker is a pytest that takes one file of tests after the other until all are taken. With root it has a mount
namespace and a network namespace of its own, so that the census of one doesn't see what the tests of another mount or
link. With arguments there is just one pytest, and it gets them. The last line says ``N passed, N failed, N skipped``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any, Sequence

import pytest

from support.worker import NUMBER, isolate

TESTS = Path(__file__).resolve().parents[1]
MOST_FILES = 4096
"""That many numbers fit a pipe that nobody reads yet (8 KiB of 64)."""
LONGEST_MESSAGE = 1 << 17


@dataclass
class Running:
    """One worker as its parent sees it. ``counts`` is None until the worker has come to its end in order."""

    process: subprocess.Popen[bytes]
    news: socket.socket
    output: IO[bytes]
    counts: dict[str, int] | None = None
    skips: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Run, print, and return the exit status: 0 only if nothing failed."""
    if arguments:
        isolate()
        return pytest.main(list(arguments))
    return run_all(TESTS.parent)


def run_all(project: Path) -> int:
    """Every test of the project, by as many workers as there are processors."""
    begun_s = time.monotonic()
    queue = _queue_of_numbers()
    workers = [_start(queue, project) for _ in os.sched_getaffinity(0)]
    os.close(queue)

    def pass_on(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            worker.process.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the workers as well, and they end in order
    _follow(workers)
    return _conclude(workers, time.monotonic() - begun_s)


def _queue_of_numbers() -> int:
    reader, writer = os.pipe()
    os.write(writer, b"".join(map(NUMBER.pack, range(MOST_FILES))))
    os.close(writer)
    return reader


def _start(queue: int, project: Path) -> Running:
    news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    output = tempfile.TemporaryFile()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.worker", str(queue), str(theirs.fileno())],
            pass_fds=(queue, theirs.fileno()), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            cwd=project, env={**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
        )  # fmt: skip
    return Running(process, news, output)


def _follow(workers: Sequence[Running]) -> None:
    """Print what the workers tell, until all have ended (and not until silence: an heir of theirs could keep on)."""
    heard = {worker.news: (number, worker) for number, worker in enumerate(workers, 1)}
    while True:
        running = any(worker.process.poll() is None for worker in workers)
        ready, _, _ = select.select(list(heard), [], [], 0.5 if running else 0)
        if not ready and not running:
            return
        for news in ready:
            message = news.recv(LONGEST_MESSAGE)
            if message:
                _hear(*heard[news], json.loads(message))
            else:
                del heard[news]


def _hear(number: int, worker: Running, message: dict[str, Any]) -> None:
    if "file" in message:
        print(f"[{number}] {message['seconds']:6.1f} s  {message['file']}", flush=True)
    elif "failure" in message:
        print(f"[{number}] FAILED    {message['failure']}", flush=True)
    else:
        worker.counts, worker.skips, worker.refused = message["counts"], message["skips"], message["refused"]


def _conclude(workers: Sequence[Running], seconds: float) -> int:
    """Print the output of workers that failed, all skips, and the one line that sums it up."""
    counts, skips = Counter[str](), Counter[str]()
    bad = [(n, worker) for n, worker in enumerate(workers, 1) if worker.process.returncode or not worker.counts]
    for worker in workers:
        counts.update(worker.counts or {})
        skips.update(worker.skips)
    for number, worker in bad:
        worker.output.seek(0)
        end = "its tests came to an end" if worker.counts else "it ended before its tests did"
        print(f"\n[{number}] exit status {worker.process.returncode}, {end}\n")
        print(worker.output.read().decode(errors="replace"))
    for reason, count in sorted(skips.items()):
        refused = any(reason in worker.refused for worker in workers)
        print(f"{'NOT ALLOWED HERE ' if refused else ''}{count:4d} skipped: {reason}")
    failed = counts["failed"] + counts["error"] + sum(not worker.counts for worker in workers)
    passed = counts["passed"] + counts["xfailed"]
    print(f"{passed} passed, {failed} failed, {counts['skipped']} skipped in {seconds:.0f} s")
    return 1 if bad or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
