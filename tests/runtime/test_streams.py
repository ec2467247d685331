"""Standard streams: attached clients, input and its end, slow readers, terminals, the log."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path

import pytest

from engine.domain.errors import Conflict
from engine.runtime.json_log import JsonLog
from engine.runtime.replay import Replay
from support.containers import Runtime, connection
from support.waiting import eventually


LOG = {"max_bytes": 0, "max_files": 1, "attributes": {}, "compress": False}


def entries(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- output ------------------------------------------------------------------------------------------------------


def test_large_output_arrives_whole(runtime: Runtime) -> None:
    done = runtime.run("sh", "-c", "seq 1 400000; echo end >&2")
    assert done.out == "".join(f"{n}\n" for n in range(1, 400001)) and done.err == "end\n"
    assert len(entries(done.container.log)) == 400001


def test_a_client_that_does_not_read_holds_up_nobody(runtime: Runtime) -> None:
    """The container writes 64 MiB and ends while its client sleeps; the client gets every byte later."""
    wire, attachment = connection()
    plan = runtime.plan("sh", "-c", "dd if=/dev/zero bs=1M count=64 2>/dev/null; echo end >&2", log=None)
    container = runtime.launch(plan, [attachment])
    assert container.wait()["exit_code"] == 0
    assert container.lock_is_free(), "the container has ended for everybody else"
    out, err = wire.read_frames()
    wire.close()
    assert out == bytes(64 << 20) and err == b"end\n"


def test_memory_of_the_shim_is_bounded_by_a_slow_client(runtime: Runtime) -> None:
    wire, attachment = connection()
    plan = runtime.plan("sh", "-c", "dd if=/dev/zero bs=1M count=64 2>/dev/null; sleep 100", log=None)
    container = runtime.launch(plan, [attachment])
    shim = container.shim_pid()
    assert eventually(lambda: [size for size in unnamed_files(shim) if size > 60 << 20])
    assert private_kib(shim) < 16 * 1024
    known = {"upper", "work", "rootfs", "shim.lock", "shim.journal"}
    assert set(os.listdir(container.directory)) <= known, "the file has no name"
    wire.close()
    eventually(lambda: not unnamed_files(shim))


def unnamed_files(pid: int) -> list[int]:
    """Sizes of the unlinked files that a process has open, beside its standard streams."""
    sizes = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if int(fd) > 2 and os.readlink(f"/proc/{pid}/fd/{fd}").endswith(" (deleted)"):
                sizes.append(os.stat(f"/proc/{pid}/fd/{fd}").st_size)
        except FileNotFoundError:
            continue  # closed meanwhile
    return sizes


def private_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(value) for value in re.findall(r"Private_\w+:\s+(\d+)", text))


def test_two_clients_get_the_same(runtime: Runtime) -> None:
    first, one = connection()
    second, two = connection(framed=False)
    container = runtime.launch(runtime.plan("sh", "-c", "read x; echo $x", stdin=True), [one, two])
    third, three = connection(stdin=True)
    runtime.supervisor.attach(container.id, three)
    third.send(b"hello\n")
    assert first.read_frames() == (b"hello\n", b"")
    assert second.read_all() == b"hello\n"
    assert third.read_frames() == (b"hello\n", b"")
    for wire in (first, second, third):
        wire.close()


def test_a_client_that_leaves_takes_nothing_with_it(runtime: Runtime) -> None:
    wire, attachment = connection()
    container = runtime.launch(runtime.plan("sh", "-c", "while :; do echo x; sleep 0.01; done"), [attachment])
    wire.read_until(b"x\n")
    wire.close()
    size = container.log.stat().st_size
    eventually(lambda: container.log.stat().st_size > size + 500)


# --- input -------------------------------------------------------------------------------------------------------


def test_input_and_its_end(runtime: Runtime) -> None:
    data = os.urandom(3 << 20)
    done = runtime.run("sh", "-c", "wc -c; echo done", input=data)
    assert done.out.split() == [str(len(data)), "done"]


def test_early_input_comes_first(runtime: Runtime) -> None:
    wire, attachment = connection(stdin=True, early=b"early ")
    runtime.launch(runtime.plan("cat", stdin=True), [attachment])
    wire.send(b"late")
    wire.half_close()
    assert wire.read_frames()[0] == b"early late"
    wire.close()


def test_input_stays_open_without_stdin_once(runtime: Runtime) -> None:
    container = runtime.start("cat", stdin=True, stdin_once=False)
    for word in (b"one\n", b"two\n"):
        wire, attachment = connection(stdin=True)
        runtime.supervisor.attach(container.id, attachment)
        wire.send(word)
        wire.read_until(word)
        wire.half_close()
        wire.close()
    assert not container.of_type("exited")


def test_with_stdin_once_the_client_that_leaves_ends_the_input(runtime: Runtime) -> None:
    wire, attachment = connection(stdin=True)
    container = runtime.launch(runtime.plan("sh", "-c", "cat; exit 4", stdin=True), [attachment])
    wire.send(b"x")
    wire.close()
    assert container.wait()["exit_code"] == 4
    assert entries(container.log)[0]["log"] == "x", "what was sent before leaving is not lost"


def test_without_open_stdin_there_is_none(runtime: Runtime) -> None:
    done = runtime.run("sh", "-c", "cat; readlink /proc/self/fd/0")
    assert done.out == "/dev/null\n"


def test_input_waits_for_a_process_that_does_not_read(runtime: Runtime) -> None:
    """Back pressure: the client is held, not the shim filled."""
    wire, attachment = connection(stdin=True)
    container = runtime.launch(runtime.plan("sh", "-c", "sleep 0.5; wc -c", stdin=True), [attachment])
    feeder = threading.Thread(target=lambda: (wire.send(bytes(20 << 20)), wire.half_close()))
    feeder.start()
    assert private_kib(container.shim_pid()) < 16 * 1024
    assert wire.read_frames()[0].split() == [str(20 << 20).encode()]
    feeder.join()
    wire.close()


# --- terminals ---------------------------------------------------------------------------------------------------


def test_terminal(runtime: Runtime) -> None:
    wire, attachment = connection(stdin=True, framed=False)
    plan = runtime.plan("sh", config={"Tty": True}, stdin=True, console_size={"height": 33, "width": 99})
    container = runtime.launch(plan, [attachment])
    wire.send(b"tty; stty size; ls -l /dev/console | cut -c1; echo e'n'd\n")
    text = wire.read_until(b"\r\nend\r\n").decode()
    assert "/dev/pts/0" in text or "/dev/console" in text
    assert "33 99" in text and "\r\nc\r\n" in text
    runtime.supervisor.resize(container.id, None, 44, 111)
    wire.send(b"stty size\n")
    assert b"44 111" in wire.read_until(b"44 111")
    wire.send(b"exit 6\n")
    wire.read_all()
    wire.close()
    assert container.wait()["exit_code"] == 6
    assert any("44 111" in entry["log"] for entry in entries(container.log))


def test_keys_detach_and_leave_the_container_running(runtime: Runtime) -> None:
    wire, attachment = connection(stdin=True, framed=False, keys=b"\x10\x11")
    container = runtime.launch(runtime.plan("cat", config={"Tty": True}, stdin=True), [attachment])
    wire.send(b"a\x10b\n")
    wire.read_until(b"b")
    wire.send(b"\x10")
    wire.send(b"\x11")
    assert wire.read_all() is not None
    wire.close()
    again, attachment = connection(stdin=True, framed=False, keys=b"\x10\x11")
    runtime.supervisor.attach(container.id, attachment)
    again.send(b"still\n")
    again.read_until(b"still")
    again.close()
    assert not container.of_type("exited")
    container.wait("detached")


def test_what_is_typed_before_the_terminal_is_there_reaches_it(runtime: Runtime) -> None:
    wire, attachment = connection(framed=False, stdin=True, early=b"ear")
    wire.send(b"ly\n\x04")
    runtime.launch(runtime.plan("cat", config={"Tty": True}, stdin=True), [attachment])
    assert wire.read_all() == b"early\r\nearly\r\n"
    wire.close()


def test_without_a_terminal_there_is_no_size(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    with pytest.raises(Conflict, match="no terminal"):
        runtime.supervisor.resize(container.id, None, 1, 1)


# --- execs -------------------------------------------------------------------------------------------------------


def test_exec(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100", config={"Hostname": "box"})
    done = runtime.exec(container, "sh", "-c", "cat; hostname; pwd; id -u; echo $A >&2; exit 9", input=b"in\n",
                        cwd="/tmp", user="user", env=["A=b", oci_path()])  # fmt: skip
    assert (done.code, done.out, done.err) == (9, "in\nbox\n/tmp\n1000\n", "b\n")
    namespaces = {name: os.readlink(f"/proc/{container.pid}/ns/{name}") for name in ("mnt", "pid", "net", "uts", "ipc")}
    for name, link in namespaces.items():
        assert runtime.exec(container, "readlink", f"/proc/self/ns/{name}").out.strip() == link


def oci_path() -> str:
    from engine.services.oci_spec import DEFAULT_PATH

    return DEFAULT_PATH


@pytest.mark.parametrize(("command", "code"), [("nosuch", 127), ("/etc/passwd", 126), ("/etc", 126)])
def test_execs_that_cannot_be(runtime: Runtime, command: str, code: int) -> None:
    from engine.runtime.failures import LaunchFailed

    container = runtime.start("sleep", "100")
    with pytest.raises(LaunchFailed) as caught:
        runtime.exec(container, command)
    assert caught.value.exit_code == code
    assert runtime.exec(container, "echo", "fine").out == "fine\n"


def test_exec_with_a_terminal(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    wire, attachment = connection(stdin=True, framed=False)
    plan = {
        "exec_id": "e" * 64, "args": ["sh"], "env": [oci_path()], "cwd": "/", "user": "", "groups": [], "tty": True,
        "open_stdin": True, "capabilities": [], "no_new_privileges": False, "rlimits": [],
    }  # fmt: skip
    runtime.supervisor.exec(container.id, plan, attachment)
    runtime.supervisor.resize(container.id, "e" * 64, 12, 34)
    wire.send(b"stty size; tty; exit 3\n")
    text = wire.read_all()
    assert b"12 34" in text and b"/dev/pts/0" in text
    wire.close()
    assert container.wait("exec_exited")["exit_code"] == 3


def test_execs_run_side_by_side(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    results: list[str] = []

    def run(number: int) -> None:
        results.append(runtime.exec(container, "sh", "-c", f"sleep 0.2; echo {number}").out)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [f"{n}\n" for n in range(8)]
    assert time.monotonic() - started < 8 * 0.2 + 3


def test_execs_end_before_their_container(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    wire, attachment = connection()
    plan = {"exec_id": "f" * 64, "args": ["sleep", "100"], "env": [oci_path()], "capabilities": []}
    runtime.supervisor.exec(container.id, plan, attachment)
    runtime.supervisor.signal(container.id, 9)
    container.wait()
    assert [message["type"] for message in container.messages] == ["exec_exited", "exited"]
    assert container.of_type("exec_exited")[0]["exit_code"] == 137
    wire.close()


def test_background_processes_of_an_exec_do_not_hold_its_client(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    assert runtime.exec(container, "sh", "-c", "sleep 100 & echo started").out == "started\n"


# --- the log -----------------------------------------------------------------------------------------------------


def test_log_format(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b'plain "quoted" \\ \t\x01\n')
    log.write("stderr", "ünïcode \u2028\n".encode())
    log.write("stdout", b"bad \xff\xfe utf-8\n")
    log.write("stdout", b"\n")
    log.close()
    found = entries(tmp_path / "log")
    assert [entry["log"] for entry in found] == [
        'plain "quoted" \\ \t\x01\n', "ünïcode \u2028\n", "bad \ufffd\ufffd utf-8\n", "\n",
    ]  # fmt: skip
    assert [entry["stream"] for entry in found] == ["stdout", "stderr", "stdout", "stdout"]
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"
    for line in (tmp_path / "log").read_text().splitlines():
        assert re.fullmatch(r'\{"log":".*","stream":"std(out|err)","time":"' + moment + r'"\}', line)


def test_log_of_partial_lines(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"no newline")
    assert entries(tmp_path / "log") == []
    log.write("stderr", b"between\n")
    log.write("stdout", b" yet\nnext")
    log.finish("stdout")
    log.write("stdout", b"x" * 40000 + b"\n" + b"y" * 16384 + b"\n")
    log.write("stderr", b"z" * 20000)
    log.finish("stderr")
    log.close()
    assert [entry["log"] for entry in entries(tmp_path / "log")] == [
        "between\n", "no newline yet\n", "next", "x" * 16384, "x" * 16384, "x" * 7232 + "\n", "y" * 16384, "\n",
        "z" * 16384, "z" * 3616,
    ]  # fmt: skip


def test_log_rotation(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), max_bytes=1000, max_files=3)
    for number in range(100):
        log.write("stdout", b"line %d\n" % number)
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    assert all((tmp_path / name).stat().st_size <= 1000 for name in os.listdir(tmp_path))
    together = [e["log"] for name in ("log.2", "log.1", "log") for e in entries(tmp_path / name)]
    assert together == [f"line {n}\n" for n in range(100 - len(together), 100)]


@pytest.mark.parametrize("files", [1, 2])
def test_a_rotation_that_fails_is_tried_again(tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in between nothing is written to a descriptor that is no longer the log's."""
    log = JsonLog(str(tmp_path / "log"), max_bytes=1000, max_files=files)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="No space left"):
            for number in range(100):
                log.write("stdout", b"line %d\n" % number)
        assert os.fstat(log.fileno()).st_size > 0
    log.write("stdout", b"after\n")
    log.close()
    assert entries(tmp_path / "log")[-1]["log"] == "after\n"


def test_compressed_files_are_replayed_to_who_attaches(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), max_bytes=100_000, max_files=9, compress=True)
    lines = [b"%d %s\n" % (number, b"x" * 900) for number in range(300)]
    for line in lines:
        log.write("stdout", line)
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1.gz", "log.2.gz"]
    replay = Replay(log.paths(), ["stdout"], lambda stream, data: data)
    assert b"".join(iter(replay.next, b"")) == b"".join(lines)


def test_log_of_one_file_starts_over(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), max_bytes=1000, max_files=1)
    for number in range(100):
        log.write("stdout", b"line %d\n" % number)
    log.close()
    assert os.listdir(tmp_path) == ["log"] and entries(tmp_path / "log")[-1]["log"] == "line 99\n"


def test_a_full_disk_ends_the_log_and_not_the_container(runtime: Runtime, tmp_path: Path) -> None:
    from support.machine import mount

    (tmp_path / "disk").mkdir()
    mount("tmpfs", str(tmp_path / "disk"), "tmpfs", data="size=64k")
    try:
        plan = runtime.plan("sh", "-c", "seq 1 100000; exit 3", log={**LOG, "path": str(tmp_path / "disk" / "log")})
        container = runtime.launch(plan)
        assert container.wait()["exit_code"] == 3
        assert len(container.of_type("log_failed")) == 1
        assert "No space left" in container.of_type("log_failed")[0]["message"]
    finally:
        os.system(f"umount {tmp_path}/disk")
