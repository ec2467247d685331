"""Logs in Docker's format, followed and cut; more processes in a running container."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from support.engine import Engine, docket_command
from support.waiting import eventually

pytestmark = pytest.mark.kernel


def test_logs_keep_streams_apart(engine: Engine) -> None:
    engine.run("--name", "both", "base", "sh", "-c", "echo out; echo err >&2")
    done = engine.docket("logs", "both")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_the_log_file_is_dockers_json(engine: Engine) -> None:
    engine.run("--name", "one", "base", "sh", "-c", "printf 'no newline'")
    lines = Path(engine.inspect("one")["LogPath"]).read_text().splitlines()
    (entry,) = [json.loads(line) for line in lines]
    assert (entry["log"], entry["stream"]) == ("no newline", "stdout")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", entry["time"])


def test_tail_timestamps_and_since(engine: Engine) -> None:
    engine.run("--name", "five", "base", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done")
    assert engine.docket("logs", "--tail", "2", "five").stdout == "4\n5\n"
    stamped = engine.docket("logs", "-t", "--tail", "1", "five").stdout
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+Z 5\n", stamped)
    assert engine.docket("logs", "--since", "1h", "five").stdout == "1\n2\n3\n4\n5\n"
    assert engine.docket("logs", "--since", str(int(time.time()) + 60), "five").stdout == ""
    assert engine.docket("logs", "--until", "1h", "five").stdout == ""


def test_follow_ends_with_the_container(engine: Engine) -> None:
    engine.run("-d", "--name", "slow", "base", "sh", "-c", "echo first; read line; echo last", input="")
    client = engine.spawn("logs", "-f", "slow")
    output, _ = client.communicate(timeout=20)
    assert output.splitlines()[0] == "first"
    assert client.returncode == 0


def test_follow_shows_what_comes(engine: Engine) -> None:
    script = "echo one; while [ ! -e /go ]; do sleep 0.02; done; echo two"
    engine.run("-d", "--name", "talk", "base", "sh", "-c", script)
    client = engine.spawn("logs", "-f", "talk")
    assert client.stdout is not None
    assert client.stdout.readline() == "one\n"
    engine.docket("exec", "talk", "touch", "/go")
    assert client.communicate(timeout=20)[0] == "two\n"


def test_long_lines_and_much_output(engine: Engine) -> None:
    engine.run("--name", "long", "base", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo")
    assert engine.docket("logs", "long").stdout == "x" * 100_000 + "\n"
    engine.run("--name", "much", "base", "sh", "-c", "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done")
    assert engine.docket("logs", "much").stdout.splitlines() == [f"line {n}" for n in range(5000)]


def test_a_client_that_hangs_up_does_not_stop_the_container(engine: Engine) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; echo end"
    client = engine.spawn("run", "--network", "none", "--name", "chatty", "base", "sh", "-c", script)
    assert client.stdout is not None and client.stdout.readline()
    client.kill()
    client.communicate()
    eventually(lambda: engine.docket("logs", "--tail", "1", "chatty").stdout == "end\n", timeout_s=30)
    assert engine.docket("wait", "chatty").stdout == "0\n"


def test_logs_are_bounded_and_followed_across_rotations(engine: Engine) -> None:
    command = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
    engine.run("-d", "--name", "much", "--log-opt", "max-size=4k", "--log-opt", "max-file=100",
               "base", "sh", "-c", f"sleep 0.3; {command}")  # fmt: skip
    follower = engine.spawn("logs", "-f", "much")
    engine.docket("wait", "much")
    assert follower.communicate(timeout=30)[0] == engine.docket("logs", "much").stdout
    assert engine.docket("logs", "--tail", "200", "much").stdout.splitlines()[0] == "line 2800"
    engine.run("--name", "little", "--log-opt", "max-size=4k", "--log-opt", "max-file=2", "base", "sh", "-c", command)
    files = list(Path(engine.inspect("little")["LogPath"]).parent.glob("*-json.log*"))
    assert len(files) == 2 and sum(file.stat().st_size for file in files) <= 2 * 4000
    kept = engine.docket("logs", "little").stdout.splitlines()
    assert kept[-1] == "line 2999" and len(kept) < 200


def test_log_drivers_and_details(engine: Engine) -> None:
    assert engine.run("--name", "none", "--log-driver", "none", "base", "echo", "hi") == "hi\n"
    assert "configured logging driver does not support reading" in engine.refused("logs", "none")
    engine.run("--name", "local", "--log-driver", "local", "base", "echo", "hi")
    assert engine.docket("logs", "local").stdout == "hi\n" and engine.inspect("local")["LogPath"] == ""
    engine.run("--name", "named", "--label", "tier=web", "--log-opt", "labels=tier", "base", "echo", "hi")
    assert engine.docket("logs", "--details", "named").stdout == "tier=web hi\n"
    assert engine.docker("logs", "--details", "named").stdout == "tier=web hi\n"


def test_exec_joins_namespaces_and_cgroups(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    script = "for n in mnt pid uts ipc net cgroup; do readlink /proc/self/ns/$n; readlink /proc/1/ns/$n; done"
    shown = engine.docket("exec", "web", "sh", "-c", script).stdout.split()
    assert shown[0::2] == shown[1::2] and len(shown) == 12
    own = engine.docket("exec", "web", "cat", "/proc/self/cgroup").stdout
    assert own == engine.docket("exec", "web", "cat", "/proc/1/cgroup").stdout
    assert "exec.exited" in engine.event_types("web")


def test_exec_passes_code_streams_and_options(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "-e", "FROM=container", "base", "sleep", "100")
    done = engine.docket("exec", "web", "sh", "-c", "echo out; echo err >&2; exit 6", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 6)
    script = "echo $FROM $X; pwd; id -u"
    shown = engine.docket("exec", "-e", "X=y", "-w", "/tmp", "-u", "1000", "web", "sh", "-c", script).stdout
    assert shown.split() == ["container", "y", "/tmp", "1000"]
    assert engine.docket("exec", "-i", "web", "cat", input="through").stdout == "through"


def test_exec_has_the_containers_limits(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    shown = engine.docket("exec", "web", "grep", "-E", "CapEff|Seccomp:|NoNewPrivs", "/proc/self/status").stdout
    inner = engine.docket("exec", "web", "grep", "-E", "CapEff|Seccomp:|NoNewPrivs", "/proc/1/status").stdout
    assert shown == inner


def test_exec_detached_and_its_errors(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    engine.docket("exec", "-d", "web", "touch", "/made")
    eventually(lambda: engine.docket("exec", "web", "ls", "/made", check=False).returncode == 0)
    missing = engine.docket("exec", "web", "no-such-program", check=False)
    assert missing.returncode == 127 and "no-such-program" in missing.stderr
    assert engine.docket("exec", "web", "/etc/passwd", check=False).returncode == 126
    engine.docket("kill", "web")
    engine.docket("wait", "web")
    assert "not running" in engine.refused("exec", "web", "true")


def test_execs_end_with_their_container(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    client = engine.spawn("exec", "web", "sleep", "100")
    eventually(lambda: len(engine.docket("top", "web").stdout.splitlines()) == 3)
    engine.docket("kill", "web")
    client.communicate(timeout=20)
    assert client.returncode == 137


def test_top_shows_the_hosts_pids(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    header, row = engine.docket("top", "web").stdout.splitlines()
    assert header.split()[:2] == ["UID", "PID"]
    assert row.split()[1] == str(engine.inspect("web")["State"]["Pid"])


def test_the_daemon_keeps_no_descriptors(engine: Engine) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{engine.daemon_pid()}/fd"))

    def round_trip() -> None:
        engine.run("-d", "--name", "web", "base", "sleep", "100")
        engine.docket("exec", "web", "true")
        engine.docket("logs", "web")
        engine.docket("rm", "-f", "web")

    round_trip()
    before = descriptors()
    for _ in range(8):
        round_trip()
    eventually(lambda: descriptors() <= before + 3)


@pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")
def test_an_exec_that_is_frozen_in_its_set_up_did_not_start(own_engine: Engine) -> None:
    """And doesn't when the container goes on: what is on record as failed has never run."""
    shared = own_engine.home / "shared"  # a step of an exec that has entered the container looks for files there
    shared.mkdir()
    own_engine.stop()
    own_engine.start(failpoints=f"process.capabilities=delay(2000)@{shared}/armed")
    own_engine.run("-d", "--name", "web", "-v", f"{shared}:{shared}", "base", "sleep", "1000")
    (shared / "armed").touch()
    command = [*docket_command(), "exec", "web", "touch", "/ran"]
    began_s = time.monotonic()
    with subprocess.Popen(command, env=own_engine.environment(), stderr=subprocess.PIPE, text=True) as client:
        eventually(lambda: "exec.starting" in own_engine.event_types("web"))
        time.sleep(0.5)
        own_engine.docket("pause", "web")
        (shared / "armed").unlink()
        _, said = client.communicate(timeout=40)
    assert client.returncode != 0 and "is paused, unpause the container before exec" in said
    assert time.monotonic() - began_s < 10
    own_engine.docket("unpause", "web")
    time.sleep(2.5)
    assert own_engine.docket("exec", "web", "ls", "/ran", check=False).returncode != 0
    assert [kind for kind in own_engine.event_types("web") if kind.startswith("exec.")][:3] == [
        "exec.created", "exec.starting", "exec.start_failed",
    ]  # fmt: skip
    assert own_engine.docket("audit", "verify").returncode == 0
