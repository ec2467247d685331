"""The machines by their tables: every status against every event and every command."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from engine.domain import container, container_commands as commands, exec as exec_, image, layer, volume
from engine.domain.errors import Conflict, EngineError, InvalidArgument, NotFound, NotModified
from engine.domain.machine import PREVIOUS, Event, InvalidTransition
from engine.domain.nouns import EVENT_TYPES, NOUNS, Noun

from samples import COMMANDS, sample_event, state_in

ORDERLY = (Conflict, InvalidArgument, NotFound, NotModified)
"""What a machine may answer beside events: each has its HTTP status, and none is a defect."""

EVENT_CASES = [
    pytest.param(noun, status, event, id=f"{noun.name}-{status}-{event.TYPE}")
    for noun in NOUNS.values()
    for status in (None, *noun.status)
    for event in noun.module.EVENTS
]
COMMAND_CASES = [
    pytest.param(noun, status, command, id=f"{noun.name}-{status}-{type(command).__name__}-{index}")
    for noun in NOUNS.values()
    for status in (None, *noun.status)
    for index, command in enumerate(COMMANDS[noun.name])
]


def status_of(state: Any) -> Any:
    return None if state is None else state.status


@pytest.mark.parametrize(("noun", "status", "event_type"), EVENT_CASES)
def test_an_event_is_accepted_exactly_where_the_table_says(noun: Noun, status: Any, event_type: type[Event]) -> None:
    event = sample_event(noun, event_type)
    state = state_in(noun, status, intents=(event.CLOSES,) if event.CLOSES else ())
    target = noun.module.TRANSITIONS.get((status, event_type))
    if target is None:
        assert not noun.module.is_possible(state, event)
        with pytest.raises(InvalidTransition):
            noun.evolve(state, event)
        return
    assert noun.module.is_possible(state, event)
    after = noun.evolve(state, event)
    assert after.status is (state.resting if target is PREVIOUS else target)
    assert isinstance(after.status, noun.status)


@pytest.mark.parametrize(("noun", "status", "event_type"), EVENT_CASES)
def test_an_outcome_needs_its_open_intent(noun: Noun, status: Any, event_type: type[Event]) -> None:
    event = sample_event(noun, event_type)
    if (status, event_type) not in noun.module.TRANSITIONS or status is None:
        return  # the test above says what happens there
    if event.CLOSES:
        with pytest.raises(InvalidTransition):
            noun.evolve(state_in(noun, status, intents=()), event)
    elif event.OPENS:
        opened = noun.evolve(state_in(noun, status, intents=()), event)
        assert event.OPENS in opened.intents
        # a new life of the same id (a layer unpacked again) begins with no intent of the old one
        if status not in {None, *(s for s in noun.status if s.value in ("failed", "removed"))}:
            with pytest.raises(InvalidTransition):
                noun.evolve(state_in(noun, status, intents=(event.OPENS,)), event)


@pytest.mark.parametrize(("noun", "status", "command"), COMMAND_CASES)
def test_a_command_is_legal_or_a_clear_refusal(noun: Noun, status: Any, command: Any) -> None:
    state = state_in(noun, status)
    try:
        events = noun.decide(state, command)
    except ORDERLY as refusal:
        message = str(refusal)
        assert message and "\n" not in message and not message.endswith(".")
        return
    for event in events:  # what was decided must be possible, in this order
        assert noun.module.is_possible(state, event)
        state = noun.evolve(state, event)
    assert state is not None or not events


@pytest.mark.parametrize(("noun", "status", "command"), COMMAND_CASES)
def test_deciding_is_pure(noun: Noun, status: Any, command: Any) -> None:
    state = state_in(noun, status)
    before = repr(state)

    def outcome() -> str:
        try:
            return repr(noun.decide(state, command))
        except EngineError as error:
            return repr(error)

    assert outcome() == outcome()
    assert repr(state) == before


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.name)
def test_every_status_is_reached_and_every_event_has_a_place(noun: Noun) -> None:
    table = noun.module.TRANSITIONS
    reached = {target for target in table.values() if target is not PREVIOUS}
    assert reached == set(noun.status)
    assert {event for _, event in table} == set(noun.module.EVENTS)


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.name)
def test_every_intent_has_an_outcome_and_every_outcome_an_intent(noun: Noun) -> None:
    opened = {event.OPENS for event in noun.module.EVENTS if event.OPENS}
    closed = {event.CLOSES for event in noun.module.EVENTS if event.CLOSES}
    assert opened == closed


def test_event_types_are_unique_literals() -> None:
    events = [event for noun in NOUNS.values() for event in noun.module.EVENTS]
    assert len(EVENT_TYPES) == len(events)
    for noun in NOUNS.values():
        assert all(event.TYPE.startswith(f"{noun.name}.") for event in noun.module.EVENTS)


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda event: event.TYPE)
def test_events_are_frozen_and_carry_json_values(event_type: type[Event]) -> None:
    noun = NOUNS[event_type.TYPE.partition(".")[0]]
    event = sample_event(noun, event_type)
    field = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, field, "other")
    assert json.loads(json.dumps(dataclasses.asdict(event))) == dataclasses.asdict(event)


def test_clients_see_dockers_seven_statuses() -> None:
    docker = {"created", "running", "paused", "restarting", "removing", "exited", "dead"}
    assert set(container.PUBLIC_STATUS) == set(container.Status)
    visible = {name for status, name in container.PUBLIC_STATUS.items() if status is not container.Status.REMOVED}
    assert visible <= docker


def test_a_container_that_starts_again_is_shown_as_exited() -> None:
    noun = NOUNS["container"]
    first = state_in(noun, container.Status.STARTING)
    assert first.public_status == "created"
    assert dataclasses.replace(first, started_at_us=1).public_status == "exited"


@pytest.mark.parametrize("status", container.Status)
def test_alive_means_that_a_process_exists(status: container.Status) -> None:
    state = state_in(NOUNS["container"], status)
    can_end = (status, container.ContainerExited) in container.TRANSITIONS
    assert state.alive == can_end == (status in container.ALIVE)


REFUSALS = [
    ("container", container.Status.RUNNING, commands.StartContainer(), NotModified, "already started"),
    ("container", container.Status.PAUSED, commands.StartContainer(), Conflict, "try unpause"),
    ("container", container.Status.DEAD, commands.StartContainer(), Conflict, "marked for removal"),
    ("container", container.Status.EXITED, commands.StopContainer(15, 10), NotModified, "already stopped"),
    ("container", container.Status.CREATED, commands.KillContainer(9), Conflict, "is not running"),
    ("container", container.Status.RUNNING, commands.KillContainer(65), InvalidArgument, "invalid signal"),
    ("container", container.Status.RUNNING, commands.RemoveContainer(), Conflict, "is running"),
    ("container", container.Status.PAUSED, commands.RemoveContainer(), Conflict, "must be unpaused"),
    ("container", container.Status.REMOVING, commands.RemoveContainer(), Conflict, "already in progress"),
    ("container", container.Status.EXITED, commands.PauseContainer(), Conflict, "is not running"),
    ("container", container.Status.RUNNING, commands.UnpauseContainer(), Conflict, "is not paused"),
    ("container", None, commands.StartContainer(), NotFound, "no such container"),
    ("container", container.Status.REMOVED, commands.StartContainer(), NotFound, "no such container"),
    ("exec", exec_.Status.EXITED, exec_.StartExec(), Conflict, "has already run"),
    ("exec", None, exec_.StartExec(), NotFound, "no such exec"),
    ("image", image.Status.PRESENT, image.RemoveImage(("c" * 64,)), Conflict, "in use by container cccccccccccc"),
    ("layer", layer.Status.STORED, layer.RemoveLayer(("image/sha256:i",)), Conflict, "in use by image"),
    ("layer", layer.Status.UNPACKING, layer.RemoveLayer(), Conflict, "is unpacking"),
    ("volume", volume.Status.PRESENT, volume.RemoveVolume(("c1", "c2")), Conflict, "volume is in use - [c1, c2]"),
    ("volume", None, volume.RemoveVolume(), NotFound, "no such volume"),
]


@pytest.mark.parametrize(("name", "status", "command", "error", "text"), REFUSALS)
def test_refusals_say_what_docker_says(name: str, status: Any, command: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text.replace("[", r"\[").replace("]", r"\]")) as caught:
        NOUNS[name].decide(state_in(NOUNS[name], status), command)
    assert type(caught.value) is error
