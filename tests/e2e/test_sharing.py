"""Namespaces that a container shares with the host or with another container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.engine import Engine
from e2e.test_isolation import evidence

pytestmark = pytest.mark.kernel

FILES = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}


def namespace(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


def pid_of(engine: Engine, name: str) -> int:
    return engine.inspect(name)["State"]["Pid"]


@pytest.mark.parametrize("flag, kind", [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup")])
def test_the_hosts_namespace_and_no_other(engine: Engine, flag: str, kind: str) -> None:
    engine.run("-d", "--name", "hosts", flag, "host", "base", "sleep", "100")
    pid = pid_of(engine, "hosts")
    for each in FILES:
        assert (namespace(pid, each) == namespace("self", each)) == (each == kind), each
    assert evidence(engine, "hosts")["namespaces"][kind] == os.stat(f"/proc/self/ns/{FILES[kind]}").st_ino
    shown = engine.docket("exec", "hosts", "readlink", f"/proc/self/ns/{FILES[kind]}").stdout
    assert shown.strip() == namespace(pid, kind)


def test_the_hosts_processes_are_seen_and_left_alone(engine: Engine) -> None:
    engine.run("-d", "--name", "hosts", "--pid", "host", "base", "sh", "-c", "sleep 77 & sleep 78")
    assert engine.docket("exec", "hosts", "sh", "-c", f"[ -d /proc/{os.getpid()} ] && echo there").stdout == "there\n"
    pid = pid_of(engine, "hosts")
    engine.docket("rm", "-f", "hosts")
    assert not Path(f"/proc/{pid}").exists() and Path(f"/proc/{os.getpid()}").exists()


def test_the_hosts_name(engine: Engine) -> None:
    shown = engine.run("--rm", "--uts", "host", "base", "sh", "-c", "hostname; echo $HOSTNAME; cat /etc/hostname")
    assert set(shown.split()) == {os.uname().nodename}


def test_another_containers_processes(engine: Engine) -> None:
    engine.run("-d", "--name", "donor", "base", "sleep", "4711")
    engine.run("-d", "--name", "guest", "--pid", "container:donor", "base", "sleep", "4712")
    assert namespace(pid_of(engine, "donor"), "pid") == namespace(pid_of(engine, "guest"), "pid")
    assert "4711" in engine.docket("exec", "guest", "sh", "-c", "cat /proc/1/cmdline").stdout
    donor = engine.inspect("donor")["Id"]
    assert engine.inspect("guest")["HostConfig"]["PidMode"] == f"container:{donor}", "an id: names change hands"
    engine.docket("rm", "-f", "guest")
    assert engine.inspect("donor")["State"]["Running"] is True, "the end of a guest is not the end of its donor"


def test_another_containers_memory_and_queues(engine: Engine) -> None:
    engine.run("-d", "--name", "donor", "--ipc", "shareable", "base", "sh", "-c", "echo one >/dev/shm/x; sleep 100")
    engine.docket("exec", "donor", "sh", "-c", "while [ ! -s /dev/shm/x ]; do sleep 0.05; done")
    script = "cat /dev/shm/x; echo two >/dev/shm/y; readlink /proc/self/ns/ipc; touch /dev/mqueue/q"
    shown = engine.run("--rm", "--ipc", "container:donor", "base", "sh", "-c", script).split()
    assert shown == ["one", namespace(pid_of(engine, "donor"), "ipc")]
    assert engine.docket("exec", "donor", "sh", "-c", "cat /dev/shm/y; ls /dev/mqueue").stdout.split() == ["two", "q"]


def test_a_link_in_the_place_of_the_donors_memory_is_not_followed(engine: Engine) -> None:
    swap = "umount /dev/shm && rmdir /dev/shm && ln -s /etc /dev/shm && sleep 100"
    engine.run("-d", "--name", "donor", "--privileged", "--ipc", "shareable", "base", "sh", "-c", swap)
    engine.docket("exec", "donor", "sh", "-c", "while [ ! -L /dev/shm ]; do sleep 0.05; done")
    refused = engine.docket("run", "--rm", "--network", "none", "--ipc", "container:donor", "base", "true", check=False)
    assert refused.returncode != 0 and "symbolic links" in refused.stderr


def test_what_is_not_shared_is_refused(engine: Engine) -> None:
    engine.run("-d", "--name", "private", "base", "sleep", "100")
    done = engine.docket("run", "--network", "none", "--ipc", "container:private", "base", "true", check=False)
    assert done.returncode == 125 and "non-shareable IPC" in done.stderr
    engine.docket("rm", "-f", "private")
    engine.docket("create", "--network", "none", "--name", "still", "base", "true")
    done = engine.docket("run", "--network", "none", "--pid", "container:still", "base", "true", check=False)
    assert done.returncode == 125 and "non running container" in done.stderr


def test_no_shared_memory_at_all(engine: Engine) -> None:
    assert engine.run("--rm", "--ipc", "none", "base", "sh", "-c", "[ -e /dev/shm ] || echo none") == "none\n"
    shown = engine.run("--rm", "--ipc", "host", "base", "grep", " /dev/shm ", "/proc/mounts")
    assert "nosuid" in shown
