"""Containers that runc makes, under our shim: the same commands, and evidence from the kernel."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from engine.kernel import cgroups

from support.engine import Engine, docket_command
from support.terminal import Terminal
from support.waiting import eventually

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("runc") is None, reason="no runc here: install Debian's package runc"),
]
RUN = ("run", "--runtime", "runc", "--network", "none")


def test_a_life_under_runc(engine: Engine) -> None:
    script = "trap 'echo term; exit 7' TERM; id -u; echo $A; while :; do sleep 0.05; done"
    flags = ("-d", "--name", "web", "-m", "64m", "--pids-limit", "50", "-u", "user", "-e", "A=b", "-v", "data:/etc")
    engine.docket(*RUN, *flags, "base", "sh", "-c", script)
    eventually(lambda: engine.docket("logs", "web").stdout == "1000\nb\n")
    evidence = engine.trail("web")[-1]["data"]["evidence"]
    assert evidence["oci_runtime"]["path"].endswith("runc") and evidence["seccomp_mode"] == 2
    assert evidence["seccomp_profile"].startswith("sha256:") and evidence["user"]["uid"] == 1000
    assert evidence["limits"].get("pids.max") == "50" and evidence["capabilities"]["effective"] == []
    assert "/etc" in [bind[1] for bind in evidence["binds"]]
    done = engine.docket("exec", "web", "sh", "-c", "id -un; cat /proc/1/comm; grep Seccomp: /proc/self/status")
    assert done.stdout.split() == ["user", "sh", "Seccomp:", "2"], "a fresh volume was filled from the image"
    engine.docket("pause", "web")
    assert engine.inspect("web")["State"]["Status"] == "paused"
    engine.docket("unpause", "web")
    engine.docket("update", "--pids-limit", "40", "web")
    assert engine.docket("exec", "web", "cat", "/sys/fs/cgroup/pids/pids.max", check=False).stdout in ("40\n", "")
    assert "64MiB" in engine.docket("stats", "--no-stream", "--format", "{{json .}}", "web").stdout
    assert engine.inspect("web")["HostConfig"]["Runtime"] == "runc"
    engine.docket("stop", "web")
    assert engine.inspect("web")["State"]["ExitCode"] == 7
    engine.docket("start", "web")
    folder = engine.root / "containers" / engine.inspect("web")["Id"]
    assert (folder / "oci-runtime").is_dir()
    engine.docket("rm", "-f", "web")
    assert not folder.exists()


def test_a_terminal_and_failures(engine: Engine) -> None:
    words = [*docket_command(), *RUN, "-it", "--rm", "base", "sh", "-c", "tty; read line; echo got $line; exit 4"]
    with Terminal(words, engine.environment()) as terminal:
        terminal.expect(b"/dev/pts/0")
        terminal.type(b"hello\r")
        terminal.expect(b"got hello")
        assert terminal.end() == 4
    assert "executable file not found" in engine.refused(*RUN, "--rm", "base", "no-such", code=127)
    assert engine.docket(*RUN, "--rm", "base", "true").returncode == 0


@pytest.mark.skipif(shutil.which("crun") is None, reason="no crun here: install Debian's package crun")
def test_a_life_under_crun(stopped_engine: Engine, rootfs: Path) -> None:
    engine = stopped_engine
    if cgroups.detect().mode == "hybrid":  # which Debian's crun refuses
        (engine.home / "empty").mkdir()
        engine.covers = {str(cgroups.detect().unified): engine.home / "empty"}
    engine.start()
    engine.docket("import", str(rootfs), "base")
    run = ("run", "--runtime", "crun", "--network", "none")
    engine.docket(*run, "-d", "--name", "web", "-m", "64m", "-u", "user", "base", "sh", "-c", "read line; sleep 9")
    evidence = engine.trail("web")[-1]["data"]["evidence"]
    assert evidence["oci_runtime"]["path"].endswith("crun") and evidence["seccomp_mode"] == 2
    assert engine.docket("exec", "web", "id", "-un").stdout == "user\n"
    engine.docket("rm", "-f", "web")
    words = [*docket_command(), *run, "-it", "--rm", "base", "sh", "-c", "tty; exit 4"]
    with Terminal(words, engine.environment()) as terminal:
        terminal.expect(b"/dev/pts/0")
        assert terminal.end() == 4
    assert "not found" in engine.refused(*run, "--rm", "base", "no-such", code=127)


def test_a_shim_that_dies_leaves_what_the_next_start_cleans_up(own_engine: Engine) -> None:
    engine = own_engine
    engine.docket(*RUN, "-d", "--name", "web", "base", "sleep", "1000")
    pid = engine.inspect("web")["State"]["Pid"]
    shims = engine.shim_pids()
    engine.kill()
    for shim in shims:
        os.kill(shim, signal.SIGKILL)
    engine.start()
    eventually(lambda: engine.inspect("web")["State"]["Status"] == "exited")
    assert not engine.docket("top", "web", check=False).stdout
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
    engine.docket("start", "web")
    assert engine.docket("exec", "web", "echo", "again").stdout == "again\n"
    engine.docket("rm", "-f", "web")


def test_info_and_what_there_is_not(engine: Engine) -> None:
    assert "runc" in engine.docket("info", "--format", "{{json .Runtimes}}").stdout
    refused = engine.refused("run", "--runtime", "kata", "base", "true", code=125)
    assert "unknown or invalid runtime name: kata" in refused
    assert engine.api("POST", "/containers/create", {"Image": "base", "HostConfig": {"Runtime": "kata"}}).status == 400
