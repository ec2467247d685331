"""What dies and what lives on: daemon, spawner, shims, all of them, and the whole machine."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.census import processes_of
from support.engine import Engine, docket_command
from support.log_reading import open_intents
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")]

TICK = "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.02; done"


def spawner_pids(engine: Engine) -> list[int]:
    """The engine's processes that are neither daemon nor shim nor of a container: one for shims, one for workers."""
    known = {engine.daemon_pid(), *engine.shim_pids()}
    children = Path(f"/proc/{engine.daemon_pid()}/task/{engine.daemon_pid()}/children").read_text().split()
    found = [int(child) for child in children if int(child) not in known and int(child) in processes_of(engine.home)]
    assert len(found) == 2
    return found


def assert_ps_is_true(engine: Engine) -> None:
    """Each container that ps calls Up has a live first process, and no other has one."""
    for item in engine.api("GET", "/containers/json?all=1").json:
        state = engine.inspect(item["Id"])["State"]
        if item["State"] == "running":
            assert Path(f"/proc/{state['Pid']}/ns/pid").exists()
        else:
            assert state["Pid"] == 0


def test_containers_survive_the_death_of_the_daemon(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "web", "base", "sh", "-c", TICK)
    before = own_engine.inspect("web")["State"]
    eventually(lambda: own_engine.docket("logs", "web").stdout)
    own_engine.kill()
    os.kill(before["Pid"], 0)
    log = Path(own_engine.root / "containers")
    (file,) = log.rglob("*-json.log")
    size = file.stat().st_size
    eventually(lambda: file.stat().st_size > size, what="the shim goes on logging without the daemon")
    own_engine.start()
    after = own_engine.inspect("web")["State"]
    assert (after["Pid"], after["StartedAt"]) == (before["Pid"], before["StartedAt"])
    ticks = [int(line.split()[1]) for line in own_engine.docket("logs", "web").stdout.splitlines()]
    assert ticks == list(range(len(ticks))), "no log line was lost"
    assert own_engine.docket("exec", "web", "echo", "hi").stdout == "hi\n"
    own_engine.docket("stop", "-t", "0", "web")
    assert own_engine.event_types("web").count("container.exited") == 1


def test_an_exit_while_the_daemon_is_dead_is_told_later(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "job", "base", "sh", "-c", "while [ ! -e /v/go ]; do sleep 0.02; done; exit 42",
                   check=True)  # fmt: skip
    pid = own_engine.inspect("job")["State"]["Pid"]
    own_engine.kill()
    Path(f"/proc/{pid}/root/v").mkdir()
    Path(f"/proc/{pid}/root/v/go").touch()
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    own_engine.start()
    state = own_engine.inspect("job")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 42)
    (exited,) = [event for event in own_engine.trail("job") if event["type"] == "container.exited"]
    assert exited["data"]["cause"] == "exit"


def test_an_attached_client_survives_the_daemon(own_engine: Engine) -> None:
    client = own_engine.spawn("run", "--network", "none", "--name", "web", "base", "sh", "-c", TICK)
    assert client.stdout is not None and client.stdout.readline() == "tick 0\n"
    own_engine.kill()
    for number in range(1, 20):
        assert client.stdout.readline() == f"tick {number}\n"
    client.kill()
    client.communicate()
    own_engine.start()
    assert own_engine.inspect("web")["State"]["Status"] == "running"


def test_the_spawner_is_replaced(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "one", "base", "sleep", "100")
    for pid in spawner_pids(own_engine):
        os.kill(pid, signal.SIGKILL)
    assert own_engine.run("--rm", "base", "echo", "again") == "again\n"
    assert own_engine.inspect("one")["State"]["Status"] == "running"


def test_a_container_whose_shim_died_ends_honestly(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "lost", "base", "sh", "-c", "sleep 100 & sleep 100")
    pid = own_engine.inspect("lost")["State"]["Pid"]
    (shim,) = own_engine.shim_pids()
    os.kill(shim, signal.SIGKILL)
    eventually(lambda: own_engine.inspect("lost")["State"]["Status"] == "exited")
    eventually(lambda: not _alive(pid))
    (exited,) = [event for event in own_engine.trail("lost") if event["type"] == "container.exited"]
    assert exited["data"]["cause"] == "shim lost"
    own_engine.docket("start", "lost")
    assert own_engine.inspect("lost")["State"]["Status"] == "running"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_everything_dies_at_once(own_engine: Engine) -> None:
    for number in range(3):
        own_engine.run("-d", "--name", f"c{number}", "base", "sleep", "100")
    pids = [own_engine.inspect(f"c{number}")["State"]["Pid"] for number in range(3)]
    victims = [*spawner_pids(own_engine), *own_engine.shim_pids()]
    own_engine.kill()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    own_engine.start()
    for number in range(3):
        state = own_engine.inspect(f"c{number}")["State"]
        assert (state["Status"], state["Pid"]) == ("exited", 0)
    assert not [pid for pid in pids if _alive(pid)]
    assert open_intents(own_engine.root) == {}
    assert own_engine.docket("audit", "verify").returncode == 0


def test_after_a_reboot_what_ran_is_exited(own_engine: Engine) -> None:
    """A reboot: every process gone, the run folder empty, and the daemon sees another boot id."""
    own_engine.run("-d", "--name", "web", "base", "sleep", "100")
    own_engine.run("-d", "--name", "gone", "--rm", "base", "sleep", "100")
    victims = [*spawner_pids(own_engine), *own_engine.shim_pids()]
    inits = [own_engine.inspect(name)["State"]["Pid"] for name in ("web", "gone")]
    own_engine.kill()
    for victim in [*victims, *inits]:
        os.kill(victim, signal.SIGKILL)
    eventually(lambda: not processes_of(own_engine.home))
    for path in sorted(own_engine.run_folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    own_engine.start(boot_id="11111111-2222-3333-4444-555555555555")
    state = own_engine.inspect("web")["State"]
    assert (state["Status"], state["Running"]) == ("exited", False)
    assert "gone" not in own_engine.docket("ps", "-a", "--format", "{{.Names}}").stdout
    assert open_intents(own_engine.root) == {}
    assert_ps_is_true(own_engine)


def test_a_second_daemon_is_told_so(own_engine: Engine) -> None:
    environment = own_engine.environment(DOCKET_RUN=str(own_engine.home / "run2"))
    second = subprocess.run([*docket_command(), "daemon"], env=environment, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()) == 1
    assert "another docket daemon" in second.stderr and str(own_engine.daemon_pid()) in second.stderr


def test_the_client_starts_a_daemon(stopped_engine: Engine) -> None:
    stopped_engine.names_its_host = False
    try:
        assert stopped_engine.docket("ps", "-q").stdout == ""
        assert stopped_engine.answers()
    finally:
        pid = stopped_engine.daemon_pid()
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not _alive(pid))


def test_clients_that_start_together_start_one_daemon(stopped_engine: Engine) -> None:
    stopped_engine.names_its_host = False
    clients = [stopped_engine.spawn("ps", "-q") for _ in range(6)]
    for client in clients:
        _, errors = client.communicate(timeout=60)
        assert client.returncode == 0, errors
    pid = stopped_engine.daemon_pid()
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not processes_of(stopped_engine.home), what="one daemon, and it has ended")


def test_sigterm_ends_the_daemon_and_leaves_containers(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "web", "base", "sleep", "100")
    pid = own_engine.inspect("web")["State"]["Pid"]
    assert own_engine.stop() == 0
    assert _alive(pid)
    assert not own_engine.socket.exists()
    own_engine.start()
    assert own_engine.inspect("web")["State"]["Pid"] == pid


def test_a_torn_journal_does_not_stop_the_start(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "web", "base", "sleep", "100")
    own_engine.kill()
    (journal,) = (own_engine.root / "containers").rglob("shim.journal")
    with journal.open("ab") as file:
        file.write(b'deadbeef {"type": "exi\0\0\0\0')
    own_engine.start()
    assert own_engine.inspect("web")["State"]["Status"] == "running"
    own_engine.docket("stop", "-t", "0", "web")
    assert own_engine.inspect("web")["State"]["ExitCode"] == 137


def test_a_recycled_pid_is_not_adopted(own_engine: Engine) -> None:
    """Only the lock says that a shim lives: a stranger who got the recorded pid is neither adopted nor killed."""
    own_engine.run("-d", "--name", "web", "base", "sleep", "100")
    pid = own_engine.inspect("web")["State"]["Pid"]
    victims = [*spawner_pids(own_engine), *own_engine.shim_pids(), pid]
    own_engine.kill()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    stranger = process_with_pid(pid)
    try:
        own_engine.start()
        assert own_engine.inspect("web")["State"]["Status"] == "exited"
        assert own_engine.docket("kill", "web", check=False).returncode == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def process_with_pid(pid: int) -> subprocess.Popen[bytes]:
    """A harmless process with this very pid (proc(5), ns_last_pid); others may fork in between, so it tries again."""
    for _ in range(500):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "60"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    raise AssertionError(f"pid {pid} could not be had")


def test_cgroups_that_do_not_go_are_on_record_and_go_with_the_container(own_engine: Engine) -> None:
    own_engine.stop()
    own_engine.start(failpoints="cgroup.remove=error(EBUSY)")
    container_id = own_engine.run("-d", "base", "true").strip()
    assert own_engine.docket("wait", container_id).stdout == "0\n"
    eventually(lambda: own_engine.event_types(container_id)[-2:] == ["container.troubled", "container.exited"])
    trouble = own_engine.trail(container_id)[-2]["data"]
    assert trouble["during"] == "cgroups" and "cgroup.remove" in trouble["reason"]
    own_engine.stop()
    own_engine.start()
    own_engine.docket("rm", container_id)  # and the fixture's census finds nothing


def start_and_kill_at(engine: Engine, step: str) -> Path:
    """A container with a fresh volume is started, and the daemon killed while its start stands at a step of it: the
    volume's folder. The image's /data has a file "of-image"."""
    engine.run("--name", "maker", "base", "sh", "-c", "mkdir /data; echo x >/data/of-image")
    assert engine.api("POST", "/commit?container=maker&repo=filled", {}).status == 201
    engine.stop()
    gate = engine.home / "gate"
    engine.start(failpoints=f"{step}=1*wait({gate})")
    script = "echo x >/data/written; exec sleep 1000"
    words = ["create", "--name", "web", "--network", "none", "-v", "data:/data", "filled", "sh", "-c", script]
    engine.docket(*words)
    command = [*docket_command(), "start", "web"]
    with subprocess.Popen(command, env=engine.environment(), stderr=subprocess.DEVNULL) as client:
        eventually(gate.exists)
        engine.kill()
        gate.unlink()
        client.wait(30)
    return engine.root / "volumes/data/_data"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_copied_into_a_volume_after_a_start_that_was_cut_off_stays(own_engine: Engine) -> None:
    """What the start had filled of the volume is gone before anybody can write there, and not after."""
    volume = start_and_kill_at(own_engine, "volume.fill")
    (volume / "half").write_text("x")
    own_engine.start()
    assert own_engine.event_types("web")[-1] == "container.start_failed" and names(volume) == set()
    file = own_engine.home / "precious"
    file.write_text("x")
    own_engine.docket("cp", str(file), "web:/data/precious")
    own_engine.docket("start", "web")
    eventually(lambda: names(volume) == {"precious", "written"}, what="a volume with something in it is not filled")


def test_what_a_container_wrote_before_its_start_was_on_record_stays(own_engine: Engine) -> None:
    volume = start_and_kill_at(own_engine, "shim.record")
    whole = {"of-image", "written"}
    eventually(lambda: names(volume) == whole, what="the shim goes on with the start")
    own_engine.start()
    assert "container.started" in own_engine.event_types("web") and names(volume) == whole
    assert set(own_engine.run("--rm", "-v", "data:/data", "filled", "ls", "/data").split()) == whole
    own_engine.docket("restart", "-t", "0", "web")
    eventually(lambda: own_engine.inspect("web")["State"]["Running"])
    assert names(volume) == whole and not (volume.parent / "filling").exists()


def test_a_start_that_cannot_be_put_on_record_leaves_nothing(own_engine: Engine) -> None:
    """The disk is full for a moment when it has started: it would run, and the log would say that it failed."""
    full = own_engine.home / "full"
    own_engine.stop()
    own_engine.start(failpoints=f"log.commit=2*off@{full}->1*error(ENOSPC)@{full}")
    own_engine.docket("create", "--name", "web", "-p", "127.0.0.1::80", "base", "sleep", "100")
    own_engine.docket("run", "--rm", "base", "true")
    full.touch()
    assert "No space left on device" in own_engine.docket("start", "web", check=False).stderr
    full.unlink()
    assert own_engine.event_types("web")[-1] == "container.start_failed"
    assert not own_engine.shim_pids() and not open_intents(own_engine.root)
    own_engine.docket("start", "web")
    own_engine.docket("rm", "-f", "web")


def test_the_umask_of_who_starts_the_daemon_is_not_the_containers(own_engine: Engine) -> None:
    own_engine.stop()
    previous = os.umask(0o077)
    try:
        own_engine.start()
    finally:
        os.umask(previous)
    made = own_engine.home / "made"
    words = ("-u", "1000", "-v", f"{made}:/made", "base", "sh", "-c", "cat /etc/hosts /etc/resolv.conf && ls /made")
    assert "localhost" in own_engine.run("--rm", *words)
