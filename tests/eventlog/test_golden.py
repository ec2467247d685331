"""One stored text for each event type and schema, kept for ever: what was once written can always be read.

Lines of tests/eventlog/golden/<noun>.txt are ``type schema data``. A new event type or schema adds a line; no line is
ever changed or taken away.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import EngineError
from engine.domain.nouns import EVENT_TYPES, NOUNS
from engine.domain.volume import VolumeCreated
from engine.eventlog import codec, upcasters
from engine.eventlog.codec import StateTexts, canonical, decode_event, decode_state, encode_event, encode_state

from lives import Lives

SAMPLES = [
    tuple(line.split(" ", 2))
    for path in sorted((Path(__file__).parent / "golden").glob("*.txt"))
    for line in path.read_text().splitlines()
]


def test_every_type_and_schema_has_its_sample() -> None:
    known = {(kind.TYPE, str(schema)) for kind in EVENT_TYPES.values() for schema in range(1, kind.SCHEMA + 1)}
    assert {(type_, schema) for type_, schema, _ in SAMPLES} == known
    assert len(SAMPLES) == len(known)


@pytest.mark.parametrize(("type_", "schema", "text"), SAMPLES, ids=[f"{t}-{s}" for t, s, _ in SAMPLES])
def test_what_was_written_can_be_read(type_: str, schema: str, text: str) -> None:
    stored = json.loads(text)
    assert canonical(stored) == text
    event = decode_event(type_, int(schema), stored)
    assert type(event) is EVENT_TYPES[type_]
    if int(schema) == event.SCHEMA:  # and is written the same, but for fields with a default that came later
        written = json.loads(encode_event(event))
        assert {name: written[name] for name in stored} == stored


def test_an_old_schema_is_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Newer(VolumeCreated):
        SCHEMA = 3

    monkeypatch.setitem(EVENT_TYPES, "volume.created", Newer)  # type: ignore[arg-type]
    steps: dict[tuple[str, int], Any] = {
        ("volume.created", 1): lambda data: {"title": data["label"]},
        ("volume.created", 2): lambda data: {"name": data["title"].lower()},
    }
    monkeypatch.setattr(codec, "UPCASTERS", steps)
    assert decode_event("volume.created", 1, {"label": "DATA"}) == Newer("data")
    assert decode_event("volume.created", 2, {"title": "DATA"}) == Newer("data")
    assert decode_event("volume.created", 3, {"name": "data"}) == Newer("data")


def test_every_step_between_schemas_has_its_upcaster() -> None:
    steps = {(kind.TYPE, schema) for kind in EVENT_TYPES.values() for schema in range(1, kind.SCHEMA)}
    assert set(upcasters.UPCASTERS) == steps


@pytest.mark.parametrize(
    ("type_", "schema", "data"),
    [("volume.exploded", 1, {}), ("volume.created", 99, {"name": "v"}), ("volume.created", 1, {"nom": "v"})],
)
def test_what_this_engine_does_not_know_is_named(type_: str, schema: int, data: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=type_):
        decode_event(type_, schema, data)


@pytest.mark.parametrize("seed", range(20))
def test_states_and_events_come_back_as_they_were(seed: int) -> None:
    lives = Lives(seed)
    for noun in NOUNS.values():
        state, texts = None, StateTexts(noun.state)
        for _ in range(30):
            drawn = lives.draw(noun, lives.ids[noun.name][0], state)
            if drawn is None:
                break
            event, state = drawn
            text = encode_state(state)
            assert texts.of(state) == text, "and only what has changed is written anew"
            restored = decode_state(noun, text)
            assert restored == state and encode_state(restored) == text
            types = {field.name: type(getattr(state, field.name)) for field in dataclasses.fields(state)}
            assert types == {name: type(getattr(restored, name)) for name in types}
            assert decode_event(event.TYPE, event.SCHEMA, json.loads(encode_event(event))) == event
            state = None if state.status == "removed" else state


def test_canonical_json_is_one_text_for_one_value() -> None:
    assert canonical({"b": [1, 2.5, None, True], "a": "ü\ud800"}) == '{"a":"\\u00fc\\ud800","b":[1,2.5,null,true]}'
    for value in (float("nan"), float("inf"), {"a": {1, 2}}, {"a": b""}):
        with pytest.raises((ValueError, TypeError)):
            canonical(value)
