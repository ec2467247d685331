"""The event log: a durable append against a bare SQLite commit, and questions to a log of 100,000 events.

Where no peer does the same, the peer's column is the time that we aim at.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import note

from engine.domain.container import (
    ContainerCreated, ContainerExited, ContainerRemoved, ContainerRemoving, ContainerStarted, ContainerStarting,
)  # fmt: skip
from engine.domain.volume import VolumeCreating
from engine.eventlog.log import Change, Context, EventLog
from engine.eventlog.migrate import upgrade

EVENTS = 100_000
ROUNDS = 300
CONTEXT = Context(
    {"door": "cli", "uid": 1000, "gid": 1000, "pid": 4242, "program": "/usr/bin/docker", "program_checked": True},
    "5f3c9a0e7d1b", "request:5f3c9a0e7d1b",
)  # fmt: skip
EVIDENCE = {
    "namespaces": {name: 4026531836 + n for n, name in enumerate(("mnt", "pid", "net", "ipc", "uts", "cgroup"))},
    "cgroups": {name: "/docket/" + "a" * 64 for name in ("memory", "cpu", "pids")},
    "capabilities": [f"CAP_{n}" for n in range(14)],
}


def opened(folder: Path) -> EventLog:
    upgrade(folder / "docket.db")
    return EventLog(folder / "docket.db", clock=lambda: time.time_ns() // 1000, boot_id="b" * 36)


@pytest.fixture
def folder() -> Iterator[Path]:
    """On a disk: /tmp is often in memory, where a commit costs nothing."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def life(number: int) -> Change:
    """A whole life; every fiftieth container is still running."""
    id = f"{number * 2654435761 % 2**64:064x}"
    events = [
        ContainerCreated(id, f"name-{number}", "sha256:" + "a" * 64, "base", "sha256:" + "b" * 64, ["sleep", "1"], 1),
        ContainerStarting(id), ContainerStarted(id, 4242, 2, EVIDENCE), ContainerExited(id, 0, 3),
        ContainerRemoving(id), ContainerRemoved(id),
    ]  # fmt: skip
    return Change("container", id, 0, events if number % 50 else events[:3])


@pytest.fixture(scope="module")
def large() -> Iterator[EventLog]:
    """A log of 100,000 events."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        log, number = opened(Path(name)), 0
        while log.head().seq < EVENTS:
            log.append([life(number + n) for n in range(100)], CONTEXT)
            number += 100
        yield log
        log.close()


def bare_database(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, body TEXT)")
    return database


def test_append_against_a_bare_commit(benchmark: Any, folder: Path) -> None:
    """One event with all that follows from it, against one row of the same size; in turn."""
    log, database, bare_s = opened(folder), bare_database(folder), []
    numbers = iter(range(10**6))

    def bare() -> None:
        begun = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO rows (body) VALUES (?)", ("x" * 600,))
        database.execute("COMMIT")
        bare_s.append(time.perf_counter() - begun)

    def append() -> None:
        name = f"volume-{next(numbers)}"
        log.append([Change("volume", name, 0, [VolumeCreating(name, 1)])], CONTEXT)

    benchmark.pedantic(append, setup=bare, rounds=ROUNDS, warmup_rounds=20)
    note("append of one event / bare commit", statistics.median(benchmark.stats.stats.data),
         statistics.median(bare_s), 3.0)  # fmt: skip
    cpu_s = time.thread_time()
    for _ in range(ROUNDS):
        append()
    benchmark.extra_info["cpu_ms"] = 1000 * (time.thread_time() - cpu_s) / ROUNDS
    log.close()
    database.close()


def test_appends_of_four_threads_share_commits(benchmark: Any, folder: Path) -> None:
    """200 appends by four threads, against as many bare commits, one after the other."""
    log, database, bare_s = opened(folder), bare_database(folder), []
    rounds = iter(range(10**6))

    def bare() -> None:
        begun = time.perf_counter()
        for _ in range(200):
            database.execute("INSERT INTO rows (body) VALUES (?)", ("x" * 600,))
        bare_s.append(time.perf_counter() - begun)

    def write(names: list[str]) -> None:
        for name in names:
            log.append([Change("volume", name, 0, [VolumeCreating(name, 1)])], CONTEXT)

    def everything() -> None:
        prefix = next(rounds)
        names = [[f"{prefix}-{thread}-{n}" for n in range(50)] for thread in range(4)]
        threads = [threading.Thread(target=write, args=(part,)) for part in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    benchmark.pedantic(everything, setup=bare, rounds=9, warmup_rounds=1)
    note("200 appends of 4 threads / 200 bare commits", statistics.median(benchmark.stats.stats.data),
         statistics.median(bare_s), 3.0)  # fmt: skip
    log.close()
    database.close()


@pytest.mark.parametrize("part", [0.0001, 0.5, 0.9999])
def test_all_containers_as_of(benchmark: Any, large: EventLog, part: float) -> None:
    found = benchmark(large.all, "container", as_of=int(EVENTS * part))
    assert found
    note(f"all containers at {part:.2%} of 100,000 events", benchmark.stats.stats.median, 0.030, 1.0)


def test_a_time_to_a_sequence_number(benchmark: Any, large: EventLog) -> None:
    middle = next(large.events(after=EVENTS // 2)).time_us
    assert benchmark(large.seq_at, middle) > EVENTS // 2
    note("a time's place in 100,000 events", benchmark.stats.stats.median, 0.005, 1.0)


def test_verify(benchmark: Any, large: EventLog) -> None:
    report = benchmark.pedantic(large.verify, rounds=5)
    assert report.problems == [] and report.events >= EVENTS
    note("verify 100,000 events and what follows", benchmark.stats.stats.min, 2.0, 1.0)


def test_verify_the_log_only(benchmark: Any, large: EventLog) -> None:
    report = benchmark.pedantic(large.verify, kwargs={"log_only": True}, rounds=5)
    assert report.problems == [] and report.events >= EVENTS
    note("verify 100,000 events", benchmark.stats.stats.min, 2.0, 1.0)


def test_rebuild(benchmark: Any, large: EventLog) -> None:
    benchmark.pedantic(large.rebuild, rounds=3)
    note("rebuild from 100,000 events", benchmark.stats.stats.min, 20.0, 1.0)
