"""An ordinary user's engine: daemon, containers, images and volumes without root."""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import tarfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from support.census import processes_of
from support.engine import Engine, running_engine
from support.forked import in_child
from support.machine import ROOTLESS_NEEDS, first_lack, private_mounts
from support.users import become_user
from support.waiting import eventually
from e2e.test_isolation import evidence

pytestmark = pytest.mark.kernel

USER, FIRST, COUNT = 54_321, 600_000, 65_536


def lack() -> str | None:
    """Why there can be no such engine here."""
    if (reason := first_lack("root", *ROOTLESS_NEEDS)) is not None:
        return reason
    return None if shutil.which("newuidmap") else "newuidmap is not installed (Debian's uidmap)"


@contextmanager
def engine_of_a_user(rootfs: Path) -> Iterator[Engine]:
    """The user has ranges, and may open the device for networks."""
    if (reason := lack()) is not None:
        pytest.skip(reason)
    with running_engine(None, start=False) as engine:
        engine.user = USER
        engine.covers = covers(engine.home)
        engine.start()
        engine.docket("import", str(rootfs), "base")
        yield engine


@pytest.fixture(scope="module")
def user_engine(rootfs: Path) -> Iterator[Engine]:
    with engine_of_a_user(rootfs) as engine:
        yield engine


@pytest.fixture
def mortal(rootfs: Path) -> Iterator[Engine]:
    """One to be killed."""
    with engine_of_a_user(rootfs) as engine:
        yield engine


def covers(home: Path) -> dict[str, Path]:
    """Files that know the user, in place of the machine's."""
    files = {
        "/etc/passwd": f"root:x:0:0::/root:/bin/sh\nordinary:x:{USER}:{USER}::{home}:/bin/sh\n",
        "/etc/subuid": f"ordinary:{FIRST}:{COUNT}\n", "/etc/subgid": f"{USER}:{FIRST}:{COUNT}\n",
    }  # fmt: skip
    found = {}
    for path, text in files.items():
        found[path] = home / Path(path).name
        found[path].write_text(text)
    if os.path.exists("/dev/net/tun"):
        os.mknod(home / "tun", stat.S_IFCHR, os.stat("/dev/net/tun").st_rdev)
        (home / "tun").chmod(0o666)
        found["/dev/net/tun"] = home / "tun"
    return found


@pytest.fixture
def mine(user_engine: Engine) -> Iterator[Engine]:
    user_engine.reset()
    yield user_engine
    user_engine.reset()


def test_root_inside_is_the_user_outside(mine: Engine) -> None:
    mine.run("-d", "--name", "web", "-v", "data:/data", "base", "sleep", "100")
    pid = mine.inspect("web")["State"]["Pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == USER
    assert evidence(mine, "web")["uid_map"] == ["0", str(USER), "1", "1", str(FIRST), str(COUNT)]
    script = "cd /data; touch own; chown 1000:50 own; mkdir -m 0 shut; chown 7 shut; stat -c %u:%g own"
    assert mine.docket("exec", "web", "sh", "-c", script).stdout == "1000:50\n"
    assert (mine.root / "volumes/data/_data/own").stat()[4:6] == (FIRST + 999, FIRST + 49)
    assert mine.docket("exec", "-u", "user", "web", "id", "-u").stdout == "1000\n"
    assert b"data/own" in mine.api("GET", "/containers/web/archive?path=/data").body
    assert "sleep 100" in mine.docket("top", "web").stdout
    mine.docket("rm", "-f", "web")
    mine.docket("volume", "rm", "data")  # with what the user could not even look into
    eventually(lambda: not os.listdir(mine.root / "trash"), what="the trash is empty")
    for folder in (mine.root, mine.run_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert stat.S_IMODE(mine.socket.stat().st_mode) == 0o600


def test_what_takes_root_is_said(mine: Engine) -> None:
    done = mine.docket("run", "--network", "none", "--name", "web", "-m", "64m", "base", "true")
    (warning,) = done.stderr.splitlines()
    assert "limits are discarded (memory)" in warning
    (started,) = [event for event in mine.trail("web") if event["type"] == "container.started"]
    assert any("discarded (memory)" in text for text in started["data"]["warnings"])
    assert "freeze" in mine.refused("pause", mine.run("-d", "base", "sleep", "100").strip())
    refused = {
        ("--userns", "remap"): "takes root", ("--pid", "host"): "cgroup", ("--network", "mine"): "bridges take root",
        ("-u", "70000"): "user 70000 can't be had", ("--storage-opt", "size=1g"): "takes root",
    }  # fmt: skip
    for words, reason in refused.items():
        network = () if "--network" in words else ("--network", "none")
        done = mine.docket("run", "--rm", *network, *words, "base", "true", check=False)
        assert done.returncode != 0 and reason in done.stderr, (words, done.stderr)
    assert "bridges take root" in mine.refused("network", "create", "mine")


def test_namespaces_of_the_host_can_be_shared(mine: Engine) -> None:
    script = "ls /sys/class/net; hostname; ls -d /dev/mqueue /proc/self; mount -t tmpfs none /mnt"
    shared = ("--network", "host", "--uts", "host", "--ipc", "host")
    shown = mine.docket("run", "--rm", *shared, "base", "sh", "-c", script, check=False).stdout.split()
    assert {"lo", os.uname().nodename, "/dev/mqueue", "/proc/self"} <= set(shown)


def test_a_build(mine: Engine, tmp_path: Path) -> None:
    recipe = (
        "FROM base\nRUN --mount=type=cache,target=/c,uid=5 mkdir -m 700 /x; chown 1000 /x; rm -r /srv; mkdir /srv\n"
        "COPY --chown=1000 file /x/\nUSER user\nCMD ls -ln /x\n"
    )
    with tarfile.open(tmp_path / "context.tar", "w") as context:
        for name, text in (("Dockerfile", recipe), ("file", "x")):  # of somebody, whose files the daemon can't read
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(text), 0o600, 1000
            context.addfile(info, io.BytesIO(text.encode()))
    with (tmp_path / "context.tar").open("rb") as stream:
        mine.docket("build", "--network", "none", "-t", "built", "-", stdin=stream)
    assert " 1000 " in mine.run("--rm", "built")
    mine.docket("rmi", "-f", "built")


def test_the_next_daemon_reaches_containers_or_leaves_nothing_of_them(mortal: Engine) -> None:
    mortal.run("-d", "--name", "plain", "base", "sleep", "1000")
    # a change of user takes back that the kernel ends it with the shim
    mortal.run("-d", "--name", "other", "base", "su", "user", "-s", "/bin/sh", "-c", "exec sleep 1000")
    pids = [mortal.inspect(name)["State"]["Pid"] for name in ("plain", "other")]
    eventually(lambda: Path(f"/proc/{pids[1]}").stat().st_uid == FIRST + 999, what="it is another user's")
    mortal.kill()
    mortal.start()
    assert mortal.docket("exec", "plain", "id", "-u").stdout == "0\n"
    assert b"passwd" in mortal.api("GET", "/containers/plain/archive?path=/etc/passwd").body
    shims = mortal.shim_pids()
    mortal.kill()
    for pid in shims:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: _has_ended(pids[0]), what="the container has ended with its shim")
    assert not _has_ended(pids[1])
    mortal.start()
    for name in ("plain", "other"):
        state = mortal.inspect(name)["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 255)
        assert mortal.trail(name)[-1]["data"]["cause"] == "shim lost"
    eventually(lambda: _has_ended(pids[1]), what="the other container's process has ended")
    mortal.docket("start", "plain")
    assert mortal.inspect("plain")["State"]["Running"]


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("program", ["pasta", "slirp4netns"])
def test_ports_are_published_by_a_program(mine: Engine, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian's {'passt' if program == 'pasta' else program})")
    if "/dev/net/tun" not in mine.covers:
        pytest.skip("kernel or machine lacks /dev/net/tun")
    command = ("base", "httpd", "-f", "-h", "/etc")
    mine.docket("run", "-d", "--name", "web", "--network", program, "-p", "127.0.0.1::80", *command)
    (port,) = [line.rpartition(":")[2] for line in mine.docket("port", "web").stdout.split("\n") if line]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/passwd", timeout=5) as answer:
        assert answer.read().startswith(b"root:")
    helper = [pid for pid in processes_of(mine.home) if _name_of(pid).startswith((program, "passt"))]
    assert len(helper) == 1
    mine.docket("rm", "-f", "web")
    eventually(lambda: _has_ended(helper[0]), what="the program has ended")


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_the_command_finds_its_users_engine(mine: Engine) -> None:
    """By the folders of the XDG Base Directory Specification; and the log says who it was."""

    def story() -> list[str]:
        private_mounts()
        become_user(USER, mine.home)
        for name in [name for name in os.environ if name.startswith("DOCKET_")]:
            del os.environ[name]
        os.environ["XDG_RUNTIME_DIR"] = str(mine.home / "xdg")
        from engine.client.address import default_root, default_run_dir
        from engine.client.api import Client

        with Client() as client:
            client.call("POST", "/volumes/create", {"Name": "who"})
        return [default_root(), default_run_dir()]

    (mine.home / "xdg").mkdir(exist_ok=True)
    if not (mine.home / "xdg/docket").exists():
        (mine.home / "xdg/docket").symlink_to(mine.run_folder)
    assert in_child(story) == [f"{mine.home}/.local/share/docket", f"{mine.home}/xdg/docket"]
    assert mine.trail("who")[0]["actor"]["uid"] == USER


def with_a_folder_of_another(engine: Engine) -> None:
    """The image "filled", whose /data belongs to a user whom the engine's own user can't act for."""
    script = "mkdir /data; cd /data; echo x >file; mkdir sub; echo x >sub/file; chown -R 1000:50 /data; chmod 700 /data"
    engine.run("--name", "maker", "base", "sh", "-c", script)
    assert engine.api("POST", "/commit?container=maker&repo=filled", {}).status == 201
    engine.docket("rm", "maker")


def test_a_volume_of_anothers_is_empty_after_a_start_that_failed(mine: Engine) -> None:
    with_a_folder_of_another(mine)
    done = mine.docket("run", "--network", "none", "-v", "data:/data", "filled", "/none/such", check=False)
    assert done.returncode == 127 and "/none/such" in done.stderr, done.stderr
    assert mine.run("--rm", "-v", "data:/data", "base", "ls", "-a", "/data").split() == [".", ".."]
    assert not (mine.root / "volumes/data/filling").exists()


def test_a_volume_of_anothers_is_empty_after_a_start_that_was_cut_off(mortal: Engine) -> None:
    with_a_folder_of_another(mortal)
    mortal.stop()
    gate = mortal.home / "gate"
    mortal.start(failpoints=f"process.seccomp=1*wait({gate})")
    mortal.docket("create", "--name", "web", "--network", "none", "-v", "data:/data", "filled", "sleep", "9")
    with mortal.spawn("start", "web") as client:
        folder = mortal.root / "volumes/data/_data"
        eventually(lambda: folder.stat().st_uid == FIRST + 999 and folder.stat().st_mode & 0o777 == 0o700)
        for pid in mortal.shim_pids():
            os.kill(pid, signal.SIGKILL)
        mortal.kill()
        client.wait(30)
    mortal.start()
    assert mortal.event_types("web")[-1] == "container.start_failed"
    assert mortal.run("--rm", "-v", "data:/data", "base", "ls", "-a", "/data").split() == [".", ".."]
    assert "volume data" not in mortal.log()
