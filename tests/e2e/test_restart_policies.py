"""Restart policies: after an end, after a kill -9 of the daemon, after a reboot; and who keeps a container down."""

from __future__ import annotations

import os
import signal
import uuid
from typing import Any

import pytest

from support.engine import Engine
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")]


def count(engine: Engine, name: str) -> int:
    return engine.inspect(name)["RestartCount"]


def state(engine: Engine, name: str) -> dict[str, Any]:
    return engine.inspect(name)["State"]


def test_on_failure_gives_up_after_its_count(engine: Engine) -> None:
    engine.run("-d", "--name", "job", "--restart", "on-failure:2", "base", "sh", "-c", "echo try; exit 3")
    eventually(lambda: engine.event_types("job").count("container.exited") == 3, what="the first run and two more")
    assert state(engine, "job")["Status"] == "exited" and count(engine, "job") == 2
    assert engine.docket("logs", "job").stdout == "try\n" * 3
    types = engine.event_types("job")
    assert types.count("container.restart_scheduled") == 2
    (first, second) = [event for event in engine.trail("job") if event["type"] == "container.restart_scheduled"]
    assert (first["data"]["delay_us"], second["data"]["delay_us"]) == (100_000, 200_000)
    assert first["actor"]["door"] == "restart policy"


def test_success_is_no_failure(engine: Engine) -> None:
    engine.run("-d", "--name", "job", "--restart", "on-failure", "base", "true")
    eventually(lambda: state(engine, "job")["Status"] == "exited")
    assert "container.restart_scheduled" not in engine.event_types("job")


def test_always_comes_back_and_shows_that_it_waits(engine: Engine) -> None:
    engine.run("-d", "--name", "loop", "--restart", "always", "base", "sh", "-c", "exit 5")
    eventually(lambda: state(engine, "loop")["Status"] == "restarting" and count(engine, "loop") > 2)
    line = eventually(lambda: engine.docket("ps", "--filter", "status=restarting", "--format", "{{.Status}}").stdout)
    assert line.startswith("Restarting (5) ")
    shown = state(engine, "loop")
    assert shown["Restarting"] and shown["Running"] and shown["Pid"] == 0
    assert "container is restarting" in engine.refused("rm", "loop")
    engine.docket("stop", "loop")
    shown = state(engine, "loop")
    assert (shown["Status"], shown["Restarting"], shown["ExitCode"]) == ("exited", False, 5)
    engine.docket("start", "loop")
    eventually(lambda: state(engine, "loop")["Status"] == "restarting")
    engine.docket("rm", "-f", "loop")


def test_who_stops_it_keeps_it_down(engine: Engine) -> None:
    for command in (["stop", "-t", "0"], ["kill"], ["kill", "-s", "TERM"]):
        script = "trap 'exit 1' TERM; while :; do sleep 0.02; done"
        engine.run("-d", "--name", "web", "--restart", "always", "base", "sh", "-c", script)
        eventually(lambda: "container.started" in engine.event_types("web"))
        engine.docket(*command, "web")
        eventually(lambda: state(engine, "web")["Status"] == "exited")
        assert "container.restart_scheduled" not in engine.event_types("web")
        engine.docket("rm", "web")


def test_restart_is_no_end(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "--restart", "always", "base", "sleep", "1000")
    engine.docket("restart", "-t", "0", "web")
    assert state(engine, "web")["Running"] and count(engine, "web") == 0
    assert "container.restart_scheduled" not in engine.event_types("web")


def test_restarts_outlive_a_kill_of_the_daemon(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "loop", "--restart", "always", "base", "sh", "-c", "sleep 0.1; exit 1")
    own_engine.run("-d", "--name", "down", "--restart", "always", "base", "sleep", "1000")
    own_engine.run("-d", "--name", "unless", "--restart", "unless-stopped", "base", "sleep", "1000")
    own_engine.docket("stop", "-t", "0", "down", "unless")
    eventually(lambda: count(own_engine, "loop") >= 1)
    own_engine.kill()
    own_engine.start()
    before = count(own_engine, "loop")
    eventually(lambda: count(own_engine, "loop") > before, what="it goes on being restarted")
    eventually(lambda: state(own_engine, "down")["Running"], what="always means with the engine, too")
    assert state(own_engine, "unless")["Status"] == "exited"


def test_a_reboot_brings_back_what_should_run(own_engine: Engine) -> None:
    for policy in ("always", "unless-stopped", "on-failure", "no"):
        own_engine.run("-d", "--name", policy, "--restart", policy, "base", "sleep", "1000")
    pids = own_engine.shim_pids()
    own_engine.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    own_engine.start(boot_id=str(uuid.uuid4()))
    eventually(lambda: all(state(own_engine, name)["Running"] and state(own_engine, name)["Pid"]
                           for name in ("always", "unless-stopped")))  # fmt: skip
    assert [state(own_engine, name)["Status"] for name in ("on-failure", "no")] == ["exited", "exited"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--restart", "sometimes"], "unknown policy 'sometimes'"),
        (["--restart", "always:3"], "maximum retry count can only be used with 'on-failure'"),
        (["--restart", "always", "--rm"], "conflicting options"),
    ],
)
def test_bad_policies_are_refused(engine: Engine, flags: list[str], words: str) -> None:
    assert words in engine.refused("create", *flags, "base", "true", code=1 if "--rm" not in flags else 125)
