"""What is kept in memory of the database never outlives it."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from engine.domain.errors import EngineError
from engine.domain.volume import VolumeCreated, VolumeCreating, VolumeRemoved, VolumeRemoving
from engine.eventlog import recent as module
from engine.eventlog.log import Change, EventLog
from engine.eventlog.recent import Bodies, Recent, Stored

from lives import CONTEXT

OLD, NEW = (Stored("v", version, 1, version, f'{{"at":{version}}}') for version in (1, 2))


def test_what_was_read_before_a_commit_is_not_kept_after_it() -> None:
    recent = Recent()
    before = recent.changes
    recent.put({("volume", "v"): NEW})
    recent.offer("volume", OLD, before)
    assert recent.get("volume", "v") == NEW
    before = recent.changes
    recent.put({("volume", "v"): None})
    recent.offer("volume", NEW, before)
    assert recent.get("volume", "v") is None
    recent.offer("volume", NEW, recent.changes)
    assert recent.get("volume", "v") == NEW
    before = recent.changes
    recent.forget()
    recent.offer("volume", NEW, before)
    assert recent.get("volume", "v") is None


def test_a_body_that_was_read_before_a_redaction_is_not_kept_after_it() -> None:
    bodies = Bodies()
    bodies.put("d", b"secret", bodies.emptied)
    before = bodies.emptied
    bodies.empty()
    bodies.put("d", b"secret", before)
    assert bodies.get("d") is None


def test_not_everything_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    monkeypatch.setattr(module, "MOST_BODIES", 2)
    recent, bodies = Recent(), Bodies()
    for name in ("a", "b", "a", "c"):
        recent.put({("volume", name): OLD})
        bodies.put(name, b"x", 0)
    assert [recent.get("volume", name) for name in "abc"] == [OLD, None, OLD]
    assert sum(bodies.get(name) is not None for name in "abc") == 2
    bodies.put("large", b"x" * (module.LARGEST_BODY + 1), 0)
    assert bodies.get("large") is None


def test_an_object_is_known_as_long_as_the_database_is_as_it_was_left(
    log: EventLog, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that the memory answers is put to no database: here it would get another answer there."""
    log.append([Change("volume", "v", 0, [VolumeCreating("v", 1), VolumeCreated("v")])], CONTEXT)
    database.execute("UPDATE volume_current SET version = 7")
    assert log.load("volume", "v")[1] == 2
    latest = log.last_event("volume/v", ["volume.created"])
    assert latest is not None and latest == next(log.events(after=1))
    failing: dict[str, Any] = {"step": None}
    monkeypatch.setattr("engine.eventlog.writer.step", lambda name: failing[name])
    with pytest.raises(KeyError):
        log.append([Change("volume", "w", 0, [VolumeCreating("w", 1)])], CONTEXT)
    assert log.load("volume", "v")[1] == 7, "after a failure nothing is believed"
    monkeypatch.undo()
    log.rebuild()
    assert log.load("volume", "v")[1] == 2
    log.append([Change("volume", "v", 2, [VolumeRemoving("v"), VolumeRemoved("v")])], CONTEXT)
    assert log.load("volume", "v") == (None, 4) and log.get("volume", "v") is None


def test_an_append_that_is_refused_leaves_no_trace_in_memory(log: EventLog) -> None:
    log.append([Change("volume", "v", 0, [VolumeCreating("v", 1)])], CONTEXT)
    with pytest.raises(EngineError):
        log.append(
            [Change("volume", "v", 1, [VolumeCreated("v")]), Change("volume", "w", 0, [VolumeRemoved("w")])], CONTEXT
        )
    assert log.get("volume", "v").status == "creating" and log.load("volume", "w") == (None, 0)
