"""Restart policies: who is started again, and after how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.domain.container import (
    Container,
    ContainerExited,
    ContainerKilling,
    ContainerRestartScheduled,
    ContainerStarted,
    ContainerStarting,
    Status,
    evolve,
)
from engine.domain.container_commands import StartContainer, StopContainer, decide
from engine.domain.nouns import NOUNS
from engine.domain.restart_policy import delay_us, restarts_after_end, restarts_with_engine

from samples import IDS, state_in

ID = IDS["container"]


def exited(policy: str, **changes: Any) -> Container:
    state = state_in(NOUNS["container"], Status.EXITED)
    return replace(state, restart_policy=policy, restart_limit=0, started_at_us=1, **changes)


@pytest.mark.parametrize(
    ("policy", "changes", "wanted"),
    [
        ("no", {"exit_code": 1}, False),
        ("always", {"exit_code": 0}, True),
        ("always", {"exit_code": 0, "exit_cause": "reboot"}, True),
        ("always", {"exit_code": 137, "stopped_by_user": True}, False),
        ("always", {"exit_code": 1, "restarting": True}, False),  # docket restart starts it itself
        ("unless-stopped", {"exit_code": 0}, True),
        ("unless-stopped", {"exit_code": 0, "stopped_by_user": True}, False),
        ("on-failure", {"exit_code": 0}, False),
        ("on-failure", {"exit_code": 1}, True),
        ("on-failure", {"exit_code": 255, "exit_cause": "shim lost"}, True),
        ("on-failure", {"exit_code": 255, "exit_cause": "reboot"}, False),
        ("on-failure", {"exit_code": 1, "restart_limit": 3, "restart_count": 2}, True),
        ("on-failure", {"exit_code": 1, "restart_limit": 3, "restart_count": 3}, False),
    ],
)
def test_who_is_started_again(policy: str, changes: dict[str, Any], wanted: bool) -> None:
    limit = changes.pop("restart_limit", 0)
    state = replace(exited(policy, **changes), restart_limit=limit)
    assert restarts_after_end(state) is wanted


def test_what_somebody_stopped_runs_again_with_the_engine_only_by_always() -> None:
    wanted = [policy for policy in ("no", "always", "unless-stopped", "on-failure")
              if restarts_with_engine(exited(policy, stopped_by_user=True))]
    assert wanted == ["always"]


def life(ran_us: int, rounds: int) -> list[int]:
    """The delays of a container that ends again and again, each time after ``ran_us``."""
    state, delays, now = exited("always"), [], 0
    for _ in range(rounds):
        delay = delay_us(state)
        delays.append(delay)
        now += delay
        for event in (
            ContainerRestartScheduled(ID, delay, now), ContainerStarting(ID), ContainerStarted(ID, 7, now),
            ContainerExited(ID, 1, now + ran_us),
        ):  # fmt: skip
            state = evolve(state, event)
        now += ran_us
    assert state.restart_count == rounds
    return delays


def test_the_delay_doubles_up_to_a_minute() -> None:
    assert life(1_000_000, 12) == [min(100_000 * 2**n, 60_000_000) for n in range(12)]


def test_the_delay_begins_again_after_ten_seconds_of_running() -> None:
    assert life(10_000_000, 3) == [100_000] * 3


def test_a_start_by_hand_counts_from_the_beginning() -> None:
    state = exited("always", restart_count=5, restart_delay_us=3_200_000)
    assert evolve(state, decide(state, StartContainer())[0]).restart_count == 0


def test_a_scheduled_start_gives_way_to_whoever_was_quicker() -> None:
    assert decide(exited("always"), StartContainer(scheduled=True)) == []
    waiting = evolve(exited("always"), ContainerRestartScheduled(ID, 1, 2))
    assert waiting.public_status == "restarting" and waiting.up and not waiting.alive
    starting = evolve(waiting, decide(waiting, StartContainer(scheduled=True))[0])
    assert starting.restart_count == 1 and starting.public_status == "restarting"


def test_a_stop_while_it_waits_keeps_it_down() -> None:
    waiting = evolve(exited("always"), ContainerRestartScheduled(ID, 1, 2))
    (cancelled,) = decide(waiting, StopContainer(15, 10))
    state = evolve(waiting, cancelled)
    assert state.status is Status.EXITED and not restarts_after_end(state)


@pytest.mark.parametrize(("signal", "wanted"), [(9, False), (15, False), (2, False), (3, False), (1, True), (10, True)])
def test_who_is_killed_stays_down_and_who_is_told_something_does_not(signal: int, wanted: bool) -> None:
    state = replace(state_in(NOUNS["container"], Status.RUNNING), restart_policy="always")
    for event in (ContainerKilling(ID, signal), ContainerExited(ID, 1, 5_000_000)):
        state = evolve(state, event)
    assert restarts_after_end(state) is wanted
