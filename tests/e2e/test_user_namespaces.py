"""--userns remap: root inside is nobody outside. And --time-offset: clocks of the container's own."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Iterator

import pytest

from support.engine import Engine, running_engine
from support.machine import ENGINE_NEEDS, first_lack
from e2e.test_isolation import evidence

pytestmark = pytest.mark.kernel

FIRST, COUNT = 300_000, 65_536


@pytest.fixture(scope="module")
def mapping_engine(rootfs: Path) -> Iterator[Engine]:
    """An engine on whose machine /etc/subuid and /etc/subgid have a range for it."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(None, start=False) as engine:
        ranges = engine.home / "ranges"
        ranges.write_text(f"somebody:100000:1000\ndocket:{FIRST}:{COUNT}\n")
        engine.covers = {"/etc/subuid": ranges, "/etc/subgid": ranges}
        engine.start()
        engine.docket("import", str(rootfs), "base")
        yield engine


@pytest.fixture
def mapped(mapping_engine: Engine) -> Iterator[Engine]:
    yield mapping_engine
    mapping_engine.reset()


def test_root_inside_is_nobody_outside(mapped: Engine) -> None:
    mapped.run("-d", "--name", "web", "--userns", "remap", "base", "sleep", "100")
    pid = mapped.inspect("web")["State"]["Pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == FIRST
    assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    assert mapped.docket("exec", "web", "sh", "-c", "id -u; cat /proc/self/uid_map").stdout.split() == [
        "0", "0", str(FIRST), str(COUNT),
    ]  # fmt: skip
    found = evidence(mapped, "web")
    assert found["uid_map"] == ["0", str(FIRST), str(COUNT)]
    assert found["namespaces"]["user"] == os.stat(f"/proc/{pid}/ns/user").st_ino


def test_owners_of_the_image_and_of_new_files(mapped: Engine) -> None:
    script = "touch /new /tmp/own; chown 1000:1000 /tmp/own; stat -c '%u:%g' / /bin /new /tmp/own"
    shown = mapped.run("--rm", "--userns", "remap", "base", "sh", "-c", script).split()
    assert shown[:4] == ["0:0", "0:0", "0:0", "1000:1000"]


def test_the_layers_are_as_before_and_deleting_works(mapped: Engine) -> None:
    before = {str(path): path.lstat().st_uid for path in (mapped.root / "layers").rglob("*")}
    script = (
        "rm -r /etc/passwd; ls -A /etc | grep -c '^passwd$'; echo x >>/etc/group; mkdir -p /a/b && mv /a /c && ls /c"
    )
    shown = mapped.run("--rm", "--userns", "remap", "base", "sh", "-c", script)
    assert shown.split() == ["0", "b"]
    assert {str(path): path.lstat().st_uid for path in (mapped.root / "layers").rglob("*")} == before


def test_volumes_are_mapped_and_folders_of_the_host_are_not(mapped: Engine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host\n")
    (tmp_path / "secret").chmod(0o600)
    tmp_path.chmod(0o755)
    script = "echo x >/vol/file; stat -c %u /vol /vol/file /host/secret; cat /host/secret; touch /host/x; exit 0"
    mounts = ("-v", "data:/vol", "-v", f"{tmp_path}:/host")
    shown = mapped.run("--rm", "--userns", "remap", *mounts, "base", "sh", "-c", script)
    assert shown.split() == ["0", "0", "65534"] and not (tmp_path / "x").exists()
    assert (mapped.root / "volumes/data/_data/file").stat().st_uid == 0, "the owner on disk is the container's number"
    assert mapped.run("--rm", "-v", "data:/vol", "base", "stat", "-c", "%u", "/vol/file") == "0\n"


def test_users_streams_and_terminals(mapped: Engine) -> None:
    script = "id -u; echo out >/dev/stdout"
    shown = mapped.run("--rm", "--userns", "remap", "-u", "1000:1000", "base", "sh", "-c", script)
    assert shown.split() == ["1000", "out"]
    mapped.run("-d", "-t", "--name", "web", "--userns", "remap", "-u", "1000", "--init", "base", "sleep", "100")
    assert mapped.docket("exec", "web", "sh", "-c", "id -u; echo again >/dev/stderr").stdout == "1000\n"
    shown = mapped.docket("exec", "-t", "-u", "0", "web", "sh", "-c", "tty; touch /root/x && stat -c %u /root/x").stdout
    assert shown.split() == ["/dev/pts/1", "0"]
    mapped.docket("restart", "-t", "0", "web")
    assert mapped.docket("exec", "web", "id", "-u").stdout == "1000\n"


def test_a_capability_inside_is_none_outside(mapped: Engine) -> None:
    """CAP_SYS_ADMIN over its own namespaces, and over nothing of the host's: no setting, no log, no raw disk."""
    script = """
        mkdir -p /m && mount -t tmpfs x /m && echo mounted; hostname inside && hostname
        exec 2>/dev/null
        mknod /tmp/disk b 254 0 && echo NODE; echo 4 >/proc/sys/kernel/printk && echo PRINTK
        dmesg -c | grep -q . && echo LOG; mount -o remount,rw,size=1m / && echo REMOUNTED; exit 0
    """
    flags = ("--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")
    shown = mapped.run("--rm", "--userns", "remap", *flags, "base", "sh", "-c", script)
    assert shown.split() == ["mounted", "inside"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--userns", "remap:stranger"), "has no range for stranger"),
        (("--userns", "wild"), "invalid USER mode"),
        (("--userns", "remap", "--privileged"), "incompatible with user namespaces"),
        (("--userns", "remap", "--pid", "host"), "cannot share a PID namespace"),
        (("--userns", "remap", "--ipc", "container:x"), "cannot share a IPC namespace"),
    ],
)
def test_what_does_not_go_together(mapped: Engine, flags: tuple[str, ...], message: str) -> None:
    done = mapped.docket("run", "--rm", "--network", "none", *flags, "base", "true", check=False)
    assert done.returncode == 125 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_launch_that_fails_leaves_nothing(mapped: Engine) -> None:
    done = mapped.docket("run", "--rm", "--network", "none", "--userns", "remap", "base", "no-such", check=False)
    assert done.returncode == 127
    assert str(mapped.home) not in Path("/proc/self/mountinfo").read_text()


# --- time ----------------------------------------------------------------------------------------------------------


def test_clocks_ahead_and_behind(mapped: Engine) -> None:
    flags = ("--time-offset", "boottime=240h", "--time-offset", "monotonic=-10s")
    mapped.run("-d", "--name", "web", *flags, "base", "sleep", "100")
    here_s = float(Path("/proc/uptime").read_text().split()[0])
    for text in (
        mapped.docket("exec", "web", "cat", "/proc/uptime").stdout,
        mapped.docket("exec", "web", "sh", "-c", "cat /proc/uptime").stdout,
    ):
        assert 240 * 3600 <= float(text.split()[0]) - here_s < 240 * 3600 + 60
    assert evidence(mapped, "web")["time_offsets"] == {"monotonic": [-10, 0], "boottime": [864_000, 0]}
    pid = mapped.inspect("web")["State"]["Pid"]
    assert os.readlink(f"/proc/{pid}/ns/time") != os.readlink("/proc/self/ns/time")
    assert "unknown clock" in mapped.api(
        "POST", "/containers/create",
        {"Image": "base", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "TimeOffsets": {"realtime": 1}}},
    ).json["message"]  # fmt: skip


# --- what the host reads and writes of such a container ---------------------------------------------------------------


def test_owners_that_leave_the_container_are_its_own(mapped: Engine, tmp_path: Path) -> None:
    """Exported, committed and copied, running and at rest: never the host's numbers."""
    mapped.run("-d", "--name", "web", "--userns", "remap", "base", "sh", "-c", "mkdir /d; chown 1000:50 /d; sleep 100")
    mapped.docket("exec", "web", "sh", "-c", "while [ $(stat -c %u /d) = 0 ]; do sleep 0.05; done")
    (tmp_path / "in").write_text("copied\n")
    mapped.docket("cp", str(tmp_path / "in"), "web:/in")
    assert mapped.docket("exec", "web", "stat", "-c", "%u:%g", "/in").stdout == "0:0\n"
    assert exported(mapped, tmp_path)["d"] == (1000, 50)
    mapped.docket("commit", "web", "copy")
    shown = mapped.run("--rm", "copy", "stat", "-c", "%u:%g", "/d", "/in", "/bin").split()
    assert shown == ["1000:50", "0:0", "0:0"]
    mapped.docket("stop", "-t", "0", "web")
    owners = exported(mapped, tmp_path)
    assert owners["d"] == (1000, 50) and max(owner for owner, _ in owners.values()) < FIRST
    mapped.docket("cp", str(tmp_path / "in"), "web:/again")
    mapped.docket("start", "web")
    assert mapped.docket("exec", "web", "stat", "-c", "%u", "/again").stdout == "0\n"


def exported(engine: Engine, folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> owner of everything in the container's export."""
    engine.docket("export", "-o", str(folder / "root.tar"), "web")
    with tarfile.open(folder / "root.tar") as archive:
        return {member.name: (member.uid, member.gid) for member in archive}
