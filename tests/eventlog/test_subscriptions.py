"""Subscriptions: nothing lost, nothing twice, and nobody woken for another's event."""

from __future__ import annotations

import threading
from typing import Callable

import pytest

from engine.domain.errors import Unavailable
from engine.domain.volume import VolumeCreated, VolumeCreating
from engine.eventlog import subscriptions
from engine.eventlog.log import Change, EventLog, Recorded
from support.waiting import eventually

from lives import CONTEXT


def make(log: EventLog, name: str) -> Recorded:
    return log.append([Change("volume", name, 0, [VolumeCreating(name, 1)])], CONTEXT)[0]


def test_what_was_before_is_not_told(log: EventLog) -> None:
    make(log, "a")
    with log.subscribe() as subscription:
        assert subscription.wait(0) == []
        rows = [make(log, "b"), make(log, "c")]
        assert subscription.wait(0) == rows
        assert subscription.wait(0) == []
        rows = [make(log, "d")]
        assert subscription.wait() == rows


def test_only_the_streams_that_were_asked_for(log: EventLog) -> None:
    with log.subscribe(["volume/a", "volume/b"]) as subscription:
        make(log, "x")
        assert not subscription.raised.is_set()  # not even woken
        a = make(log, "a")
        make(log, "y")
        b = make(log, "b")
        assert subscription.wait(0) == [a, b]
        assert subscription.wait(0.01) == []
    with log.subscribe([]) as subscription:
        make(log, "z")
        assert subscription.wait(0) == []


def test_who_comes_late_reads_the_log(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST_KEPT", 2)
    with log.subscribe(["volume/a", "volume/b", "volume/c"]) as subscription:
        rows = [make(log, name) for name in ("a", "b", "c")]
        assert subscription.wait(0) == rows
        late = [log.append([Change("volume", name, 1, [VolumeCreated(name)])], CONTEXT)[0] for name in "ab"]
        assert subscription.wait(0) == late and subscription.wait(0) == []


def test_who_comes_very_late_reads_piece_by_piece(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST_KEPT", 1)
    monkeypatch.setattr(subscriptions, "MOST_READ", 2)
    with log.subscribe() as subscription:
        rows = [make(log, name) for name in "abcde"]
        assert [subscription.wait(0) for _ in range(4)] == [rows[:2], rows[2:4], rows[4:], []]
        assert subscription.wait(0) == [] and make(log, "f") == subscription.wait(0)[0]


def test_a_waiter_is_woken(log: EventLog) -> None:
    heard: list[Recorded] = []
    with log.subscribe(["volume/a"]) as subscription:
        thread = threading.Thread(target=lambda: heard.extend(subscription.wait(30)))
        thread.start()
        make(log, "other")
        row = make(log, "a")
        thread.join(10)
    assert heard == [row]


def test_closing_ends_a_wait(log: EventLog) -> None:
    subscription, answers = log.subscribe(), []
    thread = threading.Thread(target=lambda: answers.append(subscription.wait()))
    thread.start()
    subscription.close()
    thread.join(10)
    assert answers == [[]] and subscription.wait() == []
    make(log, "a")
    assert subscription.wait(0) == []
    subscription.close()


def test_closing_the_log_wakes_everybody(open_log: Callable[..., EventLog]) -> None:
    log, ended = open_log(), []
    subscriptions = [log.subscribe(), log.subscribe(["volume/a"])]

    def wait(number: int) -> None:
        with pytest.raises(Unavailable, match="closed"):
            subscriptions[number].wait()
        ended.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    log.close()
    for thread in threads:
        thread.join(10)
    assert sorted(ended) == [0, 1]
    with pytest.raises(Unavailable):
        subscriptions[0].wait(0)


def test_what_was_committed_before_closing_is_still_told_or_the_end_is(open_log: Callable[..., EventLog]) -> None:
    log = open_log()
    subscription = log.subscribe()
    make(log, "a")
    log.close()
    with pytest.raises(Unavailable):
        subscription.wait(0)


def test_nothing_is_lost_or_doubled_under_load(log: EventLog) -> None:
    """Four writers, four listeners to one stream each and two to all, all of them racing."""
    names = [f"{writer}-{number}" for writer in range(4) for number in range(40)]
    heard: dict[str, list[int]] = {}
    ready = threading.Barrier(10)

    def write(writer: int) -> None:
        ready.wait()
        for number in range(40):
            name = f"{writer}-{number}"
            make(log, name)
            log.append([Change("volume", name, 1, [VolumeCreated(name)])], CONTEXT)

    def listen(key: str, streams: list[str] | None, expected: int) -> None:
        rows = heard.setdefault(key, [])
        with log.subscribe(streams) as subscription:
            ready.wait()
            while len(rows) < expected:
                found = subscription.wait(20)
                assert found, f"{key} waits for event {len(rows) + 1} of {expected}"
                rows.extend(row.seq for row in found)
            assert subscription.wait(0.05) == []

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in range(4):
        streams = [f"volume/{name}" for name in names if name.startswith(f"{writer}-")]
        threads.append(threading.Thread(target=listen, args=(f"writer {writer}", streams, 80)))
    threads += [threading.Thread(target=listen, args=(f"all {number}", None, 320)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert heard["all 0"] == heard["all 1"] == list(range(1, 321))
    of_writers = [heard[f"writer {writer}"] for writer in range(4)]
    assert all(rows == sorted(rows) for rows in of_writers)
    assert sorted(seq for rows in of_writers for seq in rows) == list(range(1, 321))


def test_the_board_forgets(log: EventLog) -> None:
    for number in range(20):
        log.subscribe([f"volume/{number}"]).close()
        log.subscribe().close()
    assert eventually(lambda: not log._board._of_stream and not log._board._of_all)
