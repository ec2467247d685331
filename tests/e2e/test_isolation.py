"""What a container gets: the probe inside answers, the test outside asserts, and the log's evidence agrees."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from support.engine import Engine
from support.machine import cgroup_mounts
from support.waiting import eventually

pytestmark = pytest.mark.kernel

DEFAULT_CAPABILITIES = 0x00000000A80425FB
"""chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write
setfcap: Docker's default set."""


def evidence(engine: Engine, name: str) -> dict[str, Any]:
    """The evidence of the last start on the container's trail."""
    started = [event for event in engine.trail(name) if event["type"] == "container.started"]
    return started[-1]["data"]["evidence"]


def status_field(text: str, field: str) -> str:
    return re.search(rf"^{field}:\s*(.*)$", text, re.MULTILINE).group(1)  # type: ignore[union-attr]


def test_pid_one_and_nobody_else(engine: Engine) -> None:
    assert engine.run("--rm", "base", "sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'").split()[0] == "1"
    assert engine.run("--rm", "base", "sh", "-c", "exec ls /proc").split()[0] == "1"


def test_namespaces_are_its_own(engine: Engine) -> None:
    engine.run("-d", "--name", "ns", "base", "sleep", "100")
    pid = engine.inspect("ns")["State"]["Pid"]
    inside = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "pid", "uts", "ipc", "net", "cgroup")}
    for kind, link in inside.items():
        assert link != os.readlink(f"/proc/self/ns/{kind}"), kind
    recorded = str(evidence(engine, "ns"))
    for link in inside.values():
        assert link.partition("[")[2].rstrip("]") in recorded, "the evidence names the namespace"


def test_host_name(engine: Engine) -> None:
    before = os.uname().nodename
    assert engine.run("--rm", "--hostname", "inside", "base", "hostname") == "inside\n"
    container_id = engine.run("-d", "--name", "plain", "base", "sleep", "100").strip()
    assert engine.docket("exec", "plain", "hostname").stdout.strip() == container_id[:12]
    assert os.uname().nodename == before


def test_network_none_has_only_a_loopback(engine: Engine) -> None:
    assert engine.run("--rm", "base", "ls", "/sys/class/net").split() == ["lo"]


def test_network_host_shares_the_hosts(engine: Engine) -> None:
    shown = engine.docket("run", "--rm", "--network", "host", "base", "ls", "/sys/class/net").stdout.split()
    assert sorted(shown) == sorted(name for _, name in socket.if_nameindex())


def test_capabilities_are_dockers_default(engine: Engine) -> None:
    status = engine.run("--rm", "base", "cat", "/proc/self/status")
    assert int(status_field(status, "CapEff"), 16) == DEFAULT_CAPABILITIES
    assert int(status_field(status, "CapBnd"), 16) == DEFAULT_CAPABILITIES
    assert int(status_field(status, "CapInh"), 16) == 0
    assert status_field(status, "Seccomp") == "2"


def test_a_user_has_no_capabilities(engine: Engine) -> None:
    status = engine.run("--rm", "-u", "1000:1000", "base", "cat", "/proc/self/status")
    assert int(status_field(status, "CapEff"), 16) == 0
    assert status_field(status, "Uid").split() == ["1000"] * 4
    assert status_field(status, "Gid").split() == ["1000"] * 4


def test_users_are_resolved_in_the_image(engine: Engine) -> None:
    assert engine.run("--rm", "-u", "user", "base", "id").startswith("uid=1000(user) gid=1000(user)")
    assert "50(staff)" in engine.run("--rm", "-u", "user", "base", "id")
    assert engine.run("--rm", "-u", "4711", "base", "sh", "-c", "id -u; id -g").split() == ["4711", "0"]


def test_seccomp_denies_what_docker_denies(engine: Engine) -> None:
    done = engine.docket("run", "--rm", "--network", "none", "base", "unshare", "-U", "true", check=False)
    assert done.returncode != 0 and "not permitted" in done.stderr


def test_memory_limit_holds_and_the_kill_is_recorded(engine: Engine) -> None:
    hog = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    done = engine.docket("run", "--network", "none", "--name", "hog", "-m", "20m", "base", "sh", "-c", hog, check=False)
    assert done.returncode != 0
    eventually(lambda: "container.oom_killed" in engine.event_types("hog"))
    assert engine.inspect("hog")["State"]["OOMKilled"] is True


def test_limits_are_what_the_kernel_says(engine: Engine) -> None:
    limits = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "50"]
    engine.run("-d", "--name", "limited", *limits, "base", "sleep", "100")
    pid = engine.inspect("limited")["State"]["Pid"]
    mounts = cgroup_mounts()
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    paths = {name: line.split(":")[2] for line in lines for name in line.split(":")[1].split(",")}
    if "memory" in mounts:
        memory = mounts["memory"] / paths["memory"][1:] / "memory.limit_in_bytes"
        quota = mounts["cpu"] / paths["cpu"][1:] / "cpu.cfs_quota_us"
        pids = mounts["pids"] / paths["pids"][1:] / "pids.max"
    else:
        folder = mounts["v2"] / paths[""][1:]
        memory, quota, pids = folder / "memory.max", folder / "cpu.max", folder / "pids.max"
    assert memory.read_text().strip() == str(64 << 20)
    assert quota.read_text().split()[0] == "50000"
    assert pids.read_text().strip() == "50"
    recorded = str(evidence(engine, "limited"))
    assert str(64 << 20) in recorded and "50000" in recorded


def test_a_fork_bomb_is_stopped_by_pids(engine: Engine) -> None:
    bomb = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo no limit"
    done = engine.docket("run", "--rm", "--network", "none", "--pids-limit", "5", "base", "sh", "-c", bomb, check=False)
    assert "no limit" not in done.stdout
    assert "fork" in done.stderr


def test_environment_and_working_directory(engine: Engine) -> None:
    script = "pwd; echo $A; echo $PATH; echo $HOME"
    shown = engine.run("--rm", "-e", "A=b", "-w", "/made/for/it", "base", "sh", "-c", script)
    directory, value, path, home = shown.splitlines()
    assert (directory, value, home) == ("/made/for/it", "b", "/root")
    assert path == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_environment_file(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\nONE=1\nTWO=two words\n")
    shown = engine.run("--rm", "--env-file", str(file), "base", "sh", "-c", 'echo "$ONE/$TWO"')
    assert shown == "1/two words\n"


def test_devices_are_dockers_and_no_more(engine: Engine) -> None:
    shown = set(engine.run("--rm", "base", "ls", "/dev").split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx", "pts",
            "shm", "mqueue"} <= shown  # fmt: skip
    assert not [name for name in shown if re.match(r"sd|vd|nvme|loop|mem|kmsg|kvm", name)]
    denied = engine.docket(
        "run", "--rm", "--network", "none", "base", "sh", "-c", "mknod /tmp/d b 254 0 && cat /tmp/d", check=False
    )
    assert denied.returncode != 0 and "not permitted" in denied.stderr


def test_masked_and_read_only_paths(engine: Engine) -> None:
    script = """
        cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c
        ls /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -vc ':$'
        echo 1 >/proc/sys/kernel/printk && echo written
        echo 1 >/proc/sysrq-trigger && echo written
        mkdir /sys/fs/cgroup/x && echo made
        exit 0
    """
    shown = engine.run("--rm", "base", "sh", "-c", script)
    assert "written" not in shown and "made" not in shown
    assert shown.split()[0] == "0"


def test_read_only_root_and_tmpfs(engine: Engine) -> None:
    script = "touch /x; echo $?; touch /run/y && echo ok; grep ' /run ' /proc/mounts"
    shown = engine.run("--rm", "--read-only", "--tmpfs", "/run:size=1m", "base", "sh", "-c", script).splitlines()
    assert shown[0] == "1" and shown[1] == "ok"
    assert shown[2].startswith("tmpfs /run tmpfs") and "size=1024k" in shown[2]


def test_the_host_is_out_of_sight(engine: Engine) -> None:
    """pivot_root and not a mere chroot: no mount of the host is left, no descriptor leads out."""
    shown = engine.run("--rm", "base", "sh", "-c", "cat /proc/self/mountinfo; echo; ls -l /proc/self/fd")
    mounts, _, descriptors = shown.partition("\n\n")
    root = [line for line in mounts.splitlines() if line.split()[4] == "/"]
    assert len(root) == 1 and " overlay " in root[0]
    numbers = {line.split()[-3] for line in descriptors.splitlines() if "->" in line}
    assert numbers <= {"0", "1", "2", "3"}  # 3 is the listing's own


def test_nothing_inside_shows_on_the_host(engine: Engine) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    engine.run("-d", "--name", "quiet", "base", "sleep", "100")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_hosts_and_resolver_files(engine: Engine) -> None:
    shown = engine.run("--rm", "--hostname", "me", "base", "cat", "/etc/hosts", "/etc/hostname")
    assert "localhost" in shown and shown.endswith("me\n")
    assert "10.1.2.3\tother" in engine.run("--rm", "--add-host", "other:10.1.2.3", "base", "cat", "/etc/hosts")


def test_what_programs_look_for_in_a_container(engine: Engine) -> None:
    """As Docker has it; none of it is the image's, and removing it is no change of the image."""
    assert engine.run("--rm", "base", "sh", "-c", "stat -c %a /.dockerenv; readlink /etc/mtab") == "755\n/proc/mounts\n"
    engine.run("--name", "without", "base", "rm", "/.dockerenv", "/etc/mtab")
    assert engine.docket("diff", "without").stdout == ""
    engine.run("--name", "other", "base", "sh", "-c", "rm /etc/mtab; echo mine > /etc/mtab")
    assert engine.docket("diff", "other").stdout.split("\n")[:2] == ["C /etc", "A /etc/mtab"]


def test_layers_are_shared_and_never_written(engine: Engine) -> None:
    def layer_files() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for folder in ("layers", "stubs") for path in (engine.root / folder).rglob("*")
        }  # fmt: skip

    before = layer_files()
    engine.run("--rm", "base", "sh", "-c", "rm -r /etc; echo x >/bin/new; chmod 700 /bin; echo y >>/bin/busybox; true")
    assert layer_files() == before


def test_ulimits(engine: Engine) -> None:
    assert engine.run("--rm", "--ulimit", "nofile=64:64", "base", "sh", "-c", "ulimit -n") == "64\n"


def test_a_hard_limit_that_cannot_be_raised_is_a_warning(engine: Engine) -> None:
    if not _hard_limit_is_fixed():
        pytest.skip("kernel or machine lacks nothing here: hard rlimits can be raised")
    done = engine.docket("run", "--rm", "--network", "none", "--ulimit", "core=-1:-1", "base", "echo", "ran")
    assert done.stdout == "ran\n"


def _hard_limit_is_fixed() -> bool:
    effective = int(status_field(Path("/proc/self/status").read_text(), "CapEff"), 16)
    return not effective >> 24 & 1


def test_shm_size_and_ipc(engine: Engine) -> None:
    shown = engine.run("--rm", "--shm-size", "1m", "base", "grep", " /dev/shm ", "/proc/mounts")
    assert "size=1024k" in shown
    assert " /dev/mqueue mqueue " in engine.run("--rm", "base", "cat", "/proc/mounts")
