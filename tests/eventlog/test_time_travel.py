"""Any question about any moment, against a model that remembers every moment whole."""

from __future__ import annotations

import random
import sqlite3
from itertools import accumulate
from typing import Any, Callable

import pytest

from engine.domain.errors import Unavailable
from engine.domain.nouns import NOUNS
from engine.eventlog import statements
from engine.eventlog.intervals import ancestors, fork
from engine.eventlog.log import EventLog
from engine.eventlog.noun_statements import NounStatements, of

from lives import Lives
from rows import dump

SEEDS = range(6)


def states_of(world: dict[tuple[str, str], Any], noun: str) -> dict[str, Any]:
    return {id: state for (kind, id), state in world.items() if kind == noun}


def lived(log: EventLog, seed: int, steps: int = 150) -> Lives:
    lives = Lives(seed)
    while sum(lives.versions.values()) < steps:
        lives.step(log)
    assert any(state.status for state in lives.world.values())
    return lives


@pytest.mark.parametrize("seed", SEEDS)
def test_every_moment_of_a_random_log(log: EventLog, seed: int) -> None:
    lives = lived(log, seed)
    assert log.head().seq == len(lives.past) - 1
    names = {"container": ("web", "db", "cache", "wörk"), "image": [f"docker.io/library/{x}:latest" for x in "abc"]}
    for moment, world in enumerate(lives.past):
        for noun in NOUNS:
            expected = states_of(world, noun)
            assert {state.id: state for state in log.all(noun, as_of=moment)} == expected
            for id in lives.ids[noun]:
                assert log.get(noun, id, as_of=moment) == expected.get(id)
                found = [expected[id]] if id in expected else []
                assert log.by_prefix(noun, id[:12], as_of=moment) == found
        for noun, candidates in names.items():
            for name in candidates:
                assert log.by_name(noun, name, as_of=moment) == lives.holder(noun, name, world)
    for noun in NOUNS:  # now, and any moment after the end, is the last moment
        expected = states_of(lives.world, noun)
        assert {state.id: state for state in log.all(noun)} == expected
        assert log.all(noun, as_of=10**12) == log.all(noun)
        assert log.all(noun, as_of=-1) == log.all(noun, as_of=0) == []
        for id in lives.ids[noun]:
            assert log.get(noun, id) == expected.get(id)
            assert log.load(noun, id) == (expected.get(id), lives.versions.get((noun, id), 0))
    for noun, candidates in names.items():
        for name in candidates:
            assert log.by_name(noun, name) == lives.holder(noun, name)


@pytest.mark.parametrize("seed", SEEDS)
def test_links_follow(log: EventLog, seed: int) -> None:
    lives = lived(log, seed)
    containers, images = states_of(lives.world, "container"), states_of(lives.world, "image")
    execs = states_of(lives.world, "exec")
    for id in lives.ids["image"]:
        assert set(log.containers_of_image(id)) == {c.id for c in containers.values() if c.image_id == id}
    for id in lives.ids["volume"]:
        users = {c.id for c in containers.values() if id in (*c.volumes, *c.anonymous_volumes)}
        assert set(log.containers_of_volume(id)) == users
    for id in lives.ids["layer"]:
        assert set(log.images_of_layer(id)) == {i.id for i in images.values() if id in i.chain_ids}
    for id in lives.ids["container"]:
        assert set(log.execs_of_container(id)) == {e.id for e in execs.values() if e.container_id == id}


@pytest.mark.parametrize("seed", SEEDS)
def test_rebuild_equals_live_row_for_row(log: EventLog, database: sqlite3.Connection, seed: int) -> None:
    lived(log, seed)
    live = dump(database)
    assert all(live[table] for table in ("events", "names", "links", "exec_history", "container_current"))
    log.rebuild()
    assert dump(database) == live
    assert log.verify().problems == []


def test_oldest_first(log: EventLog) -> None:
    lives = lived(log, 99)
    for moment in (None, len(lives.past) // 2):
        for noun in NOUNS:
            listed = [state.id for state in log.all(noun, as_of=moment)]
            born = {}
            for recorded in log.events(until=moment):
                if recorded.noun == noun and log.get(noun, recorded.id, as_of=recorded.seq - 1) is None:
                    born[recorded.id] = recorded.seq
            assert listed == sorted(listed, key=lambda id: born[id])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_time_is_the_last_event_of_the_running_maximum(log: EventLog, seed: int) -> None:
    lives = lived(log, seed)
    running = list(accumulate(lives.times_us, max))
    assert running != lives.times_us  # the clock did jump
    for time_us in {*running, *lives.times_us, min(running) - 1, max(running) + 1}:
        expected = max((seq for seq, latest in enumerate(running, 1) if latest <= time_us), default=0)
        assert log.seq_at(time_us) == expected
    middle = running[len(running) // 2]
    assert [e.seq for e in log.events(since_us=middle)] == [s for s, us in enumerate(running, 1) if us >= middle]
    assert [e.seq for e in log.events(until_us=middle)] == [s for s, us in enumerate(running, 1) if us <= middle]


def test_the_fork_of_an_interval_is_an_ancestor_of_all_its_moments_and_of_no_other() -> None:
    dice = random.Random(5)
    intervals = [(a, b) for a in range(1, 40) for b in range(a + 1, 41)]
    for valid_from, valid_to in intervals:
        node = fork(valid_from, valid_to)
        assert valid_from <= node < valid_to
        for moment in range(valid_from, valid_to):
            assert ancestors(moment).count(node) == 1
    for _ in range(1000):
        valid_from = dice.randrange(1, 2**40)
        valid_to = valid_from + dice.randrange(1, 2**20)
        node, moment = fork(valid_from, valid_to), dice.randrange(valid_from, valid_to)
        assert node in ancestors(moment) and len(ancestors(moment)) <= 49


QUESTIONS = [
    *(getattr(of("container"), name) for name in NounStatements.__slots__),
    *(statements.PAGES[choice] for choice in ((0, False), (1, False), (1, True), (2, False), (2, True))),
    statements.LAST_OF_TYPES,
    statements.NAME_AS_OF, statements.NAME_EVER, statements.LINKED, statements.LINKED_EVER, statements.FIRST_EVENTS,
    statements.STREAM_VERSION, statements.LATEST_US, statements.DOCUMENT, statements.RELEASE_NAME, statements.UNLINK,
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_a_whole_log(log: EventLog, database: sqlite3.Connection, question: str) -> None:
    """Only the tables of what exists now, and lists that the caller gives, are ever scanned."""
    names = ("id", "version", "born", "since", "seq", "fork", "valid_from", "valid_to", "node", "state", "moment",
             "stream", "noun", "name", "low", "high", "limit", "after", "until", "target", "digest",
             "type0")  # fmt: skip
    values = {**dict.fromkeys(names, 1), "nodes": "[1]", "streams": "[1]", "types": "[1]"}
    for *_, step in database.execute("EXPLAIN QUERY PLAN " + question, values):
        scanned = step.removeprefix("SCAN ").split()[0] if step.startswith("SCAN ") else "container_current"
        assert scanned in ("container_current", "nodes", "streams", "types"), step


def test_pages_are_one_sequence(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = lived(log, 7)
    whole = list(log.events())
    assert [recorded.seq for recorded in whole] == list(range(1, len(lives.past)))
    monkeypatch.setattr("engine.eventlog.log.PAGE_ROWS", 7)
    assert list(log.events()) == whole
    for limit in (0, 1, 7, 8, 14, 1000):
        assert list(log.events(limit=limit)) == whole[:limit]
    assert list(log.events(after=10, until=20)) == whole[10:20]
    some = {recorded.stream for recorded in whole[3:9]}
    assert list(log.events(streams=some)) == [recorded for recorded in whole if recorded.stream in some]
    assert list(log.events(streams=some, types=["container.created"], after=5)) == [
        r for r in whole if r.stream in some and r.type == "container.created" and r.seq > 5
    ]
    assert list(log.events(types=["volume.creating"])) == [r for r in whole if r.type == "volume.creating"]
    assert list(log.events(streams=[])) == list(log.events(types=[])) == []


def test_trail_and_search_know_what_is_gone(log: EventLog) -> None:
    lives = lived(log, 3, steps=400)
    whole = list(log.events())
    gone = [id for id in lives.ids["container"] if ("container", id) not in lives.world]
    assert gone
    for id in lives.ids["container"]:
        kinds = ("exec.created", "endpoint.created")
        owned = {r.stream for r in whole if r.type in kinds and r.data["container_id"] == id}
        expected = [r for r in whole if r.stream == f"container/{id}" or r.stream in owned]
        assert log.trail("container", id) == expected
        assert log.find_streams("container", id[:8]) == [id] * any(r.id == id for r in expected)
    ever = {r.data["name"]: r.seq for r in whole if r.type in ("container.created", "container.renamed")}
    for name in ever:
        holders = [r.id for r in whole if r.noun == "container" and r.data.get("name") == name]
        found = log.find_streams("container", name)
        assert set(found) == set(holders) and found[0] == holders[-1]
    image = lives.ids["image"][0]
    assert log.find_streams("image", image) == log.find_streams("image", image[7:19]) == [image]
    assert log.find_streams("volume", "nothing") == []


def test_text_that_no_database_holds_matches_nothing(log: EventLog) -> None:
    lived(log, 1, steps=20)
    for question in (log.get, log.by_name, log.by_prefix, log.find_streams):
        assert not question("container", "\ud800")


def test_a_log_that_is_closed_says_so(open_log: Callable[..., EventLog]) -> None:
    log = open_log()
    log.close()
    for question in (lambda: log.get("container", "x"), lambda: list(log.events()), lambda: lived(log, 1)):
        with pytest.raises(Unavailable, match="closed"):
            question()


def test_the_last_event_of_some_types(log: EventLog) -> None:
    lives = lived(log, 3)
    for noun, id in lives.versions:
        trail = list(log.events(streams=[f"{noun}/{id}"]))
        wanted = {recorded.type for recorded in trail[::2]}
        expected = [recorded for recorded in trail if recorded.type in wanted][-1]
        assert log.last_event(f"{noun}/{id}", wanted) == expected
    assert log.last_event("container/none", ["container.created"]) is None
    assert log.last_event(expected.stream, ["container.never"]) is None
