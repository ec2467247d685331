"""What docket-runtime must not do to others, and what it leaves when it is killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.kernel.cgroups import Cgroup
from support.waiting import eventually

from conftest import Runtime  # type: ignore[import-not-found]

pytestmark = pytest.mark.kernel


@pytest.fixture
def bystander(runtime: Runtime) -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else's in the cgroup that the specification names."""
    cgroup = Cgroup(f"{runtime.cgroup}/one")
    cgroup.create()
    with subprocess.Popen(["sleep", "1000"]) as process:
        cgroup.join(process.pid)
        yield process
        process.kill()
    cgroup.remove()


def test_a_cgroup_of_anothers_is_left_alone(runtime: Runtime, bystander: subprocess.Popen[bytes]) -> None:
    runtime.configure("true")
    assert "file exists" in runtime.refused("create", "--bundle", str(runtime.bundle), "one")
    assert bystander.poll() is None, "it was killed"
    assert runtime("list", "-q") == ""


def test_a_creation_that_was_killed_can_be_deleted(runtime: Runtime) -> None:
    gate = runtime.home / "gate"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {gate}; sleep 1000"]}
    runtime.configure("true", change=lambda spec: spec.update(hooks={"createRuntime": [hook]}))
    with subprocess.Popen(
        [*runtime.command, "create", "--bundle", str(runtime.bundle), "one"], stdin=subprocess.DEVNULL,
        env=runtime.environment, start_new_session=True,
    ) as process:  # fmt: skip
        eventually(gate.exists)
        assert runtime.status() == "creating"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert runtime.status() == "stopped"
    assert "already exists" in runtime.refused("create", "--bundle", str(runtime.bundle), "one")
    runtime("delete", "one")
    runtime.configure("true", change=lambda spec: spec.pop("hooks"))
    assert runtime("run", "--bundle", str(runtime.bundle), "one") == ""
    intents = [record["seq"] for record in runtime.records() if record["phase"] == "intent"]
    closed = [record["facts"]["intent"] for record in runtime.records() if record["phase"] != "intent"]
    assert set(intents) - set(closed) == {1}, "the journal shows the command that was killed"


def test_a_start_that_was_killed_has_started(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000")
    runtime.create()
    state = json.loads((runtime.root / "one" / "state.json").read_text())
    runtime("start", "one")
    (runtime.root / "one" / "state.json").write_text(json.dumps(state))  # as it was when it was killed
    assert runtime.status() == "running"
    assert "that is running" in runtime.refused("start", "one")


def test_two_starts_are_one(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000")
    runtime.create()
    with subprocess.Popen([*runtime.command, "start", "one"], env=runtime.environment, stderr=subprocess.PIPE) as first:
        second = runtime.complete("start", "one").returncode
        assert sorted([first.wait(), second]) == [0, 1]


def test_processes_that_outlive_the_first_go_with_the_container(runtime: Runtime) -> None:
    def shared(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = [one for one in spec["linux"]["namespaces"] if one["type"] != "pid"]

    runtime.configure("sh", "-c", "sleep 1000 & echo $!", change=shared)
    output = runtime.create()
    runtime("start", "one")
    eventually(lambda: runtime.status() == "stopped")
    left = int(output.read_text())
    runtime("delete", "one")
    eventually(lambda: not Path(f"/proc/{left}").exists() or "Z" in Path(f"/proc/{left}/stat").read_text())


def test_deleting_what_is_not_there(runtime: Runtime) -> None:
    assert "does not exist" in runtime.refused("delete", "nobody")
    assert runtime("delete", "--force", "nobody") == ""
    assert not (runtime.root / "journal").exists(), "nothing was done"


def test_nothing_on_disk_is_for_others(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000", change=lambda spec: spec["process"]["env"].append("SECRET=x"))
    runtime.create()
    for path in [runtime.root / "journal", *(runtime.root / "one").iterdir()]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_a_pid_file_follows_no_link(runtime: Runtime) -> None:
    runtime.configure("true")
    victim = runtime.home / "victim"
    victim.write_text("kept")
    (runtime.home / "pid").symlink_to(victim)
    for name in ("pid.new", ".pid.new"):
        (runtime.home / name).symlink_to(victim)
    words = ("create", "--bundle", str(runtime.bundle), "--pid-file", str(runtime.home / "pid"), "one")
    runtime(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert victim.read_text() == "kept" and (runtime.home / "pid").read_text().isdigit()


def test_names_that_are_taken_by_the_runtime_itself(runtime: Runtime) -> None:
    runtime.configure("true")
    for name in ("journal", ".seccomp"):
        assert "reserved" in runtime.refused("create", "--bundle", str(runtime.bundle), name)


def test_warnings_stay_out_of_the_container_s_output(runtime: Runtime) -> None:
    def beyond(spec: dict[str, Any]) -> None:
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2**40, "hard": 2**40}]
        spec["linux"]["resources"]["memory"] = {"kernel": 1 << 30}

    runtime.configure("true", change=beyond)
    log = runtime.home / "log"
    output = runtime.create(flags=["--log", str(log), "--log-format", "json"])
    assert output.read_text() == ""
    assert "kernel memory" in log.read_text()


def test_a_signal_from_before_the_container_reaches_it(runtime: Runtime) -> None:
    gate = runtime.home / "gate"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {gate}; sleep 0.2"]}

    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {"createRuntime": [hook]}
        spec["linux"]["namespaces"] = [one for one in spec["linux"]["namespaces"] if one["type"] != "pid"]

    runtime.configure("sleep", "20", change=change)
    with subprocess.Popen(
        [*runtime.command, "run", "--bundle", str(runtime.bundle), "one"], env=runtime.environment,
        stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        eventually(gate.exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 143
    assert runtime("list", "-q") == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["state", "a", "b"], "unexpected argument"),
        (["create", "--no-pivot", "x"], "--no-pivot is not supported"),
        (["run", "--preserve-fds", "many", "x"], "invalid value"),
        (["kill", "x", "SIGFLY"], "unknown signal"),
        (["list", "--format", "xml"], "invalid format"),
        (["update", "--memory", "much", "x"], "not a size"),
        (["events", "--interval", "soon", "x"], "not a time"),
        (["start"], "a container id is needed"),
    ],
)
def test_words_that_mean_nothing_are_refused(runtime: Runtime, words: list[str], message: str) -> None:
    assert message in runtime.refused(*words)
