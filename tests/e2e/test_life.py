"""A container's life by the command line: create, run, stop, start, kill, pause, wait, restart, rename, rm."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest

from support.engine import Engine
from support.waiting import eventually

pytestmark = pytest.mark.kernel


def status(engine: Engine, name: str) -> str:
    return engine.inspect(name)["State"]["Status"]


def test_run_prints_and_passes_the_exit_code_on(engine: Engine) -> None:
    done = engine.docket(
        "run", "--rm", "--network", "none", "base", "sh", "-c", "echo out; echo err >&2; exit 7", check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert engine.docket("ps", "-aq").stdout == ""


def test_the_default_network_is_a_bridge(engine: Engine) -> None:
    done = engine.docket("run", "--rm", "base", "ls", "/sys/class/net")
    assert (done.stdout.split(), done.stderr) == (["eth0", "lo"], "")


def test_run_detached_prints_the_whole_id(engine: Engine) -> None:
    container_id = engine.run("-d", "--name", "web", "base", "sleep", "100").strip()
    assert re.fullmatch("[0-9a-f]{64}", container_id)
    assert engine.inspect("web")["Id"] == container_id
    assert status(engine, container_id[:6]) == "running"


def test_a_name_is_generated_in_dockers_form(engine: Engine) -> None:
    engine.run("-d", "base", "sleep", "100")
    (name,) = engine.docket("ps", "--format", "{{.Names}}").stdout.split()
    assert re.fullmatch(r"[a-z]+_[a-z]+\d*", name)


def test_create_start_wait(engine: Engine) -> None:
    engine.docket("create", "--network", "none", "--name", "job", "base", "sh", "-c", "exit 3")
    assert status(engine, "job") == "created"
    assert engine.docket("start", "job").stdout == "job\n"
    assert engine.docket("wait", "job").stdout == "3\n"
    state = engine.inspect("job")["State"]
    assert (state["Status"], state["ExitCode"], state["Running"], state["Pid"]) == ("exited", 3, False, 0)
    assert engine.docket("wait", "job").stdout == "3\n", "waiting for what has ended answers at once"


def test_start_attached_shows_the_output_again(engine: Engine) -> None:
    engine.docket("create", "--network", "none", "--name", "job", "base", "sh", "-c", "echo again; exit 5")
    for _ in range(2):
        done = engine.docket("start", "-a", "job", check=False)
        assert (done.stdout, done.returncode) == ("again\n", 5)


def test_stop_sends_the_stop_signal_first(engine: Engine) -> None:
    script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    engine.run("-d", "--name", "polite", "base", "sh", "-c", script)
    eventually(lambda: "ready" in engine.docket("logs", "polite").stdout)
    assert engine.docket("stop", "-t", "20", "polite").stdout == "polite\n"
    assert engine.inspect("polite")["State"]["ExitCode"] == 9
    assert engine.docket("logs", "polite").stdout == "ready\nbye\n"


def test_stop_kills_after_the_timeout(engine: Engine) -> None:
    engine.run("-d", "--name", "deaf", "base", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    begun = time.monotonic()
    engine.docket("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - begun < 8
    assert engine.inspect("deaf")["State"]["ExitCode"] == 137
    types = engine.event_types("deaf")
    assert types.index("container.stopping") < types.index("container.exited")


def test_stopping_what_is_stopped_succeeds(engine: Engine) -> None:
    engine.run("--name", "done", "base", "true")
    assert engine.docket("stop", "done").returncode == 0


def test_start_keeps_the_writable_layer(engine: Engine) -> None:
    engine.run("--name", "count", "base", "sh", "-c", "echo x >>/count; wc -l </count")
    engine.docket("start", "-a", "count")
    assert engine.docket("logs", "count").stdout.split() == ["1", "2"]


def test_restart_gives_a_new_process(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    before = engine.inspect("web")
    engine.docket("restart", "-t", "0", "web")
    after = engine.inspect("web")
    assert after["Id"] == before["Id"]
    assert after["State"]["Status"] == "running"
    assert after["State"]["Pid"] != before["State"]["Pid"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]


def test_kill_sends_the_signal_that_was_asked_for(engine: Engine) -> None:
    script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done"
    engine.run("-d", "--name", "hup", "base", "sh", "-c", script)
    eventually(lambda: "ready" in engine.docket("logs", "hup").stdout)
    engine.docket("kill", "-s", "HUP", "hup")
    eventually(lambda: "hup" in engine.docket("logs", "hup").stdout)
    assert status(engine, "hup") == "running"
    engine.docket("kill", "hup")
    assert engine.docket("wait", "hup").stdout == "137\n"


def test_pause_freezes_and_unpause_thaws(engine: Engine) -> None:
    engine.run("-d", "--name", "tick", "base", "sh", "-c", "while :; do echo tick; sleep 0.02; done")
    eventually(lambda: engine.docket("logs", "tick").stdout)
    engine.docket("pause", "tick")
    assert status(engine, "tick") == "paused"
    settled = eventually(lambda: _settled(engine))
    assert engine.docket("ps", "--format", "{{.Status}}").stdout.strip().endswith("(Paused)")
    assert "unpause" in engine.refused("exec", "tick", "true")
    engine.docket("unpause", "tick")
    eventually(lambda: len(engine.docket("logs", "tick").stdout) > settled)


def _settled(engine: Engine) -> int:
    first = len(engine.docket("logs", "tick").stdout)
    time.sleep(0.1)
    return first if len(engine.docket("logs", "tick").stdout) == first else 0


def test_rm_refuses_what_runs_and_forces_it(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    assert "running" in engine.refused("rm", "web")
    assert engine.docket("rm", "-f", "web").stdout == "web\n"
    assert "No such container: web" in engine.refused("inspect", "--type", "container", "web")


def test_rename(engine: Engine) -> None:
    engine.run("-d", "--name", "one", "base", "sleep", "100")
    engine.docket("rename", "one", "two")
    assert engine.inspect("two")["Name"] == "/two"
    engine.refused("inspect", "one")


def test_ps_lists_and_filters(engine: Engine) -> None:
    engine.run("-d", "--name", "up", "--label", "tier=web", "base", "sleep", "100")
    engine.run("--name", "down", "base", "false", check=False)
    assert engine.docket("ps", "--format", "{{.Names}}").stdout.split() == ["up"]
    assert engine.docket("ps", "-a", "--format", "{{.Names}}").stdout.split() == ["down", "up"]
    assert engine.docket("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}").stdout == "down\n"
    assert engine.docket("ps", "-a", "--filter", "label=tier=web", "--format", "{{.Names}}").stdout == "up\n"
    assert engine.docket("ps", "-a", "--filter", "name=^up$", "-q").stdout.strip() == engine.inspect("up")["Id"][:12]
    header = engine.docket("ps", "-a").stdout.splitlines()[0]
    assert header.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    rows = [json.loads(line) for line in engine.docket("ps", "-a", "--format", "json").stdout.splitlines()]
    assert {row["Names"]: row["State"] for row in rows} == {"up": "running", "down": "exited"}
    assert "Exited (1)" in {row["Names"]: row["Status"] for row in rows}["down"]


def test_the_first_unique_characters_of_an_id_do(engine: Engine) -> None:
    ids = [engine.run("-d", "base", "sleep", "100").strip() for _ in range(3)]
    for container_id in ids:
        length = next(n for n in range(1, 65) if sum(other.startswith(container_id[:n]) for other in ids) == 1)
        assert engine.inspect(container_id[:length])["Id"] == container_id


def test_inspect_by_format(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "-e", "A=b", "base", "sleep", "100")
    assert engine.docket("inspect", "--format", "{{.State.Status}} {{.Name}}", "web").stdout == "running /web\n"
    environment = json.loads(engine.docket("inspect", "-f", "{{json .Config.Env}}", "web").stdout)
    assert "A=b" in environment


def test_inspect_of_the_unknown_prints_an_empty_list(engine: Engine) -> None:
    done = engine.docket("inspect", "nobody", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == []
    assert "nobody" in done.stderr


def test_signals_to_the_client_reach_the_container(engine: Engine) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    client = engine.spawn("run", "--rm", "--network", "none", "--name", "sig", "base", "sh", "-c", script)
    try:
        assert client.stdout is not None and client.stdout.readline() == "ready\n"
        client.send_signal(signal.SIGINT)
        output, _ = client.communicate(timeout=20)
        assert (output, client.returncode) == ("caught\n", 4)
    finally:
        client.kill()
        client.communicate()


def test_standard_input_reaches_the_container_to_its_end(engine: Engine) -> None:
    assert engine.run("--rm", "-i", "base", "wc", "-c", input="x" * 200_000) == "200000\n"


def test_without_i_standard_input_is_empty(engine: Engine) -> None:
    assert engine.run("--rm", "base", "cat", input="ignored") == ""


def test_the_container_survives_the_client(engine: Engine) -> None:
    client = engine.spawn("run", "--network", "none", "--name", "orphan", "base", "sh", "-c", "echo on; sleep 100")
    assert client.stdout is not None and client.stdout.readline() == "on\n"
    client.kill()
    client.communicate()
    assert status(engine, "orphan") == "running"


def test_many_at_once(engine: Engine) -> None:
    clients = [engine.spawn("run", "--rm", "--network", "none", "base", "echo", str(n)) for n in range(12)]
    for number, client in enumerate(clients):
        output, errors = client.communicate(timeout=60)
        assert (output, client.returncode) == (f"{number}\n", 0), errors
    assert engine.docket("ps", "-aq").stdout == ""


def test_two_commands_on_one_container_at_once(engine: Engine) -> None:
    """Eight starts race: exactly one makes the container start, and each is answered."""
    engine.docket("create", "--network", "none", "--name", "race", "base", "sleep", "100")
    clients = [engine.spawn("start", "race") for _ in range(8)]
    for client in clients:
        client.communicate(timeout=60)
    assert engine.event_types("race").count("container.started") == 1
    removals = [engine.spawn("rm", "-f", "race") for _ in range(4)]
    for client in removals:
        client.communicate(timeout=60)
    assert engine.event_types("race").count("container.removed") == 1


def test_prune_removes_what_is_stopped(engine: Engine) -> None:
    engine.run("-d", "--name", "up", "base", "sleep", "100")
    engine.run("--name", "down", "base", "true")
    engine.docket("container", "prune", "-f")
    assert engine.docket("ps", "-a", "--format", "{{.Names}}").stdout == "up\n"


def test_help(engine: Engine) -> None:
    one = engine.docket("run", "--help").stdout
    assert "--hostname" in one and "Usage:" in one
    assert engine.docket("--help", "run").stdout == one


def test_version_and_info(engine: Engine) -> None:
    shown = engine.docket("version").stdout
    assert "Client" in shown and "Server" in shown
    assert engine.docket("version", "--format", "{{.Server.APIVersion}}").stdout.strip() == "1.47"
    assert str(engine.root) in engine.docket("info").stdout
