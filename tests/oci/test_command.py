"""docket-runtime, verb by verb, as containerd and a user call it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.kernel import apparmor
from engine.runtime import command_journal
from support.sources import REPOSITORY
from support.waiting import eventually

from conftest import Runtime  # type: ignore[import-not-found]

pytestmark = pytest.mark.kernel


def test_run_in_the_foreground(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "echo out; echo $$; hostname; exit 3")
    assert runtime("run", "--bundle", str(runtime.bundle), "one", code=3).split() == ["out", "1", "docket"]
    assert runtime("list", "-q") == "", "it is gone"
    said = [(record["verb"], record["phase"]) for record in runtime.records()]
    assert said == [("run", "intent"), ("run", "done"), ("end", "intent"), ("end", "done")]


def test_a_life_in_steps(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "trap 'echo term; exit 7' TERM; echo began; while :; do sleep 0.05; done")
    output = runtime.create()
    state = json.loads(runtime("state", "one"))
    assert state["status"] == "created" and state["ociVersion"] == "1.2.0" and state["bundle"] == str(runtime.bundle)
    assert not os.path.samefile(f"/proc/{state['pid']}/exe", sys.executable), "nothing of the host's is in sight"
    assert output.read_text() == "", "nothing runs before its start"
    runtime("start", "one")
    eventually(lambda: output.read_text() == "began\n")
    assert runtime.status() == "running"
    assert "cannot start a container that is running" in runtime.refused("start", "one")
    assert "not stopped" in runtime.refused("delete", "one")
    runtime("pause", "one")
    assert runtime.status() == "paused"
    runtime("resume", "one")
    assert str(state["pid"]) in runtime("ps", "--format", "json", "one")
    runtime("kill", "one", "TERM")
    eventually(lambda: runtime.status() == "stopped")
    assert output.read_text() == "began\nterm\n"
    runtime("delete", "one")
    assert "does not exist" in runtime.refused("state", "one")
    verbs = ["create", "start", "pause", "resume", "kill", "delete"]
    records = runtime.records()
    assert [record["verb"] for record in records if record["phase"] == "done"] == verbs
    assert [record["verb"] for record in records if record["phase"] == "failed"] == ["start", "delete"]
    assert [record["phase"] for record in records[::2]] == ["intent"] * 8, "each before its outcome"
    assert records[1]["facts"]["evidence"]["namespaces"]["pid"] != os.stat("/proc/self/ns/pid").st_ino


@pytest.mark.parametrize(("flags", "again"), [(["-IS"], False), ([], True)])
def test_the_interpreter_is_hidden_in_place_or_starts_again(runtime: Runtime, flags: list[str], again: bool) -> None:
    """CVE-2019-5736. Where it is started without -I the environment may say what is imported: it starts once more."""
    runtime.configure("true")
    program = str(REPOSITORY / "scripts" / "docket-runtime")
    words = [sys.executable, *flags, program, "--root", str(runtime.root), "create", "--bundle", str(runtime.bundle)]
    subprocess.run([*words, "one"], env=runtime.environment, stdin=subprocess.DEVNULL, check=True)
    exe = Path("/proc", str(json.loads(runtime("state", "one"))["pid"]), "exe")
    assert exe.read_bytes()[:4] == b"\x7fELF"[: 4 if again or not _is_shared() else 0]
    assert not exe.samefile(sys.executable) and runtime.status() == "created"
    with pytest.raises(OSError, match="Read-only file system" if exe.stat().st_size else "Text file busy"):
        exe.open("r+b")


def _is_shared() -> bool:
    """Whether this Python is a doorstep to libpython: another one can't be hidden in place."""
    return "/libpython" in Path("/proc/self/maps").read_text()


def test_a_process_more(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000")
    runtime.create()
    runtime("start", "one")
    script = "id -u; pwd; echo $A; grep CapEff /proc/self/status; exit 5"
    shown = runtime("exec", "--user", "1000:1000", "--cwd", "/tmp", "--env", "A=b", "one", "sh", "-c", script, code=5)
    assert shown.split()[:3] == ["1000", "/tmp", "b"]
    assert "executable file not found" in runtime.refused("exec", "one", "no-such-program", code=255)
    process = runtime.home / "process.json"
    process.write_text(json.dumps({"args": ["sh", "-c", "echo from a file"], "cwd": "/", "env": ["PATH=/bin"],
                                   "user": {"uid": 0, "gid": 0}}))  # fmt: skip
    pid_file = runtime.home / "pid"
    runtime("exec", "--process", str(process), "--detach", "--pid-file", str(pid_file), "one")
    assert pid_file.read_text().isdigit()


def test_limits_are_the_specifications_and_change(runtime: Runtime) -> None:
    def limit(spec: dict[str, Any]) -> None:
        spec["linux"]["resources"] |= {"pids": {"limit": 17}, "memory": {"limit": 64 << 20}}

    runtime.configure("sleep", "1000", change=limit)
    runtime.create()
    runtime("start", "one")
    read = ("exec", "one", "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; exit 0")
    assert runtime(*read).split() == ["17"]
    runtime("update", "--pids-limit", "19", "one")
    assert runtime(*read).split() == ["19"]
    data = json.loads(runtime("events", "--stats", "one"))["data"]
    assert data["memory"]["limit_bytes"] == 64 << 20 and data["pids"]["limit"] == 19


def test_hooks_see_the_state_and_stop_what_they_refuse(runtime: Runtime) -> None:
    log = runtime.home / "hooks"

    def hook(point: str, script: str = "true") -> dict[str, Any]:
        text = f"{script} && echo {point} $(cat) >>{log}"
        return {"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/usr/bin:/bin"]}

    points = ("prestart", "createRuntime", "poststart", "poststop")
    runtime.configure("sleep", "1000", change=lambda spec: spec.update(hooks={one: [hook(one)] for one in points}))
    runtime.create()
    runtime("start", "one")
    runtime("delete", "--force", "one")
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == list(points)
    states = [json.loads(line[1])["status"] for line in lines]
    assert states == ["creating", "creating", "running", "stopped"]
    runtime.configure("true", change=lambda spec: spec.update(hooks={"prestart": [hook("x", "false")]}))
    assert "prestart hook /bin/sh" in runtime.refused("create", "--bundle", str(runtime.bundle), "two")
    assert runtime("list", "-q") == ""


@pytest.mark.parametrize("failpoint", ["kill", "error(EIO)"])
def test_a_creation_that_ends_at_its_hooks_leaves_nothing(runtime: Runtime, failpoint: str) -> None:
    hook = {"path": "/bin/true", "args": ["true"]}
    runtime.configure("true", change=lambda spec: spec.update(hooks={"prestart": [hook]}))
    environment = {"DOCKET_FAILPOINTS": f"hooks.run={failpoint}"}
    done = runtime.complete("create", "--bundle", str(runtime.bundle), "one", environment=environment)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert runtime("list", "-q") == ""
    runtime.create()
    runtime("delete", "--force", "one")


def test_a_terminal_by_a_socket(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "tty; stty size", change=lambda spec: spec["process"].update(
        terminal=True, consoleSize={"height": 33, "width": 99}))  # fmt: skip
    path = runtime.home / "console"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        runtime("create", "--bundle", str(runtime.bundle), "--console-socket", str(path), "one")
        connection, _ = listener.accept()
        with connection:
            _, (master, *_), _, _ = socket.recv_fds(connection, 64, 4)
    runtime("start", "one")
    shown = b""
    try:
        while b"33 99" not in shown:
            shown += os.read(master, 4096)
    finally:
        os.close(master)
    assert shown.startswith(b"/dev/pts/0")


def test_namespaces_by_path(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000")
    runtime.create()
    runtime("start", "one")
    pid = json.loads(runtime("state", "one"))["pid"]

    def join(spec: dict[str, Any]) -> None:
        for entry in spec["linux"]["namespaces"]:
            file = {"network": "net", "ipc": "ipc", "pid": "pid"}.get(entry["type"])
            if file:
                entry["path"] = f"/proc/{pid}/ns/{file}"
        spec["linux"]["cgroupsPath"] = f"/{runtime.cgroup}/two"

    script = "for n in net ipc pid; do readlink /proc/self/ns/$n; done; cat /proc/1/comm"
    runtime.configure("sh", "-c", script, change=join)
    shown = runtime("run", "--bundle", str(runtime.bundle), "two").split()
    assert shown == [*(os.readlink(f"/proc/{pid}/ns/{file}") for file in ("net", "ipc", "pid")), "sleep"]


def test_a_user_namespace(runtime: Runtime) -> None:
    def mapped(spec: dict[str, Any]) -> None:
        mapping = [{"containerID": 0, "hostID": 300_000, "size": 65_536}]
        spec["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["root"]["readonly"] = False

    script = "id -u; cat /proc/self/uid_map; touch /made && echo made; exit 0"
    runtime.configure("sh", "-c", script, change=mapped)
    done = runtime.complete("run", "--bundle", str(runtime.bundle), "one")
    assert done.stdout.split() == ["0", "0", "300000", "65536"] and "denied" in done.stderr, "the root isn't mapped"
    os.chown(runtime.bundle / "rootfs", 300_000, 300_000)
    assert runtime("run", "--bundle", str(runtime.bundle), "one").split()[4:] == ["made"]
    assert (runtime.bundle / "rootfs/made").stat().st_uid == 300_000


def test_preserved_descriptors_and_no_others(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "cat <&3; ls /proc/self/fd | tr '\\n' ' '")
    reader, writer = os.pipe()
    os.write(writer, b"through 3\n")
    os.close(writer)
    try:
        words = [*runtime.command, "run", "--preserve-fds", "1", "--bundle", str(runtime.bundle), "one"]
        shown = subprocess.run(
            words, preexec_fn=lambda: os.dup2(reader, 3), pass_fds=[3], stdout=subprocess.PIPE, text=True,
            env=runtime.environment, check=True, stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
    finally:
        os.close(reader)
    assert shown.startswith("through 3\n") and shown.split()[2:] == ["0", "1", "2", "3", "4"]  # 4 is the listing's


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["linux"].update(intelRdt={"closID": "x"}), "linux.intelRdt: not supported"),
        (lambda spec: spec["process"].update(scheduler={"policy": "SCHED_FLY"}), "process.scheduler.policy"),
        (lambda spec: spec.update(hooks={"createContainer": [{"path": "x"}]}), "must be absolute"),
        (lambda spec: spec["linux"].update(cgroupsPath="system.slice:docker:x"), "use the cgroupfs driver"),
        (lambda spec: spec["linux"].update(seccomp={"defaultAction": "SCMP_ACT_FLY"}), "unknown action"),
        (lambda spec: spec["linux"].update(namespaces=[{"type": "pid"}]), "without a mount namespace"),
        (lambda spec: spec["mounts"].append(
            {"destination": "/proc/sys/fs", "type": "bind", "source": "/tmp", "options": ["bind"]}), "inside /proc"),
        (lambda spec: spec["process"].update(args=["/no/such"]), "no such file"),
        (lambda spec: spec["process"].update(cwd="/proc/self/fd/5"), "chdir to cwd"),
    ],
)
def test_what_can_not_be_is_one_line_and_leaves_nothing(runtime: Runtime, change: Any, message: str) -> None:
    runtime.configure("true", change=change)
    refused = runtime.refused("create", "--bundle", str(runtime.bundle), "one")
    assert message.lower() in refused.lower(), refused
    assert runtime("list", "-q") == "" and not (runtime.root / "one").exists()


def test_errors_go_to_the_log_for_containerd(runtime: Runtime) -> None:
    log = runtime.home / "log.json"
    command = [*runtime.command, "--log", str(log), "--log-format", "json", "start", "nobody"]
    done = subprocess.run(command, env=runtime.environment, capture_output=True, check=False)
    record = json.loads(log.read_text())
    assert done.returncode == 1 and record["level"] == "error" and "does not exist" in record["msg"]


PROFILE = """profile docket-test flags=(attach_disconnected) {
  file, capability, signal, deny /etc/group r,
}
"""


@pytest.mark.skipif(not apparmor.is_enabled(), reason="kernel lacks AppArmor")
@pytest.mark.skipif(shutil.which("apparmor_parser") is None, reason="no apparmor_parser here: install apparmor")
def test_a_profile_of_apparmor(runtime: Runtime) -> None:
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=PROFILE, text=True, check=True)
    script = "cat /proc/self/attr/current; cat /etc/group"
    profile = {"apparmorProfile": "docket-test"}
    try:
        runtime.configure("sh", "-c", script, change=lambda spec: spec["process"].update(profile))
        done = runtime.complete("run", "--bundle", str(runtime.bundle), "one")
        assert done.stdout == "docket-test (enforce)\n" and "denied" in done.stderr.lower()
        assert runtime.records()[1]["facts"]["evidence"]["apparmor"].startswith("docket-test")
        runtime.configure("sleep", "1000")
        runtime.create()
        runtime("start", "one")
        process = runtime.home / "process.json"
        process.write_text(json.dumps({"args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], **profile}))
        done = runtime.complete("exec", "--process", str(process), "one")
        assert done.stdout == "docket-test (enforce)\n" and "denied" in done.stderr.lower()
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=PROFILE, text=True, check=True)
        runtime("delete", "--force", "one")
    assert "no such profile is loaded" in runtime.refused("run", "--bundle", str(runtime.bundle), "two")


@pytest.mark.skipif(apparmor.is_enabled(), reason="kernel has AppArmor")
def test_a_profile_without_apparmor_is_refused(runtime: Runtime) -> None:
    runtime.configure("true", change=lambda spec: spec["process"].update(apparmorProfile="x"))
    assert "runs without AppArmor" in runtime.refused("run", "--bundle", str(runtime.bundle), "one")


def test_ids_are_no_paths(runtime: Runtime) -> None:
    runtime.configure("true")
    for name in ("../one", "a/b", "..", "-x y"):
        done = runtime.complete("create", "--bundle", str(runtime.bundle), "--", name)
        assert done.returncode == 1 and "invalid container id" in done.stderr


def test_a_journal_that_was_changed_is_found(runtime: Runtime) -> None:
    runtime.configure("true")
    for _ in range(2):
        runtime("run", "--bundle", str(runtime.bundle), "one")
    assert "the journal is whole: 8 lines" in runtime("verify")
    journal = runtime.root / "journal"
    whole = journal.read_bytes()
    for at in range(0, len(whole), 97):
        journal.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="journal"):
            command_journal.verify(str(runtime.root))
    assert "NOT whole" in runtime.refused("verify")


def test_features_and_version(runtime: Runtime) -> None:
    found = json.loads(runtime("features"))
    assert found["linux"]["seccomp"]["enabled"] is True and "user" in found["linux"]["namespaces"]
    assert runtime("--version").startswith("docket-runtime version ")
    assert "unknown command" in runtime.refused("fly")
    assert "flag provided but not defined" in runtime.refused("state", "--wings", "x")


def _program(runtime: Runtime) -> Path:
    """As it is installed: one file."""
    program = runtime.home / "docket-runtime"
    text = f"import sys\nsys.path.append({str(REPOSITORY)!r})\nfrom engine.oci.sealed import main\nmain()\n"
    program.write_text(f"#!{sys.executable} -IS\n{text}")
    program.chmod(0o755)
    return program


def test_containerd_runs_with_it(runtime: Runtime) -> None:
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        pytest.skip("no containerd here: install Debian's package containerd")
    home = runtime.home / "containerd"
    home.mkdir()
    unwanted = [f"io.containerd.{name}" for name in ("grpc.v1.cri", "snapshotter.v1.devmapper", "snapshotter.v1.zfs")]
    (home / "config.toml").write_text(
        f'version = 2\nroot = "{home}/root"\nstate = "{home}/state"\ndisabled_plugins = {json.dumps(unwanted)}\n'
        f'[grpc]\naddress = "{home}/sock"\n[ttrpc]\naddress = "{home}/ttrpc"\n'
    )
    with (home / "log").open("wb") as log, subprocess.Popen(
        ["containerd", "--config", str(home / "config.toml")], stdout=log, stderr=log
    ) as containerd:  # fmt: skip
        try:
            eventually((home / "sock").exists, timeout_s=20)
            command = ["ctr", "-a", str(home / "sock"), "run", "--rm", "--runc-binary", str(_program(runtime))]
            rootfs = ["--cgroup", f"/{runtime.cgroup}/one", "--rootfs", str(runtime.bundle / "rootfs"), "one"]
            script = "echo in containerd; exit 4"
            done = subprocess.run(
                [*command, *rootfs, "/bin/sh", "-c", script], capture_output=True, text=True, check=False, timeout=60
            )
            assert (done.returncode, done.stdout) == (4, "in containerd\n"), done.stderr
        finally:
            containerd.terminate()


def test_podman_runs_with_it(runtime: Runtime) -> None:
    podman = shutil.which("podman")
    if podman is None:
        pytest.skip("no podman here: install Debian's package podman")
    program = _program(runtime)
    store = ["--root", str(runtime.home / "podman"), "--runroot", str(runtime.home / "podman-run")]
    command = [podman, "--runtime", str(program), *store, "--cgroup-manager", "cgroupfs", "run", "--rm"]
    rootfs = ["--network", "none", "--cgroup-parent", f"/{runtime.cgroup}", "--rootfs", str(runtime.bundle / "rootfs")]
    done = subprocess.run(
        [*command, *rootfs, "sh", "-c", "echo in podman; exit 4"], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, "TMPDIR": str(runtime.home)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "in podman\n"), done.stderr
    left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(runtime.home) in line]
    assert len(left) <= 1, left
    subprocess.run([podman, *store, "system", "prune", "-f"], capture_output=True, check=False)


def test_cgroups_of_its_own_go_with_the_last(runtime: Runtime) -> None:
    """As dockerd's --cgroup-parent asks for them: a path that is not absolute."""
    parent = f"docket-test-parent-{os.getpid()}"
    runtime.configure("true", change=lambda spec: spec["linux"].update(cgroupsPath=f"{parent}/one"))
    runtime("run", "--bundle", str(runtime.bundle), f"own-{os.getpid()}")
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup" in line]
    assert points and not [point for point in points if [*Path(point).glob(f"**/{parent}")]]
