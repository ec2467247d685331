"""The flags about powers and resources: each is looked up inside, in the kernel's own words, and in the evidence."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from support.engine import Engine, base_config
from support.machine import cgroup_mounts
from e2e.test_isolation import evidence, status_field

pytestmark = pytest.mark.kernel


def status_inside(engine: Engine, *flags: str) -> str:
    return engine.run("--rm", *flags, "base", "cat", "/proc/self/status")


def own_capabilities() -> int:
    text = Path("/proc/self/status").read_text()
    return int(status_field(text, "CapPrm"), 16) & int(status_field(text, "CapBnd"), 16)


def test_capabilities_are_added_and_dropped(engine: Engine) -> None:
    status = status_inside(engine, "--cap-drop", "ALL", "--cap-add", "net_admin", "--cap-add", "CAP_CHOWN")
    for field in ("CapBnd", "CapPrm", "CapEff"):
        assert int(status_field(status, field), 16) == 1 << 12 | 1 << 0
    engine.run("-d", "--name", "some", "--cap-drop", "ALL", "--cap-add", "SYS_TIME", "base", "sleep", "100")
    assert evidence(engine, "some")["capabilities"]["effective"] == ["CAP_SYS_TIME"]


def test_privileged_has_what_the_host_has(engine: Engine) -> None:
    engine.run("-d", "--name", "priv", "--privileged", "base", "sleep", "100")
    inside = lambda *command: engine.docket("exec", "priv", *command).stdout  # noqa: E731
    status = inside("cat", "/proc/1/status")
    assert int(status_field(status, "CapEff"), 16) == own_capabilities()
    assert status_field(status, "Seccomp") == "0"
    recorded = evidence(engine, "priv")
    assert recorded["seccomp_mode"] == 0 and "CAP_SYS_ADMIN" in recorded["capabilities"]["effective"]
    assert "CAP_SYS_ADMIN" in str(engine.inspect("priv")) or engine.inspect("priv")["HostConfig"]["Privileged"] is True
    mounts = inside("cat", "/proc/mounts")
    assert re.search(r"^sysfs /sys sysfs rw,", mounts, re.MULTILINE)
    assert not re.search(r"^\S+ /proc/(kcore|sys|sysrq-trigger) ", mounts, re.MULTILINE), "nothing is masked"
    there = {entry.name for entry in os.scandir("/dev") if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode)}
    assert there <= set(inside("ls", "/dev").split()), "the host's disks are there"
    assert inside("sh", "-c", "mkdir -p /m; mount -t tmpfs x /m && echo mounted") == "mounted\n"
    if "devices" in cgroup_mounts():
        assert recorded["limits"]["devices.list"] == "a *:* rwm"


def test_a_privileged_exec_in_an_ordinary_container(engine: Engine) -> None:
    engine.run("-d", "--name", "plain", "base", "sleep", "100")
    status = engine.docket("exec", "--privileged", "plain", "cat", "/proc/self/status").stdout
    assert int(status_field(status, "CapEff"), 16) == own_capabilities()
    assert status_field(status, "Seccomp") == "2", "the container's filter stays"
    created = [event for event in engine.trail("plain") if event["type"] == "exec.created"]
    assert not created or created[-1]["data"]["privileged"] is True


def test_seccomp_can_be_taken_away(engine: Engine) -> None:
    assert status_field(status_inside(engine, "--security-opt", "seccomp=unconfined"), "Seccomp") == "0"
    assert status_field(status_inside(engine, "--security-opt", "seccomp=builtin"), "Seccomp") == "2"


def test_a_profile_of_the_users_own(engine: Engine, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 111}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    option = ("--security-opt", f"seccomp={profile}")
    done = engine.docket("run", "--network", "none", "--name", "own", *option, "base", "mkdir", "/x", check=False)
    assert done.returncode == 1 and "Connection refused" in done.stderr  # errno 111
    engine.run("-d", "--name", "default", "base", "sleep", "100")
    digests = [evidence(engine, name)["seccomp_profile"] for name in ("own", "default")]
    assert digests[0] != digests[1] and all(digest.startswith("sha256:") for digest in digests)
    # it also holds in a privileged container, whose default is none
    flags = ("--rm", "--privileged", "--network", "none", *option)
    done = engine.docket("run", *flags, "base", "mkdir", "/x", check=False)
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize(
    "profile, message",
    [
        ("{", "decoding seccomp profile failed"),
        ("[]", "it must be an object"),
        ('{"defaultAction":"SCMP_ACT_FLY"}', "unknown action"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}', "unknown seccomp flag"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","architectures":["Z80"]}', "unknown architecture"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}', "NOTIFY"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":'
         '[{"index":9,"value":1,"op":"SCMP_CMP_EQ"}]}]}', "argument 9"),
    ],
)  # fmt: skip
def test_a_bad_profile_is_refused_at_the_creation(engine: Engine, profile: str, message: str) -> None:
    answer = engine.api("POST", "/containers/create", base_config("true", SecurityOpt=[f"seccomp={profile}"]))
    assert answer.status == 400 and message in answer.json["message"]


def test_no_new_privileges(engine: Engine) -> None:
    assert status_field(status_inside(engine, "--security-opt", "no-new-privileges"), "NoNewPrivs") == "1"
    assert status_field(status_inside(engine, "--security-opt", "no-new-privileges:false"), "NoNewPrivs") == "0"


def test_unmasked_system_paths(engine: Engine) -> None:
    count = ("base", "sh", "-c", "grep -c ' /proc/' /proc/mounts; exit 0")
    assert engine.run("--rm", "--security-opt", "systempaths=unconfined", *count) == "0\n"
    assert int(engine.run("--rm", *count)) > 5


def test_modules_that_the_kernel_has_not_are_said_to_have_no_effect(engine: Engine) -> None:
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        pytest.skip("kernel has AppArmor")
    done = engine.docket("run", "--rm", "--network", "none", "--security-opt", "apparmor=x", "base", "true")
    assert "has no effect" in done.stderr
    quiet = engine.docket("run", "--rm", "--network", "none", "--security-opt", "label=disable", "base", "true")
    assert quiet.stderr == ""


def test_devices(engine: Engine) -> None:
    script = "ls -l /dev/other | cut -c1; echo x >/dev/other && echo written; head -c1 /dev/other | wc -c"
    flags = ("--device", "/dev/full:/dev/other:r", "--device-cgroup-rule", "c 7:* rm")
    # /dev/full itself is allowed to everybody, so the rule of the alias adds nothing; the node must work
    shown = engine.run("--rm", *flags, "base", "sh", "-c", script)
    assert shown.split()[0] == "c" and shown.split()[-1] == "1"
    if "devices" in cgroup_mounts():
        engine.run("-d", "--name", "dev", *flags, "base", "sleep", "100")
        assert "c 7:* rm" in evidence(engine, "dev")["limits"]["devices.list"]


def test_a_device_beyond_the_list_stays_closed(engine: Engine) -> None:
    """A node can be made (CAP_MKNOD), and the device cgroup keeps it from being opened: here that of /dev/kmsg."""
    done = engine.docket(
        "run", "--rm", "--network", "none", "base", "sh", "-c", "mknod /k c 1 11 && cat /k", check=False
    )
    assert done.returncode != 0 and "not permitted" in done.stderr
    allowed = engine.docket(
        "run", "--rm", "--network", "none", "--device", "/dev/zero:/dev/zero2:r", "base",
        "sh", "-c", "head -c1 /dev/zero2 | wc -c; echo >/dev/zero2 && echo written",
    )  # fmt: skip
    assert allowed.stdout.split()[0] == "1"


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--device", "/dev/nonexistent"), "error gathering device information"),
        (("--device", "/etc:/dev/x"), "no devices found"),
        (("--device-cgroup-rule", "c 1:3"), "invalid device cgroup rule format"),
        (("--security-opt", "wings=on"), "invalid --security-opt"),
        (("--cgroup-parent", "../../x"), "invalid cgroup parent"),
        (("--storage-opt", "speed=1G"), "unknown storage option: speed"),
        (("--pid", "container:nobody"), "No such container: nobody"),
        (("--ipc", "sideways"), "invalid IPC mode"),
        (("--uts", "host", "--hostname", "x"), "conflicting options"),
        (("--sysctl", "kernel.shmmax=1", "--ipc", "host"), "not allowed in host ipc namespace"),
        (("--memory-swappiness", "101"), "0-100"),
    ],
)
def test_what_can_not_be_had_is_one_line(engine: Engine, flags: tuple[str, ...], message: str) -> None:
    done = engine.docket("run", "--rm", "--network", "none", *flags, "base", "true", check=False)
    assert done.returncode in (125, 127) and message in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert engine.api("GET", "/containers/json?all=1").json == [], "nothing is left of it"


def test_every_limit_is_the_kernels(engine: Engine) -> None:
    if "memory" not in cgroup_mounts():
        pytest.skip("kernel or machine lacks cgroup v1, whose files this test reads")
    flags = (
        "-m", "20m", "--memory-swap", "-1", "--memory-reservation", "10m", "--memory-swappiness", "30",
        "--oom-kill-disable", "--cpu-shares", "512", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--cpu-quota", "20000",
        "--cpu-period", "50000", "--pids-limit", "77",
    )  # fmt: skip
    engine.run("-d", "--name", "all", *flags, "base", "sleep", "100")
    limits = evidence(engine, "all")["limits"]
    inside = engine.docket("exec", "all", "sh", "-c", "cd /sys/fs/cgroup; cat cpu/cpu.shares cpuset/cpuset.cpus").stdout
    assert inside.split() == ["512", "0"]
    expected = {
        "memory.limit_in_bytes": str(20 << 20), "memory.soft_limit_in_bytes": str(10 << 20),
        "memory.swappiness": "30", "cpu.shares": "512", "cpu.cfs_quota_us": "20000", "cpu.cfs_period_us": "50000",
        "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "77",
    }  # fmt: skip
    assert {name: limits[name] for name in expected} == expected
    assert "oom_kill_disable 1" in limits["memory.oom_control"]
    assert int(limits.get("memory.memsw.limit_in_bytes", 1 << 62)) > 1 << 60, "swap is unlimited"


def test_block_io_limits(engine: Engine) -> None:
    names = [entry.name for entry in os.scandir("/sys/block") if not entry.name.startswith(("loop", "ram", "zram"))]
    disks = [name for name in names if Path("/dev", name).is_block_device()]
    if "blkio" not in cgroup_mounts() or not disks:
        pytest.skip("kernel or machine lacks a disk, or cgroup v1's blkio")
    disk = f"/dev/{disks[0]}"
    number = os.stat(disk).st_rdev
    flags = ("--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:100")
    engine.run("-d", "--name", "io", *flags, "base", "sleep", "100")
    limits = evidence(engine, "io")["limits"]
    place = f"{os.major(number)}:{os.minor(number)}"
    assert limits["blkio.throttle.read_bps_device"] == f"{place} {1 << 20}"
    assert limits["blkio.throttle.write_iops_device"] == f"{place} 100"


def test_cgroup_parent(engine: Engine) -> None:
    parent = f"/{engine.system_cgroup()}/tenants"
    engine.run("-d", "--name", "child", "--cgroup-parent", parent, "base", "sleep", "100")
    pid = engine.inspect("child")["State"]["Pid"]
    container_id = engine.inspect("child")["Id"]
    paths = {line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()}
    assert paths == {f"{parent}/{container_id}"}
    assert engine.docket("top", "child").stdout.count("sleep") == 1
    engine.docket("rm", "-f", "child")
    for point in set(cgroup_mounts().values()):
        assert not (point / parent[1:] / container_id).exists()
        if (point / parent[1:]).exists():
            (point / parent[1:]).rmdir()  # it may have been somebody's before, so the engine leaves it


def test_groups_score_and_sysctls(engine: Engine) -> None:
    flags = ("--group-add", "1234", "--oom-score-adj", "500", "--sysctl", "kernel.shmmax=12345")
    script = "id -G; cat /proc/self/oom_score_adj /proc/sys/kernel/shmmax"
    shown = engine.run("--rm", *flags, "--sysctl", "net.ipv4.ip_forward=1", "base", "sh", "-c", script).splitlines()
    assert shown == ["0 1234", "500", "12345"]


def test_stop_signal_and_stop_timeout(engine: Engine) -> None:
    script = "trap 'exit 9' USR1; trap '' TERM; while :; do sleep 0.05; done"
    engine.run("-d", "--name", "stops", "--stop-signal", "SIGUSR1", "--stop-timeout", "7", "base", "sh", "-c", script)
    engine.docket("exec", "stops", "true")
    engine.docket("stop", "stops")
    assert engine.inspect("stops")["State"]["ExitCode"] == 9
    stopping = [event for event in engine.trail("stops") if event["type"] == "container.stopping"][-1]["data"]
    assert (stopping["signal"], stopping["timeout_s"]) == (10, 7)


# --- --init ------------------------------------------------------------------------------------------------------


def test_init_is_pid_one_and_passes_signals_and_the_exit_status_on(engine: Engine) -> None:
    assert engine.run("--rm", "--init", "base", "sh", "-c", "echo $$; cat /proc/1/comm").split() == ["2", "docket-init"]
    assert engine.docket("run", "--rm", "--init", "--network", "none", "base", "sh", "-c", "exit 3", check=False
                         ).returncode == 3  # fmt: skip
    script = "trap 'echo term; exit 7' TERM; while :; do sleep 0.05; done"
    engine.run("-d", "--name", "ini", "--init", "base", "sh", "-c", script)
    engine.docket("stop", "ini")
    assert engine.docket("logs", "ini").stdout == "term\n" and engine.inspect("ini")["State"]["ExitCode"] == 7
    killed = engine.docket("run", "--rm", "--init", "--network", "none", "base", "sh", "-c", "kill -9 $$", check=False)
    assert killed.returncode == 137


def test_init_reaps_and_holds_nothing(engine: Engine) -> None:
    """Small enough for the smallest container, no descriptor, not dumpable, and no path of the host's in sight."""
    engine.run("-d", "--name", "ini", "--init", "-m", "6m", "base", "sh", "-c", "(sleep 0.1 &); exec sleep 100")
    script = """
        sleep 0.5; ls -l /proc/1/fd | wc -l; cat /proc/1/exe 2>&1 | head -c 60; echo
        tr '\\0' ' ' </proc/1/cmdline; echo; cat /proc/[0-9]*/stat | grep -c ' Z '
    """
    lines = engine.docket("exec", "ini", "sh", "-c", script, check=False).stdout.splitlines()
    shown = [line for line in lines if line.strip()]
    assert int(shown[0]) <= 1 and "denied" in shown[1].lower()
    assert shown[2].strip() == "docket-init" and shown[3] == "0", "no zombie is left"


def test_init_on_a_terminal_is_not_hit_by_control_c(engine: Engine) -> None:
    shown = engine.run("--rm", "--init", "-t", "base", "sh", "-c", "cat /proc/1/stat /proc/$$/stat")
    init, command = (line.rpartition(")")[2].split() for line in shown.splitlines())
    group, foreground = 2, 5  # of proc_pid_stat(5), behind the name
    assert init[group] != command[group] and command[group] == command[foreground], "the command is in the foreground"
