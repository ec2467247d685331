"""A daemon that ends while the shim sets an exec up: what the log says in the end is what became of it."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest

from support.engine import Engine, docket_command
from support.log_reading import open_intents
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")]


@pytest.fixture
def gate(own_engine: Engine) -> Path:
    """A container "web", in which the next exec stops in the middle of its set-up for as long as this file is there."""
    gate, armed = own_engine.home / "gate", own_engine.home / "armed"
    own_engine.stop()
    own_engine.start(failpoints=f"process.identity=1*wait({gate})@{armed}")
    own_engine.run("-d", "--name", "web", "base", "sleep", "1000")
    armed.touch()
    return gate


@contextmanager
def executing(engine: Engine, gate: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A client whose exec stands at the gate."""
    words = [*docket_command(), "exec", "web", *command]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=engine.environment(), **streams) as client:
        eventually(gate.exists)
        (engine.home / "armed").unlink()
        yield client
        client.wait(30)


def outcome(engine: Engine) -> tuple[str, dict[str, Any]]:
    """The last event of the only exec."""
    last = [event for event in engine.trail("web") if event["type"].startswith("exec.")][-1]
    return last["type"], last["data"]


def end(engine: Engine, how: str) -> None:
    if how == "kill":
        engine.kill()
    else:
        engine.stop()


def assert_true_in_the_end(engine: Engine) -> None:
    assert open_intents(engine.root) == {}
    assert engine.docket("audit", "verify").returncode == 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_exec_that_starts_after_the_next_daemon_is_there(own_engine: Engine, gate: Path, how: str) -> None:
    with executing(own_engine, gate, "sh", "-c", "echo ran >/ran; exit 7"):
        end(own_engine, how)
        own_engine.start()
        assert outcome(own_engine)[0] == "exec.starting", "nobody knows yet"
        gate.unlink()
        eventually(lambda: outcome(own_engine)[0] == "exec.exited")
    assert own_engine.event_types("web")[-3:] == ["exec.starting", "exec.started", "exec.exited"]
    assert outcome(own_engine)[1]["exit_code"] == 7
    assert own_engine.docket("exec", "web", "cat", "/ran").stdout == "ran\n"
    assert_true_in_the_end(own_engine)


def test_an_exec_that_starts_while_no_daemon_is_there(own_engine: Engine, gate: Path) -> None:
    with executing(own_engine, gate, "sh", "-c", "exit 7"):
        own_engine.kill()
        gate.unlink()
    journal = next(own_engine.root.glob("containers/*/shim.journal"))
    eventually(lambda: "exec_exited" in journal.read_text())
    own_engine.start()
    assert own_engine.event_types("web")[-3:] == ["exec.starting", "exec.started", "exec.exited"]
    assert_true_in_the_end(own_engine)


def test_an_exec_that_fails_after_the_next_daemon_is_there(own_engine: Engine, gate: Path) -> None:
    with executing(own_engine, gate, "/none/such"):
        own_engine.kill()
        own_engine.start()
        gate.unlink()
        eventually(lambda: outcome(own_engine)[0] == "exec.start_failed")
    failed = outcome(own_engine)[1]
    assert failed["exit_code"] == 127 and "/none/such" in failed["reason"]
    assert_true_in_the_end(own_engine)


@pytest.mark.parametrize("victim", ["container", "shim"])
def test_an_exec_whose_container_ends_before_it_starts(own_engine: Engine, gate: Path, victim: str) -> None:
    with executing(own_engine, gate, "touch", "/ran"):
        own_engine.kill()
        own_engine.start()
        (shim,) = own_engine.shim_pids()
        os.kill(own_engine.inspect("web")["State"]["Pid"] if victim == "container" else shim, signal.SIGKILL)
        eventually(lambda: not own_engine.inspect("web")["State"]["Running"])
        eventually(lambda: outcome(own_engine)[0] == "exec.start_failed")
        gate.unlink()
    assert own_engine.event_types("web").count("exec.start_failed") == 1
    assert_true_in_the_end(own_engine)
    own_engine.docket("start", "web")
    assert own_engine.docket("exec", "web", "ls", "/").stdout.count("ran\n") == 0
