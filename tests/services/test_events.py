"""Following the log, with the real log: where it begins and where it ends."""

from __future__ import annotations

import threading

import pytest

from engine.domain.errors import InvalidArgument
from engine.services.events import Events, Follower, Moment
from support.image_home import CONTEXT, Home


@pytest.fixture
def events(home: Home) -> Events:
    for number in range(5):
        make_volume(home, f"old-{number}")
    return Events(home.engine.core)


def make_volume(home: Home, name: str) -> None:
    home.engine.services.volumes.create({"Name": name}, CONTEXT)


def seqs(follower: Follower) -> list[int]:
    try:
        return [recorded.seq for recorded in follower]
    finally:
        follower.close()


def follow(events: Events, since: Moment | None, until: Moment | None) -> Follower:
    return events.follow(since, until, threading.Event())


def test_from_an_event_on_it_comes_again_itself(home: Home, events: Events) -> None:
    head = home.engine.core.log.head().seq
    assert seqs(follow(events, Moment(seq=3), Moment(seq=6))) == [3, 4, 5, 6]
    assert seqs(follow(events, Moment(seq=head), Moment(seq=head))) == [head]
    assert seqs(follow(events, Moment(seq=0), Moment(seq=2))) == [1, 2]
    assert seqs(follow(events, Moment(seq=5), Moment(seq=4))) == []


def test_up_to_an_event_that_is_to_come(home: Home, events: Events) -> None:
    head = home.engine.core.log.head().seq
    follower = follow(events, Moment(seq=head + 1), Moment(seq=head + 3))
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(seqs(follower)))
    reader.start()
    for number in range(3):  # two events each
        make_volume(home, f"new-{number}")
    reader.join(10)
    assert not reader.is_alive() and found == [head + 1, head + 2, head + 3]


def test_without_a_beginning_only_what_comes(home: Home, events: Events) -> None:
    head = home.engine.core.log.head().seq
    follower = follow(events, None, Moment(seq=head + 1))
    make_volume(home, "new")
    assert seqs(follower) == [head + 1]


def test_a_place_that_the_log_has_not_come_to(home: Home, events: Events) -> None:
    head = home.engine.core.log.head().seq
    with pytest.raises(InvalidArgument, match=f"the log ends with event {head}, before event {head + 2}"):
        follow(events, Moment(seq=head + 2), None)
    assert events.followers == 0


@pytest.mark.parametrize("kill_at", range(2, 8))
def test_one_who_keeps_its_place_misses_nothing(home: Home, events: Events, kill_at: int) -> None:
    """It ends anywhere, at most with an event whose place it has not written down."""
    head, handled, place = home.engine.core.log.head().seq, list[int](), 0
    while place < head:
        follower = follow(events, Moment(seq=place), Moment(seq=head))
        for count, recorded in enumerate(follower):
            handled.append(recorded.seq)
            if count == kill_at:
                break
            place = recorded.seq
        follower.close()
    assert set(handled) == set(range(1, head + 1)) and sorted(set(handled)) == list(dict.fromkeys(handled))
