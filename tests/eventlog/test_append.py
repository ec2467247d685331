"""Appending: all or nothing, durable, in order, by many threads at once, each told what concerns it."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, Callable

import pytest

from engine.domain.container import (
    ContainerCreated, ContainerExited, ContainerRemoved, ContainerRemoving, ContainerRenamed, ContainerStarted,
    ContainerStarting,
)  # fmt: skip
from engine.domain.errors import EngineError, NameTaken, NotFound, VersionConflict
from engine.domain.exec import ExecCreated, ExecExited, ExecStarted, ExecStarting
from engine.domain.image import ImageCreated, ImageTagged, ImageUntagged
from engine.domain.machine import Event, InvalidTransition
from engine.domain.volume import VolumeCreated, VolumeCreating
from engine.eventlog import chain
from engine.eventlog.log import Change, Context, Document, EventLog, Recorded
from support.forked import in_child

from lives import CONTEXT
from rows import dump


def created(id: str, name: str = "web") -> ContainerCreated:
    return ContainerCreated(id, name, "sha256:1", "base", "sha256:c", ["sh"], 1)


def volume(name: str) -> Change:
    return Change("volume", name, 0, [VolumeCreating(name, 1)])


def test_what_is_recorded(open_log: Callable[..., EventLog]) -> None:
    times = iter((1000, 900, 2000))
    log = open_log(clock=lambda: next(times), boot_id="boot-7")
    actor = {"uid": 1000, "door": "cli", "program": "/usr/bin/docker"}
    document = Document("container.config", b'{"Env":["A=b"]}')
    first, second = log.append(
        [Change("container", "c1", 0, [created("c1"), ContainerStarting("c1")])],
        Context(actor, "request-9", "request:request-9"), [document],
    )  # fmt: skip
    (third,) = log.append([Change("container", "c1", 2, [ContainerStarted("c1", 42, 5)])], CONTEXT)
    assert [(r.seq, r.stream, r.version, r.type) for r in (first, second, third)] == [
        (1, "container/c1", 1, "container.created"), (2, "container/c1", 2, "container.starting"),
        (3, "container/c1", 3, "container.started"),
    ]  # fmt: skip
    assert (first.time_us, second.time_us, third.time_us) == (1000, 1000, 900)
    assert (first.actor, first.correlation, first.causation) == (actor, "request-9", "request:request-9")
    assert first.boot_id == "boot-7" and first.noun == "container" and first.id == "c1"
    assert first.documents == {document.digest: "container.config"} and second.documents == {}
    assert first.event == created("c1") and third.event == ContainerStarted("c1", 42, 5)
    assert log.document(document.digest) == document.body
    assert list(log.events()) == [first, second, third]
    assert log.head().seq == 3 and log.head().hash == third.hash


def test_anybody_can_check_the_chain_with_json_and_sha256(log: EventLog) -> None:
    log.append([volume("ünï")], CONTEXT, [Document("k", b"x")])
    log.append([volume("other")], CONTEXT)
    previous = "0" * 64
    for row in log.events():
        content = {
            "actor": row.actor, "boot_id": row.boot_id, "causation": row.causation, "correlation": row.correlation,
            "data": row.data, "documents": row.documents, "schema": row.schema, "seq": row.seq, "stream": row.stream,
            "time_us": row.time_us, "type": row.type, "version": row.version,
        }  # fmt: skip
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert row.prev_hash == previous
        previous = chain.hashlib.sha256((previous + text).encode()).hexdigest()
        assert row.hash == previous


def test_a_log_goes_on_where_it_ended(open_log: Callable[..., EventLog]) -> None:
    log = open_log()
    (first,) = log.append([volume("a")], CONTEXT)
    log.close()
    log = open_log(boot_id="boot-2")
    (second,) = log.append([volume("b")], CONTEXT)
    assert (second.seq, second.prev_hash) == (2, first.hash)
    assert log.verify().problems == []


def test_another_version_is_a_conflict(log: EventLog) -> None:
    log.append([volume("a")], CONTEXT)
    for expected in (0, 2):
        with pytest.raises(VersionConflict, match=f'volume "a" .* at version 1, not {expected}'):
            log.append([Change("volume", "a", expected, [VolumeCreated("a")])], CONTEXT)
    with pytest.raises(VersionConflict):
        log.append([Change("volume", "b", 1, [VolumeCreating("b", 1)])], CONTEXT)
    log.append([Change("volume", "a", 1), volume("b")], CONTEXT)  # without events it asserts a version
    with pytest.raises(VersionConflict):
        log.append([Change("volume", "a", 0), volume("c")], CONTEXT)
    assert log.append([Change("volume", "a", 1)], CONTEXT) == []
    assert log.get("volume", "c") is None and log.head().seq == 2


def test_a_name_is_held_by_one(log: EventLog) -> None:
    log.append([Change("container", "c1", 0, [created("c1")])], CONTEXT)
    with pytest.raises(NameTaken) as taken:
        log.append([Change("container", "c2", 0, [created("c2")])], CONTEXT)
    assert (taken.value.name, taken.value.holder) == ("web", "c1")
    log.append([Change("container", "c2", 0, [created("c2", "db")])], CONTEXT)
    with pytest.raises(NameTaken):
        log.append([Change("container", "c2", 1, [ContainerRenamed("c2", "web", "db")])], CONTEXT)
    renamed = ContainerRenamed("c1", "old", "web")
    log.append([Change("container", "c1", 1, [renamed]),
                Change("container", "c2", 1, [ContainerRenamed("c2", "web", "db")])], CONTEXT)  # fmt: skip
    assert log.by_name("container", "web").id == "c2" and log.by_name("container", "db") is None
    log.append([Change("container", "c2", 2, [ContainerRemoving("c2"), ContainerRemoved("c2")])], CONTEXT)
    assert log.by_name("container", "web") is None
    log.append([Change("container", "c3", 0, [created("c3")])], CONTEXT)
    assert log.by_name("container", "web").id == "c3"


def test_a_reference_moves_between_images(log: EventLog) -> None:
    def image(id: str) -> Event:
        return ImageCreated(id, ["sha256:l"], 1, 1, "import")

    name = "docker.io/library/base:latest"
    log.append([Change("image", "sha256:a", 0, [image("sha256:a"), ImageTagged("sha256:a", name)])], CONTEXT)
    tagging = Change("image", "sha256:b", 0, [image("sha256:b"), ImageTagged("sha256:b", name)])
    with pytest.raises(NameTaken):
        log.append([tagging], CONTEXT)
    log.append([Change("image", "sha256:a", 2, [ImageUntagged("sha256:a", name, "sha256:b")]), tagging], CONTEXT)
    assert log.by_name("image", name).id == "sha256:b" and log.get("image", "sha256:a").references == ()
    assert log.by_name("image", name, as_of=2).id == "sha256:a"
    assert log.images_of_layer("sha256:l") == ["sha256:a", "sha256:b"]


def test_an_append_is_all_or_nothing(log: EventLog, database: sqlite3.Connection) -> None:
    log.append([Change("container", "c1", 0, [created("c1")])], CONTEXT)
    before, head = dump(database), log.head()
    for changes in (
        [volume("a"), Change("container", "c2", 0, [created("c2")])],
        [volume("a"), Change("container", "c1", 1, [ContainerStarting("c1"), ContainerStarting("c1")])],
        [volume("a"), Change("container", "c1", 0, [ContainerStarting("c1")])],
        [volume("a"), Change("container", "c9", 0, [created("c8", "db")])],
    ):
        with pytest.raises((NameTaken, InvalidTransition, VersionConflict)):
            log.append(changes, CONTEXT, [Document("k", b"body")])
        assert dump(database) == before and log.head() == head
    (row,) = log.append([volume("a")], CONTEXT)
    assert row.seq == 2 and log.verify().problems == []


def test_what_the_log_can_not_hold_is_refused(log: EventLog) -> None:
    started = Change("container", "c", 0, [ContainerStarted("c", 1, 1, {"x": {1, 2}})])
    for changes, context in (
        ([started], CONTEXT), ([Change("planet", "c", 0, [])], CONTEXT), ([volume("\ud800")], CONTEXT),
        ([Change("container", "c", 0, [ContainerStarted("c", 1, 1, {"x": float("nan")})])], CONTEXT),
        ([volume("a")], Context({"x": object()}, "r", "r")), ([volume("a")], Context({}, "\ud800", "r")),
    ):  # fmt: skip
        with pytest.raises(EngineError):
            log.append(changes, context)
    with pytest.raises(EngineError, match="document"):
        log.append([], CONTEXT, [Document("k", b"")])
    assert log.head().seq == 0 and log.append([], CONTEXT) == []


def test_a_document_is_stored_once(log: EventLog, database: sqlite3.Connection) -> None:
    document = Document("k", b"body")
    log.append([volume("a")], CONTEXT, [document, document])
    log.append([volume("b")], CONTEXT, [document])
    assert dump(database, "documents") == {"documents": [(document.digest, "k", b"body")]}
    with pytest.raises(NotFound, match='no document "sha256:none"'):
        log.document("sha256:none")


def test_a_container_takes_its_execs_along(log: EventLog) -> None:
    up = [created("c"), ContainerStarting("c"), ContainerStarted("c", 1, 1)]
    log.append([Change("container", "c", 0, up)], CONTEXT)
    ran = [ExecCreated("e", "c", "d", ["id"], 1), ExecStarting("e", "c"), ExecStarted("e", "c", 7, 1)]
    log.append([Change("exec", "e", 0, ran)], CONTEXT)
    assert log.execs_of_container("c") == ["e"]
    gone = [ContainerExited("c", 0, 2), ContainerRemoving("c"), ContainerRemoved("c")]
    log.append([Change("container", "c", 3, gone)], CONTEXT)
    assert log.load("exec", "e") == (None, 3) and log.execs_of_container("c") == [] == log.all("exec")
    assert log.get("exec", "e", as_of=8).status == "running"
    with pytest.raises(InvalidTransition):
        log.append([Change("exec", "e", 3, [ExecExited("e", "c", 0, 3)])], CONTEXT)
    assert [row.seq for row in log.trail("container", "c")] == list(range(1, 10))


# --- many threads ----------------------------------------------------------------------------------------------------


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(0) ... work(count - 1)`` in threads that start at once; outcomes, exceptions among them."""
    outcomes: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = work(number)
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class CommitCounter(deque):
    """Stands for ``step("log.commit")`` and for the writer's queue: the first commit waits until all are in line."""

    def __init__(self, log: EventLog, appends: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.commits = self.queued = 0
        self._appends = appends
        monkeypatch.setattr("engine.eventlog.writer.step", self)
        monkeypatch.setattr(log._writer, "_waiting", self)

    def append(self, request: Any) -> None:
        self.queued += 1
        super().append(request)

    def __call__(self, name: str) -> CommitCounter:
        return self

    def __enter__(self) -> None:
        self.commits += 1
        while self.queued < self._appends:
            os.sched_yield()

    def __exit__(self, *exception: object) -> None:
        pass


def test_appends_that_wait_share_a_commit(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CommitCounter(log, 16, monkeypatch)
    outcomes = together(16, lambda number: log.append([volume(f"v{number}")], CONTEXT))
    assert counter.commits <= 2
    assert sorted(row.seq for rows in outcomes for row in rows) == list(range(1, 17))
    assert all(rows[0].id == f"v{number}" for number, rows in enumerate(outcomes))
    assert log.verify().problems == []


def test_each_caller_gets_its_own_error(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one commit: the good, a version that has passed, a name that is taken, an event that has no place."""
    log.append([Change("container", "holder", 0, [created("holder")])], CONTEXT)
    counter = CommitCounter(log, 16, monkeypatch)

    def work(number: int) -> list[Recorded]:
        id = f"c{number}"
        change = {
            0: Change("container", id, 0, [created(id, id)]),
            1: Change("container", id, 5, [created(id, id)]),
            2: Change("container", id, 0, [created(id)]),
            3: Change("container", id, 0, [ContainerStarting(id)]),
        }[number % 4]
        return log.append([change], CONTEXT, [Document("k", id.encode())])

    outcomes = together(16, work)
    for number, outcome in enumerate(outcomes):
        match number % 4:
            case 0:
                assert outcome[0].id == f"c{number}"
            case 1:
                assert isinstance(outcome, VersionConflict) and f"c{number}" in str(outcome)
            case 2:
                assert isinstance(outcome, NameTaken) and outcome.holder == "holder"
            case 3:
                assert isinstance(outcome, InvalidTransition)
    assert log.head().seq == 5 and counter.commits <= 2
    assert log.verify().problems == []


def test_one_of_many_wins_a_version(log: EventLog) -> None:
    log.append([Change("container", "c", 0, [created("c")])], CONTEXT)
    outcomes = together(12, lambda number: log.append([Change("container", "c", 1, [ContainerStarting("c")])], CONTEXT))
    assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 11


def test_readers_never_see_half_of_an_append(log: EventLog) -> None:
    """Each append moves a name and a container together; whoever reads sees both or neither, and waits for nobody."""
    log.append([Change("container", "c", 0, [created("c", "n0")])], CONTEXT)
    done = threading.Event()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def write(_: int) -> None:
        for number in range(300):
            renamed = ContainerRenamed("c", f"n{number + 1}", f"n{number}")
            log.append([Change("container", "c", number + 1, [renamed])], CONTEXT)
        done.set()

    def read(_: int) -> int:
        seen, dice = 0, random.Random(1)
        while not done.is_set():
            state, version = log.load("container", "c")
            assert state.name == f"n{version - 1}"
            moment = dice.randint(1, log.head().seq)
            assert [c.name for c in log.all("container", as_of=moment)] == [f"n{moment - 1}"]
            seen += 1
        return seen

    try:
        outcomes = together(4, lambda number: write(number) if number == 0 else read(number))
    finally:
        sys.setswitchinterval(switch)
    assert outcomes[0] is None and all(isinstance(seen, int) and seen > 0 for seen in outcomes[1:]), outcomes


def test_a_forked_child_is_refused(log: EventLog) -> None:
    """SQLite's locks belong to a process: the rule is that nobody forks with a log open, and breaking it is noticed."""
    log.append([volume("a")], CONTEXT)

    def use() -> list[str]:
        said = []
        for attempt in (lambda: log.append([volume("b")], CONTEXT), lambda: log.get("volume", "a")):
            try:
                attempt()
                said.append("nothing")
            except EngineError as error:
                said.append(str(error))
        return said

    assert all("belongs to the process that opened it" in text for text in in_child(use))
    log.append([volume("b")], CONTEXT)


def test_a_second_writer_is_noticed(log: EventLog, open_log: Callable[..., EventLog], path: Path) -> None:
    """The daemon's lock on its root prevents it; should it happen all the same, nothing is overwritten."""
    other = open_log()
    log.append([volume("a")], CONTEXT)
    with pytest.raises(EngineError, match="somebody else has written"):
        other.append([volume("b")], CONTEXT)
    assert log.verify().problems == [] and log.head().seq == 1
