"""Deaths and errors at every step: the launch fails with its step, or the container goes on; nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import EngineError, NotFound
from engine.kernel.steps import STEPS
from engine.runtime import init, journal
from engine.runtime.failures import LaunchFailed
from engine.runtime.setup import Setup
from support.census import assert_nothing_left, processes_of, take_census
from support.containers import Runtime, connection, layer, running_runtime
from support.sources import REPOSITORY
from support.waiting import eventually

SHIM_STEPS = ["shim.listen", "cgroup.create", "cgroup.limit", "init.clone", "evidence.read", "shim.record"]
INIT_STEPS = [
    "cgroup.join", "rootfs.overlay", "rootfs.mounts", "rootfs.devices", "rootfs.pivot", "rootfs.mask",
    "process.identity", "process.user", "process.capabilities", "process.seccomp", "exec.start",
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Any:
    layer()
    before = take_census()
    yield
    assert_nothing_left(before)


def nothing_of(runtime: Runtime, plan: dict[str, Any]) -> None:
    """No cgroup, no socket, no process, no lock of a container that was never made."""
    container = runtime.containers[plan["container_id"]]
    eventually(container.lock_is_free)
    assert not runtime.cgroup(container).exists()
    assert not os.listdir(runtime.home / "run" / "shims")
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(runtime.home) in line]
    eventually(lambda: not with_mounts_of(container.directory), what="every process of it is gone")


def with_mounts_of(folder: Path) -> list[int]:
    """Processes whose root is an overlay with its writable layer there, or that have something of it open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:
            continue
        if f"{folder}/upper" in text:
            found.append(int(pid))
    return found


@pytest.mark.parametrize("action", ["kill", "error(EIO)"])
@pytest.mark.parametrize("step", [*SHIM_STEPS, *INIT_STEPS])
def test_a_launch_that_is_cut_short(step: str, action: str) -> None:
    with running_runtime(f"{step}={action}") as runtime:
        wire, attachment = connection()
        plan = runtime.plan("sleep", "100")
        with pytest.raises(LaunchFailed) as caught:
            runtime.launch(plan, [attachment])
        if action != "kill":
            assert caught.value.step == step and "input/output error" in str(caught.value).lower()
        assert "\n" not in str(caught.value)
        assert wire.read_all() == b""
        wire.close()
        nothing_of(runtime, plan)


def test_every_step_of_an_init_is_among_these() -> None:
    plan = {"spec": {"process": {"cwd": "/", "args": ["x"], "env": []}, "mounts": []}, "seccomp": None}
    assert {operation.step for operation in init.operations(Setup(plan))} <= set(INIT_STEPS)
    assert set(SHIM_STEPS + INIT_STEPS) <= set(STEPS)


def test_a_fork_that_fails() -> None:
    with running_runtime("spawner.fork=1*error(EAGAIN)") as runtime:
        plan = runtime.plan("true")
        with pytest.raises(LaunchFailed, match="spawner.fork"):
            runtime.launch(plan)
        nothing_of(runtime, plan)
        runtime.launch(plan)
        runtime.containers[plan["container_id"]].wait()


def test_a_spawner_that_is_killed_while_it_forks() -> None:
    """No child has said that it is there, so nothing has been done: the next spawner gets the request."""
    with running_runtime("spawner.fork=kill") as runtime:
        first = runtime.supervisor.spawner_pid
        assert runtime.run("echo", "x").out == "x\n"
        assert runtime.supervisor.spawner_pid != first


def share_pids(spec: dict[str, Any]) -> None:
    """Without a pid namespace of its own, the rest of a container must be killed when its first process has ended."""
    spec["linux"]["namespaces"] = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != "pid"]


@pytest.mark.parametrize("step", ["cgroup.kill", "cgroup.remove"])
def test_a_shim_that_dies_at_the_end(step: str) -> None:
    with running_runtime(f"{step}=kill") as runtime:
        container = runtime.start("sh", "-c", "sleep 1000 & exit 3", change=share_pids)
        container.wait("lost")
        runtime.reconnect()
        runtime.sweep(container)


@pytest.mark.parametrize("step", ["cgroup.kill", "cgroup.remove"])
def test_an_end_that_leaves_something_says_so(step: str) -> None:
    with running_runtime(f"{step}=error(EBUSY)") as runtime:
        container = runtime.start("sh", "-c", "sleep 1000 & exit 3", change=share_pids)
        assert "busy" in container.wait()["leftover"].lower()
        runtime.reconnect()
        runtime.sweep(container)


def exec_plan(*command: str) -> dict[str, Any]:
    return {"exec_id": "d" * 64, "args": list(command), "env": ["PATH=/bin"], "capabilities": []}


def test_a_shim_that_dies_before_it_could_write_the_end_down() -> None:
    """Each process counts for itself: the shim's first record is that of the exec's start."""
    with running_runtime("shim.record=1*off->kill") as runtime:
        container = runtime.start("sleep", "1000")
        runtime.supervisor.exec(container.id, exec_plan("sleep", "1000"), None)
        runtime.supervisor.signal(container.id, 9)
        container.wait("lost")
        assert [record["type"] for record in journal.read(str(container.directory))] == ["started", "exec_started"]
        runtime.reconnect()
        runtime.sweep(container)


def test_an_end_that_cannot_be_written_down_is_told_all_the_same() -> None:
    with running_runtime("shim.record=1*off->error(ENOSPC)") as runtime:
        container = runtime.start("sleep", "1000")
        runtime.supervisor.exec(container.id, exec_plan("sleep", "1000"), None)
        runtime.supervisor.signal(container.id, 9)
        assert container.wait()["exit_code"] == 137 and "space" in container.wait()["unrecorded"]
        assert "space" in container.wait("exec_exited")["unrecorded"]


# --- deaths in the middle of life --------------------------------------------------------------------------------


def test_kill_of_a_shim(runtime: Runtime) -> None:
    container = runtime.start("sh", "-c", "sleep 1000 & sleep 1000")
    os.kill(container.shim_pid(), signal.SIGKILL)
    container.wait("lost")
    assert container.lock_is_free() and not container.of_type("exited")
    with pytest.raises(NotFound):
        runtime.supervisor.signal(container.id, 15)
    runtime.sweep(container)
    assert not os.path.exists(f"/proc/{container.pid}/exe") and not runtime.cgroup(container).exists()


def test_kill_of_the_spawner(runtime: Runtime) -> None:
    """Containers don't notice, and the next launch has a new spawner."""
    container = runtime.start("sh", "-c", "while :; do echo x; sleep 0.02; done")
    for _ in range(3):
        eventually(lambda: runtime.supervisor.spawner_pid is not None, what="the spawner is there again")
        pid = runtime.supervisor.spawner_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        size = container.log.stat().st_size
        assert runtime.run("echo", "next").out == "next\n"
        eventually(lambda: container.log.stat().st_size > size)
    assert runtime.exec(container, "echo", "x").out == "x\n"


def test_many_launches_while_spawners_die(runtime: Runtime) -> None:
    """Each launch succeeds or fails with one line; no client hangs, nothing stays."""
    outcomes: list[str] = []

    def launches() -> None:
        for _ in range(8):
            try:
                outcomes.append(runtime.run("echo", "fine").out)
            except LaunchFailed as error:
                outcomes.append("failed" if "\n" not in str(error) else "wrong")

    threads = [threading.Thread(target=launches) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: "fine\n" in outcomes, what="a first launch, however slow the machine is")
    while any(thread.is_alive() for thread in threads):
        pid = runtime.supervisor.spawner_pid
        if pid is not None:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.15)
    assert len(outcomes) == 24 and set(outcomes) <= {"fine\n", "failed"} and "fine\n" in outcomes


def test_signals_to_a_stopped_shim_time_out_for_its_container_only(runtime: Runtime, monkeypatch: Any) -> None:
    from engine.runtime import link

    monkeypatch.setattr(link, "ANSWER_S", 0.3)
    stuck, fine = runtime.start("sleep", "100"), runtime.start("sleep", "100")
    shim = stuck.shim_pid()
    os.kill(shim, signal.SIGSTOP)
    with pytest.raises(EngineError, match="does not answer"):
        runtime.supervisor.signal(stuck.id, 15)
    runtime.supervisor.signal(fine.id, 9)
    fine.wait()
    os.kill(shim, signal.SIGCONT)


# --- the daemon's death ------------------------------------------------------------------------------------------


def test_adoption_after_a_restart(runtime: Runtime) -> None:
    container = runtime.start("sh", "-c", "trap 'exit 21' TERM; while :; do echo x; sleep 0.02; done")
    done = runtime.start("sh", "-c", "exit 8")
    done.wait()
    execution = runtime.exec(container, "sh", "-c", "exit 5")
    assert execution.code == 5
    runtime.reconnect()
    container.messages.clear()
    size = container.log.stat().st_size
    eventually(lambda: container.log.stat().st_size > size)
    records = runtime.supervisor.adopt(container.id, str(container.directory))
    assert [record["type"] for record in records] == ["started", "exec_started", "exec_exited", "adopted"]
    assert records[0]["evidence"] == container.facts["evidence"] and records[0]["pid"] == container.pid
    assert runtime.exec(container, "echo", "again").out == "again\n"
    runtime.supervisor.signal(container.id, signal.SIGTERM)
    assert container.wait()["exit_code"] == 21
    ended = runtime.supervisor.adopt(done.id, str(done.directory))
    assert [record["type"] for record in ended] == ["started", "exited"] and ended[-1]["exit_code"] == 8


def test_what_happens_without_a_daemon_is_in_the_journal(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "wait").write_text("")
    container = runtime.start("sh", "-c", "while [ -e /mnt/wait ]; do sleep 0.02; done; exit 9",
                              host={"Binds": [f"{tmp_path}:/mnt"]})  # fmt: skip
    runtime.reconnect()
    (tmp_path / "wait").unlink()
    eventually(container.lock_is_free)
    records = runtime.supervisor.adopt(container.id, str(container.directory))
    assert [record["type"] for record in records] == ["started", "exited"] and records[-1]["exit_code"] == 9


def test_adoption_of_what_never_was(runtime: Runtime, tmp_path: Path) -> None:
    assert runtime.supervisor.adopt("ab" * 32, str(tmp_path)) == []


def test_a_dead_shim_is_not_adopted(runtime: Runtime) -> None:
    container = runtime.start("sleep", "1000")
    os.kill(container.shim_pid(), signal.SIGKILL)
    container.wait("lost")
    stale = runtime.home / "run" / "shims" / f"{container.id[:16]}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(stale))
    assert [r["type"] for r in runtime.supervisor.adopt(container.id, str(container.directory))] == ["started"]
    assert not stale.exists()
    runtime.sweep(container)


def test_a_torn_journal_is_read_up_to_the_tear(runtime: Runtime) -> None:
    container = runtime.start("true")
    container.wait()
    path = container.directory / journal.FILE_NAME
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, len(whole) - 40, -1):
        path.write_bytes(whole[:cut])
        assert [record["type"] for record in journal.read(str(container.directory))] == ["started"]
    path.write_bytes(whole[:-1] + b"\0" * 64)
    assert [record["type"] for record in journal.read(str(container.directory))] == ["started"]
    path.write_bytes(whole.replace(b'"exit_code":0', b'"exit_code":1'))
    assert [record["type"] for record in journal.read(str(container.directory))] == ["started"], "the checksum"


DAEMON = """
import os, sys, fcntl, json, threading
sys.path[:0] = [{repository!r}, {repository!r} + "/tests"]
from pathlib import Path
from engine.runtime.supervisor import Supervisor
plan = json.load(open({plan!r}))
supervisor = Supervisor(run_dir=Path({home!r}) / "run", spawner_argv_module="engine.runtime.spawner",
                        on_message=lambda *message: None)
lock = os.open(plan["directory"] + "/shim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
supervisor.launch(plan, lock)
os.close(lock)
print("launched", flush=True)
threading.Event().wait()
"""


def daemon_process(runtime: Runtime, plan: dict[str, Any], failpoints: str) -> subprocess.Popen[str]:
    """A process of its own that launches, so that it can be killed."""
    import json

    path = runtime.home / "plan.json"
    path.write_text(json.dumps(plan))
    program = DAEMON.format(repository=str(REPOSITORY), plan=str(path), home=str(runtime.home))
    environment = {**os.environ, "DOCKET_FAILPOINTS": failpoints}
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("step", ["cgroup.limit", "init.clone", "rootfs.overlay", "process.user", "evidence.read"])
def test_a_daemon_that_dies_during_a_launch(runtime: Runtime, step: str) -> None:
    """The shim sees it before the command is executed, and takes everything back."""
    plan = runtime.plan("sleep", "100")
    daemon = daemon_process(runtime, plan, f"{step}=delay(700)")
    container = runtime.containers[plan["container_id"]]
    eventually(lambda: runtime.cgroup(container).exists() and with_lock(container))
    if step not in ("cgroup.limit", "init.clone"):
        eventually(lambda: runtime.cgroup(container).pids())
    daemon.kill()
    daemon.wait()
    assert daemon.stdout is not None
    daemon.stdout.close()
    eventually(container.lock_is_free)
    nothing_of(runtime, plan)
    assert runtime.supervisor.adopt(container.id, str(container.directory)) == []


def with_lock(container: Any) -> bool:
    return (container.directory / "shim.lock").exists() and not container.lock_is_free()


def test_a_daemon_that_dies_after_a_launch(runtime: Runtime) -> None:
    """kill -9 of daemon and spawner: the container runs on and can be adopted."""
    plan = runtime.plan("sh", "-c", "while :; do echo x; sleep 0.02; done")
    daemon = daemon_process(runtime, plan, "")
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "launched\n"
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    container = runtime.containers[plan["container_id"]]
    size = container.log.stat().st_size
    eventually(lambda: container.log.stat().st_size > size)
    assert runtime.supervisor.adopt(container.id, str(container.directory))[-1]["type"] == "adopted"
    runtime.supervisor.signal(container.id, 9)
    assert container.wait()["exit_code"] == 137


def test_two_daemons_cannot_launch_one_container(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    assert not container.lock_is_free()


# --- workers -----------------------------------------------------------------------------------------------------


def test_jobs_that_nobody_knows(runtime: Runtime) -> None:
    with pytest.raises(EngineError, match="knows no job 'nosuch'"):
        runtime.supervisor.run_job("nosuch", {})


def test_errors_of_a_job_come_back(runtime: Runtime) -> None:
    with pytest.raises(OSError, match="no empty") as caught:
        runtime.supervisor.run_job("container.sweep", {"cgroup_path": "a/../b"})
    assert caught.value.errno == 22


def test_a_worker_that_dies_is_an_error() -> None:
    with running_runtime("cgroup.kill=kill") as runtime:
        with pytest.raises(EngineError, match="ended before it was done"):
            runtime.supervisor.run_job("container.sweep", {"cgroup_path": f"{runtime.parent}/none"})


# --- what it costs -----------------------------------------------------------------------------------------------


@pytest.mark.deadline(120)
def test_idle_shims_are_small(runtime: Runtime) -> None:
    """At most 2 MB of proportional memory each, with 20 of them."""
    containers = [runtime.start("sleep", "1000") for _ in range(20)]
    total_kib = 0
    for container in containers:
        text = Path(f"/proc/{container.shim_pid()}/smaps_rollup").read_text()
        total_kib += int(text.partition("\nPss:")[2].split()[0])
    assert total_kib / 20 <= 2048, f"{total_kib / 20:.0f} KiB"


def test_no_process_of_the_engine_is_left(runtime: Runtime) -> None:
    container = runtime.start("true")
    container.wait()
    runtime.supervisor.close()
    eventually(lambda: not processes_of(runtime.home))
    runtime.supervisor = runtime.connect()


def test_a_connection_that_ends_is_no_lost_shim(runtime: Runtime) -> None:
    """What counts is the lock: a shim that lives is connected to again."""
    container = runtime.start("sleep", "1000")
    link = runtime.supervisor._links.of(container.id)
    link._socket.shutdown(socket.SHUT_RDWR)
    eventually(lambda: runtime.supervisor._links.get(container.id) not in (None, link))
    assert runtime.exec(container, "echo", "x").out == "x\n"
    assert not container.of_type("lost")


def test_kill_of_a_shim_while_its_launcher_works() -> None:
    """The launcher dies with its shim, the init by the end of the handshake; the supervisor takes back the rest."""
    with running_runtime("evidence.read=delay(5000)") as runtime:
        plan = runtime.plan("sleep", "100")
        failures: list[LaunchFailed] = []

        def launch() -> None:
            try:
                runtime.launch(plan)
            except LaunchFailed as error:
                failures.append(error)

        thread = threading.Thread(target=launch)
        thread.start()
        container = runtime.containers[plan["container_id"]]
        eventually(lambda: runtime.cgroup(container).exists() and runtime.cgroup(container).pids())
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if _name(int(pid)) == "docket-shim" and _has_open(int(pid), container.directory / "shim.lock"):
                os.kill(int(pid), signal.SIGKILL)
        thread.join(10)
        assert len(failures) == 1 and "shim ended during the launch" in str(failures[0])
        nothing_of(runtime, plan)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _has_open(pid: int, path: Path) -> bool:
    try:
        return str(path) in [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return False
