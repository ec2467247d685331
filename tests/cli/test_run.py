"""``run``, ``exec`` and their kin as processes: streams, terminals, signals, exit statuses."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
import threading
from typing import Any, Callable, Iterator

import pytest

from cli.conftest import Done, started
from cli.fake_engine import UPGRADED, Asked, FakeEngine, answer, frame, refusal
from support.waiting import eventually

Docket = Callable[..., Done]
DEADLINE_S = 20


class ScriptedContainer:
    """A container of the fake engine: what it writes when, what it was sent, how it ended."""

    def __init__(self, fake: FakeEngine, *, tty: bool = False) -> None:
        self.fake = fake
        self.running = threading.Event()
        self.ended = threading.Event()
        self.status = 0
        self.received = b""
        self.stdin_ended = threading.Event()
        self.stream: socket.socket | None = None
        self.signals: list[str] = []
        config = {"Tty": tty, "OpenStdin": True}
        fake.on["POST /containers/create"] = answer({"Id": "3f", "Warnings": ["be careful"]}, 201)
        fake.on["GET /containers/web/json"] = answer({
            "Id": "3f", "Config": config, "State": {"Running": True}, "HostConfig": {"AutoRemove": False},
        })  # fmt: skip
        fake.on["POST /containers/3f/attach"] = self._attach
        fake.on["POST /containers/3f/wait"] = self._wait
        fake.on["POST /containers/3f/start"] = self._start
        fake.on["POST /containers/3f/kill"] = self._kill
        fake.on["POST /containers/3f/resize"] = answer()
        fake.on["DELETE /containers/3f"] = answer(status=204)

    def _attach(self, asked: Asked, client: socket.socket) -> None:
        client.sendall(UPGRADED)
        self.stream = client.dup()
        while data := client.recv(65536):
            self.received += data
        self.stdin_ended.set()
        self.ended.wait(DEADLINE_S)

    def _wait(self, asked: Asked, client: socket.socket) -> None:
        """The head at once, as the engine does; the status when it has ended."""
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.ended.wait(DEADLINE_S)
        body = b'{"StatusCode":%d}' % self.status
        client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    def _start(self, asked: Asked, client: socket.socket) -> bytes:
        self.running.set()
        return answer(status=204)

    def _kill(self, asked: Asked, client: socket.socket) -> bytes:
        self.signals.append(asked.query.removeprefix("signal="))
        return answer(status=204)

    def write(self, data: bytes) -> None:
        eventually(lambda: self.stream, what="somebody is attached")
        assert self.stream is not None
        self.stream.sendall(data)

    def end(self, status: int = 0) -> None:
        """The process ends: its streams close, the wait is answered."""
        eventually(lambda: self.stream, what="somebody is attached")
        assert self.stream is not None
        self.status = status
        self.stream.shutdown(socket.SHUT_WR)
        self.ended.set()


@pytest.fixture
def container(fake: FakeEngine) -> Iterator[ScriptedContainer]:
    scripted = ScriptedContainer(fake)
    yield scripted
    scripted.ended.set()


def finish(process: subprocess.Popen[bytes], **arguments: Any) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=DEADLINE_S, **arguments)
    return process.returncode, out, err


# --- streams ---------------------------------------------------------------------------------------------------------


def test_streams_stay_apart_and_the_status_is_the_container_s(
    fake: FakeEngine, container: ScriptedContainer
) -> None:
    process = started(fake, "run", "--rm", "base", "sh", stdin=subprocess.DEVNULL)
    container.running.wait(DEADLINE_S)
    container.write(frame(1, b"out\n") + frame(2, b"err\n"))
    container.end(7)
    assert finish(process) == (7, b"out\n", b"WARNING: be careful\nerr\n")
    requests = fake.requests()
    order = [requests.index(f"POST /containers/{what}") for what in ("create", "3f/attach", "3f/wait", "3f/start")]
    assert order == sorted(order), "attached and waiting before it starts"
    assert fake.wait_for("POST /containers/3f/wait").query == "condition=removed"
    assert fake.wait_for("POST /containers/3f/attach").query == "stream=1&stdout=1&stderr=1"


def test_without_i_nothing_of_ours_is_sent(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "run", "base", "cat")
    assert process.stdin is not None
    process.stdin.write(b"not for it")
    process.stdin.close()
    container.running.wait(DEADLINE_S)
    container.write(frame(1, b"x"))
    container.end()
    assert process.wait(DEADLINE_S) == 0
    assert container.received == b""


def test_input_is_sent_and_its_end_half_closes(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "run", "-i", "base", "cat")
    assert process.stdin is not None
    process.stdin.write(b"hello")
    process.stdin.close()
    container.running.wait(DEADLINE_S)
    assert container.stdin_ended.wait(DEADLINE_S) and container.received == b"hello"
    container.write(frame(1, b"after the end of its input"))
    container.end()
    assert process.stdout is not None and process.stdout.read() == b"after the end of its input"
    assert process.wait(DEADLINE_S) == 0


def test_input_and_output_larger_than_any_buffer_at_once(fake: FakeEngine, container: ScriptedContainer) -> None:
    """A container that writes before it reads must not lock us up: what is typed is never sent in a way that blocks."""
    size = 8 << 20
    process = started(fake, "run", "-i", "base", "tee")

    def write_then_end() -> None:
        container.write(frame(1, b"y" * size))
        container.stdin_ended.wait(DEADLINE_S)
        container.end()

    writer = threading.Thread(target=write_then_end, daemon=True)
    writer.start()
    status, out, _ = finish(process, input=b"x" * size)
    assert (status, len(out), len(container.received)) == (0, size, size)


def test_only_the_asked_streams(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "run", "-a", "stderr", "base")
    assert fake.wait_for("POST /containers/3f/attach").query == "stream=1&stderr=1"
    container.end()
    assert finish(process)[0] == 0


def test_in_the_background(docket: Docket, container: ScriptedContainer, fake: FakeEngine) -> None:
    assert docket("run", "-d", "base", "x") == (0, "3f\n", "WARNING: be careful\n")
    assert fake.requests() == ["POST /containers/create", "POST /containers/3f/start"]
    assert "AttachStdout" not in fake.asked[0].json


def test_a_reader_that_leaves_ends_us_by_sigpipe(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "run", "base", "yes", stdin=subprocess.DEVNULL)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    container.running.wait(DEADLINE_S)
    container.write(frame(1, b"y\n"))
    assert process.wait(DEADLINE_S) == -signal.SIGPIPE
    assert process.stderr.read() == b"WARNING: be careful\n"


def test_a_daemon_that_dies_is_said(fake: FakeEngine, container: ScriptedContainer) -> None:
    def die(asked: Asked, client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        container.ended.wait(DEADLINE_S)

    fake.on["POST /containers/3f/wait"] = die
    process = started(fake, "run", "base", "x", stdin=subprocess.DEVNULL)
    container.running.wait(DEADLINE_S)
    container.end()
    status, _, err = finish(process)
    assert status == 125
    assert err.splitlines()[-1] == b"docket: error waiting for container: the daemon hung up before it answered"


# --- what goes wrong before ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, 'exec: "x": executable file not found in $PATH', 127),
        (400, 'exec: "/x": stat /x: no such file or directory', 127),
        (400, 'exec: "/etc": permission denied', 126),
        (400, 'exec: "/x": exec format error', 126),
        (500, "mount: no such file or directory", 125),
        (409, "the container is being removed", 125),
    ],
)
def test_a_start_that_fails(
    docket: Docket, container: ScriptedContainer, fake: FakeEngine, status: int, message: str, code: int
) -> None:
    fake.on["POST /containers/3f/start"] = refusal(status, message)
    for flags in (["--rm"], ["-d"], []):
        done = docket("run", *flags, "base", "x")
        assert (done.status, done.err.splitlines()[-1]) == (code, f"docket: Error response from daemon: {message}")
    assert fake.requests().count("DELETE /containers/3f") == 1, "only with --rm"


def test_a_missing_image_is_asked_for(docket: Docket, container: ScriptedContainer, fake: FakeEngine) -> None:
    fake.on["POST /containers/create"] = refusal(404, "No such image: base:latest")
    fake.on["POST /images/create"] = refusal(501, "registries are not supported yet")
    done = docket("run", "base")
    assert done == (
        125,
        "",
        "Unable to find image 'base:latest' locally\n"
        "docket: Error response from daemon: registries are not supported yet\n",
    )
    assert fake.asked[-1].query == "fromImage=base&tag=latest"
    assert docket("create", "base:1").status == 1 and fake.asked[-1].query == "fromImage=base&tag=1"
    assert docket("run", "--pull", "never", "base").err == (
        "docket: Error response from daemon: No such image: base:latest\n"
    )


def test_a_missing_image_that_is_found(docket: Docket, container: ScriptedContainer, fake: FakeEngine) -> None:
    tries: list[int] = []

    def create(asked: Asked, client: socket.socket) -> bytes:
        tries.append(1)
        return refusal(404, "No such image: x") if len(tries) == 1 else answer({"Id": "3f"}, 201)

    fake.on["POST /containers/create"] = create
    fake.on["POST /images/create"] = answer({"status": "Pull complete", "id": "abc"})
    assert docket("run", "-d", "--name", "n", "x:1") == (
        0, "3f\n", "Unable to find image 'x:1' locally\nabc: Pull complete\n",
    )  # fmt: skip
    assert [one.query for one in fake.asked] == ["name=n", "fromImage=x&tag=1", "name=n", ""]


def test_a_missing_network_is_not_a_missing_image(
    docket: Docket, container: ScriptedContainer, fake: FakeEngine
) -> None:
    fake.on["POST /containers/create"] = refusal(404, "network mine not found")
    assert docket("run", "base").err == "docket: Error response from daemon: network mine not found\n"


# --- signals ---------------------------------------------------------------------------------------------------------


def test_signals_go_to_the_container(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "run", "base", "x", stdin=subprocess.DEVNULL)
    container.running.wait(DEADLINE_S)
    container.write(frame(1, b"ready"))
    assert process.stdout is not None and process.stdout.read(5) == b"ready"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        process.send_signal(number)
        eventually(lambda: container.signals and container.signals[-1] == number.name.removeprefix("SIG"))
    container.end(130)
    assert process.wait(DEADLINE_S) == 130
    assert container.signals == ["INT", "TERM", "USR1", "HUP"]


def test_a_signal_before_the_start_waits_for_it(fake: FakeEngine, container: ScriptedContainer) -> None:
    arrived, go = threading.Event(), threading.Event()

    def slow_start(asked: Asked, client: socket.socket) -> bytes:
        arrived.set()
        go.wait(DEADLINE_S)
        return answer(status=204)

    fake.on["POST /containers/3f/start"] = slow_start
    process = started(fake, "run", "base", "x", stdin=subprocess.DEVNULL)
    arrived.wait(DEADLINE_S)
    process.send_signal(signal.SIGTERM)
    eventually(lambda: pending_signals(process.pid) == 0)
    assert container.signals == []
    go.set()
    eventually(lambda: container.signals == ["TERM"])
    container.end(143)
    assert process.wait(DEADLINE_S) == 143


def pending_signals(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("ShdPnd"))


def test_without_the_proxy_ctrl_c_ends_only_us(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "run", "--sig-proxy=false", "base", "x", stdin=subprocess.DEVNULL)
    container.running.wait(DEADLINE_S)
    container.write(frame(1, b"ready"))
    assert process.stdout is not None and process.stdout.read(5) == b"ready"
    process.send_signal(signal.SIGINT)
    status, _, err = finish(process)
    assert (status, err, container.signals) == (130, b"WARNING: be careful\n", [])


def test_ctrl_c_on_logs(fake: FakeEngine) -> None:
    fake.on["GET /containers/web/json"] = answer({"Id": "3f", "Config": {"Tty": False}})

    def endless(asked: Asked, client: socket.socket) -> None:
        line = frame(1, b"line\n")
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(line), line))
        client.recv(1)

    fake.on["GET /containers/3f/logs"] = endless
    process = started(fake, "logs", "-f", "web")
    assert process.stdout is not None and process.stdout.read(5) == b"line\n"
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, b"", b"")


# --- start, attach, exec ---------------------------------------------------------------------------------------------


def test_start_attached(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "start", "-a", "-i", "web")
    assert fake.wait_for("POST /containers/3f/attach").query == "stream=1&stdout=1&stderr=1&stdin=1"
    container.running.wait(DEADLINE_S)
    container.write(frame(2, b"oh"))
    container.end(3)
    assert finish(process) == (3, b"", b"oh")


def test_attach(fake: FakeEngine, container: ScriptedContainer) -> None:
    process = started(fake, "attach", "web")
    container.write(frame(1, b"there"))
    container.end(4)
    assert finish(process) == (4, b"there", b"")
    assert "POST /containers/3f/start" not in fake.requests()


def test_attach_to_what_does_not_run(docket: Docket, container: ScriptedContainer, fake: FakeEngine) -> None:
    fake.on["GET /containers/web/json"] = answer({"Id": "3f", "Config": {"Tty": False}, "State": {"Running": False}})
    assert docket("attach", "web") == (1, "", "You cannot attach to a stopped container, start it first\n")


def test_exec(fake: FakeEngine) -> None:
    def run(asked: Asked, client: socket.socket) -> None:
        client.sendall(UPGRADED + frame(1, b"out") + frame(2, b"err"))
        received = b""
        while data := client.recv(100):
            received += data
        client.sendall(frame(1, received))

    fake.on["POST /containers/web/exec"] = answer({"Id": "ee"}, 201)
    fake.on["POST /exec/ee/start"] = run
    fake.on["GET /exec/ee/json"] = answer({"ExitCode": 9})
    process = started(fake, "exec", "-i", "-e", "A=b", "-u", "1", "-w", "/tmp", "web", "sh", "-c", "x")
    assert finish(process, input=b"typed") == (9, b"outtyped", b"err")
    assert fake.asked[0].json == {
        "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": ["sh", "-c", "x"], "Detach": False,
        "Tty": False, "Privileged": False, "User": "1", "WorkingDir": "/tmp", "Env": ["A=b"],
    }  # fmt: skip
    assert fake.asked[1].json == {"Detach": False, "Tty": False}


def test_exec_on_a_terminal(fake: FakeEngine, terminal: Callable[..., Terminal]) -> None:
    """The size is sent again until the process, which is only just starting, takes it."""
    sizes: list[str] = []

    def resize(asked: Asked, client: socket.socket) -> bytes:
        sizes.append(asked.query)
        return refusal(404, "no such exec") if len(sizes) < 3 else answer()

    def run(asked: Asked, client: socket.socket) -> None:
        client.sendall(UPGRADED + b"$ ")
        client.sendall(b"got " + client.recv(100))

    fake.on["POST /containers/web/exec"] = answer({"Id": "ee"}, 201)
    fake.on["POST /exec/ee/start"] = run
    fake.on["POST /exec/ee/resize"] = resize
    fake.on["GET /exec/ee/json"] = answer({"ExitCode": 3})
    mine = terminal("exec", "-it", "web", "sh")
    eventually(lambda: mine.shown == b"$ " and mine.is_raw())
    mine.type(b"\x1b[A")
    assert mine.process.wait(DEADLINE_S) == 3
    eventually(lambda: mine.shown == b"$ got \x1b[A")
    assert mine.is_restored() and sizes == ["h=24&w=80"] * 3


def test_exec_in_the_background(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /containers/web/exec"] = answer({"Id": "ee"}, 201)
    fake.on["POST /exec/ee/start"] = answer()
    assert docket("exec", "-d", "web", "x") == (0, "", "")
    assert fake.asked[1].json == {"Detach": True, "Tty": False}


# --- terminals -------------------------------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal of 24 rows and 80 columns with a command on it."""

    def __init__(self, fake: FakeEngine, *words: str) -> None:
        self.master, self._slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self._slave)
        ends = {"stdin": self._slave, "stdout": self._slave, "stderr": self._slave}
        self.process = started(fake, *words, start_new_session=True, preexec_fn=self._become_controlling, **ends)
        self.shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _become_controlling(self) -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it: nohup

    def _read(self) -> None:
        while data := self._some():
            self.shown += data

    def _some(self) -> bytes:
        try:
            return os.read(self.master, 65536)
        except OSError:
            return b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self._slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def is_restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self.before

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def terminal(fake: FakeEngine) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*words: str) -> Terminal:
        opened.append(Terminal(fake, *words))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.process.kill()
        one.process.wait()
        one.close()


def test_a_terminal_is_raw_while_the_container_has_it(
    fake: FakeEngine, container: ScriptedContainer, terminal: Callable[..., Terminal]
) -> None:
    mine = terminal("run", "-it", "base", "sh")
    container.running.wait(DEADLINE_S)
    eventually(mine.is_raw)
    mine.type(b"\x03")  # Ctrl-C is a byte for the container, not a signal for us
    eventually(lambda: container.received == b"\x03")
    container.write(b"not framed \x1b[1m")
    eventually(lambda: b"not framed \x1b[1m" in mine.shown)
    container.end(5)
    assert mine.process.wait(DEADLINE_S) == 5
    assert mine.is_restored() and container.signals == []


def test_the_container_s_terminal_has_our_size(
    fake: FakeEngine, container: ScriptedContainer, terminal: Callable[..., Terminal]
) -> None:
    mine = terminal("run", "-it", "base", "sh")
    assert fake.wait_for("POST /containers/3f/resize").query == "h=24&w=80"
    mine.resize(50, 132)
    eventually(lambda: [one.query for one in fake.asked if one.path.endswith("resize")][-1] == "h=50&w=132")
    container.end()
    assert mine.process.wait(DEADLINE_S) == 0


def test_detaching_leaves_it_running(
    fake: FakeEngine, container: ScriptedContainer, terminal: Callable[..., Terminal]
) -> None:
    mine = terminal("run", "-it", "base", "sh")
    container.running.wait(DEADLINE_S)
    eventually(mine.is_raw)
    mine.type(b"a\x10b")  # a lone Ctrl-P is the container's
    eventually(lambda: container.received == b"a\x10b")
    mine.type(b"\x10")
    mine.type(b"\x11")
    assert mine.process.wait(DEADLINE_S) == 0
    eventually(lambda: b"read escape sequence" in mine.shown)
    assert mine.is_restored() and container.received == b"a\x10b"


def test_other_detach_keys(fake: FakeEngine, container: ScriptedContainer, terminal: Callable[..., Terminal]) -> None:
    mine = terminal("run", "-it", "--detach-keys", "ctrl-a,x", "base", "sh")
    assert fake.wait_for("POST /containers/3f/attach").query.endswith("detachKeys=ctrl-a%2Cx")
    container.running.wait(DEADLINE_S)
    eventually(mine.is_raw)
    mine.type(b"\x10\x11\x01\x01x")
    assert mine.process.wait(DEADLINE_S) == 0
    eventually(lambda: container.received == b"\x10\x11\x01")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_restored_when_a_signal_ends_us(
    fake: FakeEngine, container: ScriptedContainer, terminal: Callable[..., Terminal], number: signal.Signals
) -> None:
    mine = terminal("run", "-it", "--sig-proxy=false", "base", "sh")
    container.running.wait(DEADLINE_S)
    eventually(mine.is_raw)
    mine.process.send_signal(number)
    assert mine.process.wait(DEADLINE_S) == 128 + number
    assert mine.is_restored()


def test_the_terminal_is_restored_when_the_daemon_dies(
    fake: FakeEngine, container: ScriptedContainer, terminal: Callable[..., Terminal]
) -> None:
    def die(asked: Asked, client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        container.ended.wait(DEADLINE_S)

    fake.on["POST /containers/3f/wait"] = die
    mine = terminal("run", "-it", "base", "sh")
    container.running.wait(DEADLINE_S)
    eventually(mine.is_raw)
    container.end()
    assert mine.process.wait(DEADLINE_S) == 125
    assert mine.is_restored()


def test_a_terminal_needs_a_terminal(docket: Docket, fake: FakeEngine) -> None:
    process = started(fake, "run", "-it", "base")
    assert finish(process) == (1, b"", b"the input device is not a TTY\n")
    assert not fake.asked
