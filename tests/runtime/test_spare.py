"""Shims that wait for a container: forked ahead, or back from one that lived for a moment only."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.runtime.launcher import is_plain
from support.containers import Runtime, children_of, is_spare, open_files
from support.waiting import eventually


def spares_of(spawner: int | None) -> list[int]:
    """Shims that wait for a container, each followed by its launcher."""
    shims = [pid for pid in children_of(spawner) if is_spare(pid)]
    return [pid for shim in shims for pid in (shim, *filter(is_spare, children_of(shim)))]


def has_ended(pid: int) -> bool:
    """It is gone, or a zombie, which has closed everything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_spare_shims_die_and_nobody_misses_them(runtime: Runtime) -> None:
    """Killed in advance, the launch has another one; where the spawner ends, they end."""
    assert runtime.run("echo", "first").out == "first\n"
    spawner = runtime.supervisor.spawner_pid
    for victim in (0, 1):  # the shim, its launcher
        eventually(lambda: len(spares_of(spawner)) == 2, what="one is forked ahead, with its launcher")
        pid = spares_of(spawner)[victim]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: has_ended(pid))
        assert runtime.run("echo", "next").out == "next\n"
    eventually(lambda: len(spares_of(spawner)) == 2)
    spares = spares_of(spawner)
    assert spawner is not None
    os.kill(spawner, signal.SIGKILL)
    eventually(lambda: all(map(has_ended, spares)))
    assert runtime.run("echo", "last").out == "last\n"


def test_who_served_a_short_life_serves_again(runtime: Runtime) -> None:
    """And shim and launcher have kept nothing of the container before."""
    spawner = runtime.supervisor.spawner_pid

    def server() -> int:
        container = runtime.start("sleep", "100")
        shim = container.shim_pid()
        runtime.supervisor.signal(container.id, signal.SIGKILL)
        container.wait()
        eventually(lambda: is_spare(shim) or has_ended(shim))
        return shim

    eventually(lambda: server() == server(), what="a shim serves twice")
    standard = {os.readlink(f"/proc/{spawner}/fd/{number}") for number in (0, 1, 2)}
    for pid in spares_of(spawner):
        assert {link for link in open_files(str(pid)) if not link.startswith("socket:")} <= standard
        assert len(os.listdir(f"/proc/{pid}/fd")) in (4, 6)  # a launcher's connection to its shim; a shim's three


def test_nobody_waits_for_long_beside_a_container(runtime: Runtime) -> None:
    """The launcher of one that goes on to live leaves, and its shim is no other container's afterwards."""
    container = runtime.start("sleep", "100")
    shim = container.shim_pid()
    eventually(lambda: children_of(shim) == [container.pid], what="the launcher has left")
    runtime.supervisor.signal(container.id, signal.SIGKILL)
    container.wait()
    eventually(lambda: has_ended(shim))


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        ({}, True),
        ({"oci_runtime": {"path": "runc"}}, False),
        ({"user_network": {"program": "pasta"}}, False),
        ({"spec": {"linux": {"namespaces": [{"type": "time"}]}}}, False),
        ({"spec": {"linux": {"namespaces": [{"type": "user"}]}}}, False),
        ({"spec": {"linux": {"namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}]}}}, False),
        ({"spec": {"linux": {"namespaces": [{"type": "user", "path": "/proc/1/ns/user"}]}}}, False),
        ({"spec": {"linux": {"namespaces": [{"type": "network", "path": "/proc/1/ns/net"}]}}}, True),
    ],
)  # fmt: skip
def test_a_launcher_that_something_has_stuck_to_serves_no_more(change: dict[str, Any], plain: bool) -> None:
    assert is_plain({"spec": {}, **change}) is plain
