"""Attacks of the past, tried again. Each test names the class of hole, and tries the attack itself."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import stat
import struct
import sys
import threading
from pathlib import Path
from typing import Iterator

import pytest

from support.census import processes_of
from support.engine import Engine
from support.probe import DATA, IS_POSSIBLE, write_probe
from support.waiting import eventually

pytestmark = pytest.mark.kernel

SEALS = 0x1 | 0x2 | 0x4 | 0x8
F_GET_SEALS = 1034

needs_probe = pytest.mark.skipif(not IS_POSSIBLE, reason="kernel or machine lacks x86-64, whose code the probes are")


def fingerprint(paths: list[Path]) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def interpreter_files() -> list[Path]:
    """The interpreter and every library that is mapped here."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    mapped = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    return [Path(sys.executable).resolve(), *(Path(name) for name in sorted(mapped) if Path(name).is_file())]


@pytest.fixture
def host_is_untouched() -> Iterator[None]:
    """What attackers aim at is as before, and no mount has come or gone."""
    paths = [Path(name) for name in ("/etc/hostname", "/etc/passwd", "/etc/shadow") if Path(name).exists()]
    before, mounts = fingerprint(paths), Path("/proc/self/mountinfo").read_text()
    names = {name: sorted(os.listdir(name)) for name in ("/", "/etc", "/dev")}
    yield
    assert fingerprint(paths) == before and Path("/proc/self/mountinfo").read_text() == mounts
    assert {name: sorted(os.listdir(name)) for name in names} == names


# --- the engine's own program (CVE-2019-5736) ----------------------------------------------------------------------


def test_the_interpreter_can_not_be_overwritten_from_inside(engine: Engine) -> None:
    """The container writes to /proc/PID/exe of everything that enters it, with all the power that there is."""
    before = fingerprint(interpreter_files())
    loop = "while :; do for p in /proc/[0-9]*; do echo evil >$p/exe; done; done 2>/dev/null"
    engine.run("-d", "--name", "evil", "--privileged", "--init", "base", "sh", "-c", loop)
    for _ in range(10):
        engine.docket("exec", "evil", "true")
    engine.docket("run", "--rm", "--network", "none", "base", "/proc/self/exe", "-c", "1", check=False)
    assert fingerprint(interpreter_files()) == before


def test_what_shims_execute_is_sealed(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "--init", "base", "sleep", "100")
    for pid in [*engine.shim_pids(), engine.inspect("web")["State"]["Pid"]]:
        assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:")
        fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
        try:
            assert fcntl.fcntl(fd, F_GET_SEALS) & SEALS == SEALS
        finally:
            os.close(fd)
        with pytest.raises(OSError) as caught:
            os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY | os.O_TRUNC))
        assert caught.value.errno in (errno.ETXTBSY, errno.EPERM)


# --- what enters a container (CVE-2016-9962, CVE-2024-21626) --------------------------------------------------------


def test_a_process_that_enters_can_not_be_looked_into(own_engine: Engine) -> None:
    """Held just before it gives up its powers, the process of an exec shows the container's root nothing."""
    engine = own_engine
    engine.stop()
    engine.start(failpoints="process.seccomp=wait(/entering)")
    spy = """
        while :; do for p in /proc/[0-9]*; do
            case $(cat $p/comm 2>/dev/null) in docket*)
                [ -e /entering ] && touch /seen
                readlink $p/exe && echo LEAK exe; ls $p/fd/0 && echo LEAK fd; head -c1 $p/mem && echo LEAK mem
                readlink $p/cwd && echo LEAK cwd; cat $p/environ && echo LEAK environ; ls $p/map_files && echo LEAK maps
            esac
        done; done 2>/dev/null | grep LEAK
    """
    create = engine.spawn("run", "-d", "--network", "none", "--name", "spy", "base", "sh", "-c", spy)
    held = eventually(lambda: next(Path("/proc").glob("[0-9]*/root/entering"), None), what="the init waits")
    held.unlink()
    create.communicate(timeout=30)
    client = engine.spawn("exec", "spy", "true")
    inside = Path(f"/proc/{engine.inspect('spy')['State']['Pid']}/root")
    eventually(lambda: (inside / "seen").exists(), what="the spy has seen the process that enters")
    (inside / "entering").unlink()
    client.communicate(timeout=30)
    assert engine.docket("logs", "spy").stdout == ""


@pytest.mark.parametrize("number", range(3, 12))
def test_no_descriptor_of_the_hosts_is_a_way_out(engine: Engine, number: int) -> None:
    for flags in (("-w", f"/proc/self/fd/{number}"), ("-w", f"/proc/self/fd/{number}/../../../..")):
        done = engine.docket("run", "--rm", "--network", "none", *flags, "base", "pwd", check=False)
        assert done.returncode in (125, 126, 127) and "chdir to cwd" in done.stderr


def test_an_exec_has_no_way_out_either(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    for number in range(3, 12):
        done = engine.docket("exec", "-w", f"/proc/self/fd/{number}", "web", "pwd", check=False)
        assert done.returncode in (126, 127), done.stdout
    shown = engine.docket("exec", "web", "ls", "-l", "/proc/self/fd").stdout.splitlines()
    assert len([line for line in shown if "->" in line]) <= 4  # 0, 1, 2 and the listing's own


# --- names that change under the engine's hands (CVE-2021-30465, CVE-2024-45310, CVE-2025-31133, CVE-2025-52565) ----


def flipping(engine: Engine, name: str, target: str) -> None:
    """A container that for ever exchanges a folder of a shared volume for a link to ``target``."""
    script = f"""
        cd /vol; mkdir -p a; ln -sfn {target} b
        while :; do
            mv a point 2>/dev/null; mv point a; mv b point; mv point b
        done 2>/dev/null
    """
    engine.run("-d", "--name", name, "-v", "shared:/vol", "base", "sh", "-c", script)


@pytest.mark.parametrize("target", ["/", "/../../../../../../etc", "/proc/self/fd/3", "/dev"])
def test_a_mount_point_exchanged_for_a_link(engine: Engine, host_is_untouched: None, target: str) -> None:
    flipping(engine, "flipper", target)
    for _ in range(12):
        mount = ("-v", "shared:/vol", "--tmpfs", "/vol/point/made", "-v", "/etc/hostname:/vol/point/made/file:ro")
        engine.docket("run", "--rm", "--network", "none", *mount, "base", "true", check=False)
    assert not Path("/made").exists() and not Path("/etc/made").exists()


def test_a_console_exchanged_for_a_link(engine: Engine, host_is_untouched: None) -> None:
    """/dev itself is a volume that another container plays with."""
    script = "cd /vol; while :; do rm -f console; ln -s /../../etc/hostname console; rm console; touch console; done"
    engine.run("-d", "--name", "flipper", "-v", "shared:/vol", "base", "sh", "-c", script)
    for _ in range(12):
        engine.docket("run", "--rm", "-t", "--network", "none", "-v", "shared:/dev", "base", "true", check=False)


def test_a_working_directory_is_not_made_on_the_host(engine: Engine, host_is_untouched: None) -> None:
    flipping(engine, "flipper", "/../../../../..")
    for number in range(12):
        flags = ("-v", "shared:/vol", "-w", f"/vol/point/escaped-{number}")
        engine.docket("run", "--rm", "--network", "none", *flags, "base", "true", check=False)
    assert not [name for name in os.listdir("/") if name.startswith("escaped")]


# --- system calls (the default profile, by the kernel's own answers) -----------------------------------------------

CLONE_NEWUSER, AF_ALG, AF_VSOCK, SOCK_RAW = 0x1000_0000, 38, 40, 3
BLOCKED = {
    "mount": (165, (DATA, DATA, DATA)), "umount2": (166, (DATA,)), "unshare a user namespace": (272, (CLONE_NEWUSER,)),
    "setns": (308, (0, 0)), "keyctl": (250, (0,)), "add_key": (248, (DATA, DATA)), "request_key": (249, (DATA, DATA)),
    "bpf": (321, (0,)), "perf_event_open": (298, (DATA,)), "init_module": (175, ()), "delete_module": (176, (DATA,)),
    "kexec_load": (246, ()), "reboot": (169, (0xFEE1DEAD, 672274793, 0)), "swapon": (167, (DATA,)),
    "pivot_root": (155, (DATA, DATA)), "settimeofday": (164, (DATA,)), "acct": (163, (0,)), "syslog": (103, (3,)),
    "open_by_handle_at": (304, (0, DATA)), "iopl": (172, (3,)), "userfaultfd": (323, ()), "quotactl": (179, (0,)),
    "io_uring_setup": (425, (1, DATA)), "socket of AF_ALG": (41, (AF_ALG, 5)),
    "socket of AF_VSOCK": (41, (AF_VSOCK, 1)),
    "open_tree": (428, (-100, DATA)), "fsopen": (430, (DATA,)), "move_mount": (429, (-1, DATA, -1, DATA)),
    "sethostname": (170, (DATA, 1)), "clone of a user namespace": (56, (CLONE_NEWUSER | 17,)),
}  # fmt: skip
ALLOWED = {"getpid": (39, ()), "socket of AF_INET": (41, (2, 1)), "socket of AF_UNIX": (41, (1, 1)), "brk": (12, (0,))}


def errno_of(engine: Engine, folder: Path, number: int, arguments: tuple[int, ...], *flags: str) -> int:
    """What the call answers inside."""
    return errnos_of(engine, folder, {"it": (number, arguments)}, *flags)["it"]


def errnos_of(
    engine: Engine, folder: Path, calls: dict[str, tuple[int, tuple[int, ...]]], *flags: str
) -> dict[str, int]:
    """What each call answers inside of one container."""
    folder.chmod(0o755)
    for place, (number, arguments) in enumerate(calls.values()):
        write_probe(folder / f"probe-{place}", number, *arguments, data=b"tmpfs\0" + bytes(64))
    script = f"for i in $(seq 0 {len(calls) - 1}); do /p/probe-$i; echo $?; done"
    command = ("run", "--rm", "--network", "none", *flags, "-v", f"{folder}:/p:ro", "base", "sh", "-c", script)
    return dict(zip(calls, map(int, engine.docket(*command).stdout.split()), strict=True))


@needs_probe
def test_blocked_and_allowed_calls(engine: Engine, tmp_path: Path) -> None:
    answers = errnos_of(engine, tmp_path, BLOCKED | ALLOWED)
    open_ = {name for name in BLOCKED if answers[name] not in (errno.EPERM, errno.ENOSYS, errno.EACCES)}
    assert not open_ and not [name for name in ALLOWED if answers[name] != 0], answers


@needs_probe
def test_raw_network_takes_its_capability(engine: Engine, tmp_path: Path) -> None:
    raw = (41, (2, SOCK_RAW, 1))
    assert errno_of(engine, tmp_path, *raw) == 0
    assert errno_of(engine, tmp_path, *raw, "--cap-drop", "NET_RAW") == errno.EPERM
    assert errno_of(engine, tmp_path, *raw, "-u", "1000") == errno.EPERM


@needs_probe
def test_setuid_programs_and_no_new_privileges(engine: Engine, tmp_path: Path) -> None:
    """A program of root's with the setuid bit gives its user root, and with no-new-privileges nothing."""
    tmp_path.chmod(0o755)
    write_probe(tmp_path / "suid", 105, 0, mode=0o4755)  # setuid(0)
    command = ("-u", "1000", "-v", f"{tmp_path}:/p:ro", "base", "/p/suid")
    assert engine.docket("run", "--rm", "--network", "none", *command, check=False).returncode == 0
    option = ("--security-opt", "no-new-privileges")
    done = engine.docket("run", "--rm", "--network", "none", *option, *command, check=False)
    assert done.returncode == errno.EPERM


# --- the kernel's files --------------------------------------------------------------------------------------------


def test_cgroups_are_no_way_out(engine: Engine) -> None:
    """release_agent (CVE-2022-0492): neither there, nor mounted anew, nor by a user namespace's root."""
    script = """
        find /sys/fs/cgroup -name release_agent -exec sh -c 'echo /x >{} && echo WRITTEN' \\;
        mkdir /tmp/c && mount -t cgroup -o memory cgroup /tmp/c && echo MOUNTED
        mount -t cgroup2 cgroup /tmp/c && echo MOUNTED
        echo 1 >/sys/fs/cgroup/memory/notify_on_release && echo WRITTEN
        mkdir /sys/fs/cgroup/memory/child && echo MADE
        echo max >/sys/fs/cgroup/memory/memory.limit_in_bytes && echo WRITTEN
        exit 0
    """
    assert engine.run("--rm", "-m", "64m", "base", "sh", "-c", script) == ""


def test_settings_of_the_kernel_can_not_be_written(engine: Engine) -> None:
    script = """
        for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/panic_on_oom \
            /proc/irq/default_smp_affinity /sys/kernel/uevent_helper /sys/power/state /sys/kernel/mm/ksm/run; do
            [ -e $f ] && cat $f >/dev/null; echo 0 >$f && echo "$f WRITTEN"
        done; mount -o remount,rw /proc/sys && echo REMOUNTED; mount -o remount,rw /sys && echo REMOUNTED
        umount /proc/sys && echo UNCOVERED; dmesg && echo READ; exit 0
    """
    assert engine.run("--rm", "base", "sh", "-c", script) == ""


# --- the engine's own doors ------------------------------------------------------------------------------------------


def test_no_abstract_socket_and_no_door_for_others(engine: Engine) -> None:
    """CVE-2020-15257: a container in the host's network sees no socket of the engine's."""
    shown = engine.docket("run", "--rm", "--network", "host", "base", "cat", "/proc/net/unix").stdout
    assert not [line for line in shown.splitlines() if "@" in line and "docket" in line.lower()]
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    shims = engine.run_folder / "shims"
    assert stat.S_IMODE(shims.stat().st_mode) == 0o700
    for entry in shims.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(engine.socket.stat().st_mode) & 0o007 == 0


def test_nothing_on_disk_is_for_others(engine: Engine) -> None:
    """CVE-2024-25621: another user of the machine reads no layer, no log, no secret of a configuration."""
    engine.run("-d", "--name", "web", "-e", "SECRET=1", "base", "sleep", "100")
    for path in (engine.root / "containers", engine.root / "layers", engine.root / "content"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((engine.root / "docket.db").stat().st_mode) & 0o077 == 0


def test_the_actor_is_who_connected_whatever_it_says(engine: Engine) -> None:
    """A process connects, hands the connection on and ends: its pid stays with the deed."""
    reader, writer = os.pipe()
    connection = socket.socket(socket.AF_UNIX)
    pid = os.fork()
    if pid == 0:
        connection.connect(str(engine.socket))
        os.write(writer, b"connected")
        os.read(reader, 0)
        threading.Event().wait(0.5)
        os._exit(0)
    os.read(reader, 9)
    os.waitpid(pid, 0)
    for fd in (reader, writer):
        os.close(fd)
    connection.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engine.socket))
        credentials = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert credentials[0] == engine.daemon_pid()
        body = b'{"Name": "mine"}'
        head = f"POST /volumes/create HTTP/1.1\r\nHost: x\r\nX-Actor: uid=4711\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        client.recv(4096)
    actor = engine.trail("mine")[0]["actor"]
    assert (actor["uid"], actor["pid"]) == (os.getuid(), os.getpid())


def test_an_engine_leaves_no_process_of_an_attack(engine: Engine) -> None:
    engine.run("-d", "--name", "bomb", "--pids-limit", "30", "base", "sh", "-c", "f() { f | f & }; f; sleep 100")
    engine.docket("rm", "-f", "bomb")
    assert not [pid for pid in engine.shim_pids() if pid in processes_of(engine.home)]
