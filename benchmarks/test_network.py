"""What networks cost: a start, names, and connections, beside a container without a network and a real Docker."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any, Callable, Iterator

import pytest
from conftest import note
from kept_alive import KeptAlive
from support.engine import Engine

ROUNDS = 15
SETTLE_S = 0.15
BRIDGE_COSTS_S, PORT_COSTS_S = 0.025, 0.010

KINDS: dict[str, dict[str, Any]] = {
    "none": {"NetworkMode": "none"},
    "bridge": {"NetworkMode": "bridge"},
    "app": {"NetworkMode": "app"},
    "app, a port": {"NetworkMode": "app", "PortBindings": {"80/tcp": [{"HostPort": "18080"}]}},
}


def start_s(connection: KeptAlive, host_config: dict[str, Any]) -> float:
    """Seconds that the start of a container takes; it is removed again."""
    body = {"Image": "base", "Cmd": ["sleep", "100"], "HostConfig": host_config}
    container = json.loads(connection.ask("POST", "/containers/create", body)[1])["Id"]
    begun = time.perf_counter()
    status, answer = connection.ask("POST", f"/containers/{container}/start")
    took = time.perf_counter() - begun
    assert status == 204, answer
    assert connection.ask("DELETE", f"/containers/{container}?force=1")[0] == 204
    time.sleep(SETTLE_S)  # the kernel takes a network namespace down after everybody has been told
    return took


@pytest.fixture
def connection(engine: Engine) -> Iterator[KeptAlive]:
    made = KeptAlive(engine.socket)
    made.ask("POST", "/networks/create", {"Name": "app"})
    yield made
    made.ask("DELETE", "/networks/app")
    made.close()


def test_what_a_network_adds_to_a_start(connection: KeptAlive) -> None:
    """In turn, so that a noisy moment hits all; medians of the differences within a round."""
    rounds = [{kind: start_s(connection, host) for kind, host in KINDS.items()} for _ in range(ROUNDS)]
    middle: Callable[[Callable[[dict[str, float]], float]], float] = lambda of: statistics.median(map(of, rounds))
    without = middle(lambda one: one["none"])
    for kind, base, allowed_s in (
        ("bridge", "none", BRIDGE_COSTS_S), ("app", "none", BRIDGE_COSTS_S), ("app, a port", "app", PORT_COSTS_S),
    ):  # fmt: skip
        added = middle(lambda one: one[kind] - one[base])
        note(f"start on {kind}: added to {base} (against a start without)", added, without, allowed_s / without)
