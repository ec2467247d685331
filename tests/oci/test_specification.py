"""Fields of the runtime specification that only a running container shows."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from typing import Any

import pytest

from schema import load, problems  # type: ignore[import-not-found]

from conftest import Runtime  # type: ignore[import-not-found]

pytestmark = pytest.mark.kernel


def test_all_hooks_where_they_belong(runtime: Runtime) -> None:
    """Each says in which mount and pid namespace it is, and what it was told."""
    log = runtime.home / "hooks"

    def hook(point: str, target: str) -> dict[str, Any]:
        script = f"echo {point} $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/uts) $(cat) >>{target}"
        return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}

    outside = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    every = {point: [hook(point, str(log))] for point in outside} | {"startContainer": [hook("startContainer", "/log")]}

    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = every
        spec["root"]["readonly"] = False

    show = "cat /log; readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts"
    runtime.configure("sh", "-c", f"{show}; sleep 1", change=change)
    inside = runtime("run", "--bundle", str(runtime.bundle), "one").splitlines()
    lines = [line.split(" ", 3) for line in [*log.read_text().splitlines(), inside[0]]]
    assert [line[0] for line in lines] == [*outside, "startContainer"]
    mnt, uts = inside[1:]
    own = [os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/self/ns/uts")]
    where = {point: [mnt, uts] if "Container" in point else own for point in every}
    assert {line[0]: line[1:3] for line in lines} == where
    states = {line[0]: json.loads(line[3]) for line in lines}
    for point, state in states.items():
        assert not list(problems(state, *load("state-schema.json"))), point
        assert state["id"] == "one" and state["bundle"] == str(runtime.bundle)
    assert {point: state["status"] for point, state in states.items()} == {
        "prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
        "startContainer": "created", "poststart": "running", "poststop": "stopped",
    }  # fmt: skip


@pytest.mark.parametrize("point", ["createContainer", "startContainer", "poststart"])
def test_a_hook_that_fails_ends_the_container(runtime: Runtime, point: str) -> None:
    log = runtime.home / "log"
    hooks = {
        point: [{"path": "/bin/sh", "args": ["sh", "-c", "echo no way; exit 3"]}],
        "poststop": [{"path": "/bin/false"}, {"path": "/bin/sh", "args": ["sh", "-c", f"echo stopped >>{log}"]}],
    }
    runtime.configure("sleep", "1000", change=lambda spec: spec.update(hooks=hooks))
    done = runtime.complete("run", "--bundle", str(runtime.bundle), "one")
    assert done.returncode == 1 and f"{point} hook /bin/sh: exit status 3: no way" in done.stderr
    assert "warning: poststop hook /bin/false: exit status 1" in done.stderr
    assert log.read_text() == "stopped\n" and runtime("list", "-q") == ""


def test_scheduler_io_priority_personality_and_oom_score(runtime: Runtime) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"] |= {
            "scheduler": {"policy": "SCHED_BATCH", "nice": 7}, "oomScoreAdj": 321,
            "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        }  # fmt: skip
        spec["linux"]["personality"] = {"domain": "LINUX32"}
        spec["process"]["user"] |= {"umask": 0o027, "additionalGids": [17, 4711]}

    show = "cut -d' ' -f19,41 /proc/self/stat; uname -m; cat /proc/self/oom_score_adj; umask; id -G"
    runtime.configure("sh", "-c", show, change=change)
    shown = runtime("run", "--bundle", str(runtime.bundle), "one").splitlines()
    machine = {"x86_64": "i686", "aarch64": "armv8l"}[os.uname().machine]
    assert shown == ["7 3", machine, "321", "0027", "0 17 4711"]


def test_an_agent_answers_system_calls(runtime: Runtime) -> None:
    """SCMP_ACT_NOTIFY: the listener and the state go to listenerPath, for the first process and for one more."""
    path = runtime.home / "agent"
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path), "listenerMetadata": "cookie",
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}],
    }  # fmt: skip
    runtime.configure("sleep", "1000", change=lambda spec: spec["linux"].update(seccomp=seccomp))
    heard: list[tuple[dict[str, Any], int]] = []
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()

        def hear() -> None:
            for _ in range(2):
                connection, _ = agent.accept()
                with connection:
                    data, fds, _, _ = socket.recv_fds(connection, 65536, 2)
                    heard.append((json.loads(data), fds[0]))

        thread = threading.Thread(target=hear)
        thread.start()
        runtime.create()
        runtime("start", "one")
        runtime("exec", "one", "true")
        thread.join(20)
    assert len(heard) == 2
    for told, fd in heard:
        assert told["fds"] == ["seccompFd"] and told["metadata"] == "cookie" and told["state"]["id"] == "one"
        assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:seccomp notify"
        os.close(fd)
    assert heard[0][0]["pid"] == heard[0][0]["state"]["pid"] and heard[0][0]["state"]["status"] == "creating"


def _options_of(mountinfo: str, point: str) -> set[str]:
    line = next(line for line in mountinfo.splitlines() if line.split()[4] == point)
    return set(line.split()[5].split(","))


def test_options_of_mounts_and_of_those_below(runtime: Runtime) -> None:
    source = runtime.home / "tree"
    (source / "below").mkdir(parents=True)
    (runtime.bundle / "rootfs" / "full").mkdir()
    (runtime.bundle / "rootfs" / "full" / "file").write_text("from the image\n")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(source / "below")], check=True)

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] += [
            {"destination": "/plain", "type": "bind", "source": str(source), "options": ["rbind", "ro", "noexec"]},
            {"destination": "/deep", "type": "bind", "source": str(source), "options": ["rbind", "rro", "rnosuid"]},
            {"destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "nodev"]},
        ]

    try:
        runtime.configure("sh", "-c", "cat /full/file /proc/self/mountinfo", change=change)
        shown = runtime("run", "--bundle", str(runtime.bundle), "one")
    finally:
        subprocess.run(["umount", str(source / "below")], check=True)
    assert shown.startswith("from the image\n")
    shown = shown.partition("\n")[2]
    assert {"ro", "noexec"} <= _options_of(shown, "/plain") and "rw" in _options_of(shown, "/plain/below")
    assert {"ro", "nosuid"} <= _options_of(shown, "/deep") and {"ro", "nosuid"} <= _options_of(shown, "/deep/below")


def test_owners_of_a_single_mount(runtime: Runtime) -> None:
    source = runtime.home / "owned"
    source.mkdir()
    os.chown(source, 1000, 1000)
    mapping = [{"containerID": 1000, "hostID": 2000, "size": 1}]
    mount = {"destination": "/owned", "type": "bind", "source": str(source), "options": ["bind"],
             "uidMappings": mapping, "gidMappings": mapping}  # fmt: skip
    runtime.configure("ls", "-nd", "/owned", change=lambda spec: spec["mounts"].append(mount))
    shown = runtime("run", "--bundle", str(runtime.bundle), "one").split()
    assert shown[2:4] == ["2000", "2000"]
    del mount["gidMappings"]
    runtime.configure("true", change=lambda spec: spec["mounts"].append(mount))
    assert "needs both, uidmappings" in runtime.refused("run", "--bundle", str(runtime.bundle), "one").lower()


def test_devices_that_no_rule_allows(runtime: Runtime) -> None:
    """A specification without any rule has the default devices and no others."""
    def change(spec: dict[str, Any]) -> None:
        del spec["linux"]["resources"]["devices"]
        spec["process"]["capabilities"]["effective"].append("CAP_MKNOD")
        spec["process"]["capabilities"]["permitted"].append("CAP_MKNOD")
        spec["process"]["capabilities"]["bounding"].append("CAP_MKNOD")

    script = "echo x >/dev/null && mknod /dev/kmsg c 1 11 && head -c1 /dev/kmsg >/dev/null && echo read"
    runtime.configure("sh", "-c", script, change=change)
    done = runtime.complete("run", "--bundle", str(runtime.bundle), "one")
    assert done.stdout == "" and "not permitted" in done.stderr


def test_preserved_descriptors_of_one_more_process(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000")
    runtime.create()
    runtime("start", "one")
    reader, writer = os.pipe()
    os.write(writer, b"through 3\n")
    os.close(writer)
    words = [*runtime.command, "exec", "--preserve-fds", "1", "one", "cat", "/proc/self/fd/3"]
    shown = subprocess.run(
        words, preexec_fn=lambda: os.dup2(reader, 3), pass_fds=[3], stdout=subprocess.PIPE, env=runtime.environment,
        check=True, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    os.close(reader)
    assert shown == b"through 3\n"


@pytest.mark.parametrize("groups", [[], [7, 5]])
def test_groups_are_those_that_are_listed(runtime: Runtime, groups: list[int]) -> None:
    """The primary one is none of them: who wants it there lists it, as engines do (CVE-2022-36109)."""
    user = {"uid": 1000, "gid": 50, "additionalGids": groups}
    runtime.configure("sleep", "1000", change=lambda spec: spec["process"].update(user=user))
    runtime.create()
    runtime("start", "one")
    pid = json.loads(runtime("state", "one"))["pid"]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        assert f"Groups:\t{' '.join(map(str, sorted(groups)))}" in file.read()
    shown = runtime("exec", "one", "grep", "-E", "^(Gid|Groups)", "/proc/self/status").split()
    assert shown == ["Gid:", *["50"] * 4, "Groups:", *map(str, sorted(groups))]


def test_ambient_capabilities_are_those_that_are_inheritable_too(runtime: Runtime) -> None:
    """So the kernel has it, and runc. The others would be powers that nobody else gives to another user than root."""

    def of_user(spec: dict[str, Any]) -> None:
        names = ["CAP_KILL", "CAP_AUDIT_WRITE"]
        spec["process"]["user"] = {"uid": 1000, "gid": 1000}
        spec["process"]["capabilities"] = {name: names for name in ("bounding", "permitted", "effective", "ambient")}
        spec["process"]["capabilities"]["inheritable"] = ["CAP_KILL"]

    runtime.configure("grep", "^Cap[^B]", "/proc/self/status", change=of_user)
    done = runtime.complete("run", "--bundle", str(runtime.bundle), "one")
    assert {int(word, 16) for word in done.stdout.split()[1::2]} == {1 << 5}
    assert "not inheritable: CAP_AUDIT_WRITE" in done.stderr
