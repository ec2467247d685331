"""What a container may do and how much: capabilities, limits in force, and the evidence that was read back."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import NotFound
from engine.runtime.failures import LaunchFailed, Paused
from engine.services import limits, oci_spec
from support.containers import Runtime
from support.waiting import eventually


def resources(**wanted: Any) -> dict[str, Any]:
    """HostConfig fields."""
    return wanted


def test_capabilities_of_root(runtime: Runtime) -> None:
    out = runtime.shell("grep Cap /proc/self/status")
    mask = sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
    found = dict(line.split() for line in out.replace(":", "").splitlines())
    assert int(found["CapBnd"], 16) == int(found["CapEff"], 16) == int(found["CapPrm"], 16) == mask
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0


def test_capabilities_of_another_user(runtime: Runtime) -> None:
    done = runtime.run("sh", "-c", "grep Cap /proc/self/status; kill -0 1; chown 0 /tmp", config={"User": "1000"})
    found = dict(line.split() for line in done.out.replace(":", "").splitlines())
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0 and int(found["CapBnd"], 16) != 0
    evidence = done.container.facts["evidence"]
    assert evidence["capabilities"]["effective"] == [] and evidence["user"]["uid"] == 1000


def test_added_and_dropped_capabilities(runtime: Runtime) -> None:
    host = {"CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"]}
    done = runtime.run("sh", "-c", "ip link set lo down && echo done; chown 1 /tmp", host=host)
    assert done.out == "done\n" and "not permitted" in done.err
    assert done.container.facts["evidence"]["capabilities"]["bounding"] == ["CAP_NET_ADMIN"]


def test_what_the_engine_lacks_is_a_warning(runtime: Runtime) -> None:
    from engine.kernel import capabilities

    missing = capabilities.to_names(capabilities.all_known() & ~capabilities.grantable())
    container = runtime.start("true", host={"CapAdd": ["ALL"]})
    warned = " ".join(container.facts["warnings"])
    assert all(name in warned for name in missing)


def test_no_new_privileges(runtime: Runtime) -> None:
    done = runtime.run("grep", "NoNewPrivs", "/proc/self/status", host={"SecurityOpt": ["no-new-privileges"]})
    assert done.out.split() == ["NoNewPrivs:", "1"] and done.container.facts["evidence"]["no_new_privileges"]


def test_seccomp_is_on_for_command_and_exec(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    assert container.facts["evidence"]["seccomp_mode"] == 2
    assert "2" in Path(f"/proc/{container.pid}/status").read_text().partition("Seccomp:")[2].splitlines()[0]
    done = runtime.run("unshare", "-U", "true")
    assert done.code != 0


# --- limits ------------------------------------------------------------------------------------------------------


def test_limits_are_in_force_and_read_back(runtime: Runtime) -> None:
    host = {"Memory": 48 << 20, "MemorySwap": 48 << 20, "PidsLimit": 17, "NanoCpus": 500_000_000, "CpusetCpus": "0"}
    container = runtime.start("sh", "-c", "sleep 100", host=host)
    found = container.facts["evidence"]["limits"]
    if "memory.limit_in_bytes" in found:
        assert found["memory.limit_in_bytes"] == str(48 << 20) and found["cpu.cfs_quota_us"] == "50000"
    else:
        assert found["memory.max"] == str(48 << 20) and found["cpu.max"] == "50000 100000"
    assert found["pids.max"] == "17" and found["cpuset.cpus"] == "0"
    inside = runtime.exec(container, "sh", "-c", "i=0; while [ $i -lt 30 ]; do sleep 50 & i=$((i+1)); done; wait")
    assert "can't fork" in inside.err or inside.code != 0
    assert runtime.exec(container, "grep", "Cpus_allowed_list", "/proc/self/status").out.split()[1] == "0"


def test_cgroup_membership_in_every_tree(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines():
        assert line.endswith(f"/{runtime.parent}/{container.id}"), line
    runtime.exec(container, "sleep", "0")
    evidence = container.facts["evidence"]["cgroups"]
    assert set(evidence.values()) == {f"/{runtime.parent}/{container.id}"}


def test_an_exec_is_in_every_tree_too(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    assert all(line.endswith(":/") for line in runtime.exec(container, "cat", "/proc/self/cgroup").out.splitlines())


def test_a_limit_that_cannot_be_applied_fails_with_file_and_value(runtime: Runtime) -> None:
    def absurd(spec: dict[str, Any]) -> None:
        spec["linux"]["resources"]["cpu"] = {"cpus": "4000-5000"}

    with pytest.raises(LaunchFailed, match='cpuset.cpus: .*writing "4000-5000"') as caught:
        runtime.start("true", change=absurd)
    assert caught.value.step == "cgroup.limit" and caught.value.exit_code == 128


@pytest.mark.parametrize("oom_in_child", [False, True])
def test_out_of_memory_is_recorded(runtime: Runtime, oom_in_child: bool) -> None:
    host = {"Memory": 24 << 20, "MemorySwap": 24 << 20}
    hog = "dd if=/dev/zero of=/dev/null bs=100M count=1"
    script = f"{hog}; echo survived; exit 5" if oom_in_child else f"exec {hog}"
    container = runtime.start("sh", "-c", script, host=host)
    ended = container.wait()
    assert ended["oom_killed"] and ended["exit_code"] == (5 if oom_in_child else 137)
    assert container.of_type("oom")[0]["kills"] == 1
    assert [message["type"] for message in container.messages] == ["oom", "exited"]


def test_rlimits(runtime: Runtime) -> None:
    host = {"Ulimits": [{"Name": "nofile", "Soft": 77, "Hard": 99}, {"Name": "core", "Soft": 0, "Hard": 0}]}
    container = runtime.start("sh", "-c", "ulimit -n; ulimit -Hn; exec sleep 100", host=host)
    assert container.facts["evidence"]["rlimits"]["Max open files"] == ["77", "99"]
    assert container.facts["evidence"]["rlimits"]["Max core file size"] == ["0", "0"]
    eventually(lambda: '"99\\n"' in container.log.read_text())


def test_hard_rlimits_that_cannot_be_raised_are_a_warning(runtime: Runtime) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        hard = 10**9
    host = {"Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": hard + 1}]}
    container = runtime.start("sleep", "100", host=host)
    granted = container.facts["evidence"]["rlimits"]["Max open files"]
    if granted[1] == str(hard + 1):
        return  # this engine has CAP_SYS_RESOURCE: the limit was granted
    assert granted == ["64", str(hard)]
    assert any("RLIMIT_NOFILE can't be raised" in warning for warning in container.facts["warnings"])


def test_oom_score(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100", host={"OomScoreAdj": 123})
    assert Path(f"/proc/{container.pid}/oom_score_adj").read_text().strip() == "123"
    assert container.facts["evidence"]["oom_score_adj"] == 123
    assert runtime.exec(container, "cat", "/proc/self/oom_score_adj").out.strip() == "123"


def test_pause_and_resume(runtime: Runtime) -> None:
    container = runtime.start("sh", "-c", "while :; do echo x; sleep 0.01; done")
    eventually(lambda: container.log.read_text().count("\n") > 3)
    runtime.supervisor.pause(container.id)
    assert runtime.cgroup(container).is_frozen()
    size = container.log.stat().st_size
    with pytest.raises(Paused, match="paused"):
        runtime.exec(container, "true")
    assert container.log.stat().st_size - size < 200, "what was in the pipe at most"
    runtime.supervisor.resume(container.id)
    size = container.log.stat().st_size
    eventually(lambda: container.log.stat().st_size > size)


def test_sigkill_of_a_frozen_container(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    runtime.supervisor.pause(container.id)
    runtime.supervisor.signal(container.id, 9)
    with suppress(NotFound):  # where the kernel ends frozen processes, its shim may have left already
        runtime.supervisor.resume(container.id)
    assert container.wait()["exit_code"] == 137


# --- evidence ----------------------------------------------------------------------------------------------------


def test_evidence_is_what_the_kernel_says_at_that_moment(tmp_path: Path) -> None:
    """A limit that somebody alters behind the engine's back is seen: evidence is no copy of the request."""
    import threading

    from support.containers import running_runtime

    stop = tmp_path / "evidence"
    with running_runtime(f"evidence.read=wait({stop})") as runtime:
        plan = runtime.plan("sleep", "100", host={"PidsLimit": 50})
        launched: list[Any] = []
        thread = threading.Thread(target=lambda: launched.append(runtime.launch(plan)))
        thread.start()
        eventually(stop.exists)
        cgroup = runtime.cgroup(runtime.containers[plan["container_id"]])
        Path(cgroup.folder("pids") or "", "pids.max").write_text("33")
        stop.unlink()
        thread.join()
        assert launched[0].facts["evidence"]["limits"]["pids.max"] == "33"
        assert limits.resources({"PidsLimit": 50})["pids"]["limit"] == 50


def test_evidence_names_namespaces_mounts_and_user(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100", config={"User": "user"})
    evidence = container.facts["evidence"]
    for kind, file in (("pid", "pid"), ("mount", "mnt"), ("network", "net"), ("cgroup", "cgroup")):
        assert evidence["namespaces"][kind] == os.stat(f"/proc/{container.pid}/ns/{file}").st_ino
        assert evidence["namespaces"][kind] != os.stat(f"/proc/self/ns/{file}").st_ino
    assert evidence["user"] == {"uid": 1000, "gid": 1000, "groups": [50, 1000]}
    assert evidence["mounts"][0].startswith("/ overlay overlay")
    assert len(evidence["mounts"]) == len(Path(f"/proc/{container.pid}/mountinfo").read_text().splitlines())
    assert evidence["mounts_digest"].startswith("sha256:")
    assert oci_spec.DEFAULT_CAPABILITIES[0] in evidence["capabilities"]["bounding"]
