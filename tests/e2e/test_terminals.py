"""A user at a terminal: what is typed gets in, what is shown comes out, and the terminal is as before afterwards."""

from __future__ import annotations

import pytest

from support.connection import UnixConnection
from support.engine import Engine, docket_command
from support.terminal import Terminal
from support.waiting import eventually

pytestmark = pytest.mark.kernel

CTRL_C, CTRL_P, CTRL_Q, CTRL_D = b"\x03", b"\x10", b"\x11", b"\x04"


def at_terminal(engine: Engine, *arguments: str, rows: int = 24, columns: int = 80) -> Terminal:
    return Terminal([*docket_command(), *arguments], engine.environment(), rows, columns)


def run_shell(engine: Engine, *flags: str) -> Terminal:
    terminal = at_terminal(engine, "run", "-it", "--network", "none", *flags, "base", "sh")
    terminal.type(b"PS1='READY> '\r")
    terminal.expect(b"\nREADY> ")
    return terminal


def test_a_shell_at_a_terminal(engine: Engine) -> None:
    with run_shell(engine, "--name", "shell") as terminal:
        terminal.type(b"test -t 0 && test -t 1 && echo pid $$ at a tty\r")
        terminal.expect(b"pid 1 at a tty\r\n")
        terminal.type(b"exit 5\r")
        assert terminal.end() == 5
        assert terminal.mode == terminal.mode_before, "raw mode is taken back"


def test_the_window_and_its_changes(engine: Engine) -> None:
    command = ("run", "-it", "--network", "none", "--name", "win", "base", "sh")
    with at_terminal(engine, *command, rows=33, columns=99) as one:
        one.type(b"PS1='READY> '\r")
        one.expect(b"\nREADY> ")
        one.type(b"stty size\r")
        one.expect(b"33 99")
        one.resize(44, 111)
        eventually(lambda: "44 111" in engine.docket("exec", "win", "sh", "-c", "stty size </dev/pts/0").stdout)


def test_control_c_goes_to_the_foreground_job(engine: Engine) -> None:
    with run_shell(engine) as terminal:
        terminal.type(b"sleep 1000\r")
        terminal.expect(b"sleep 1000")
        eventually(lambda: "1000" in engine.docket("top", engine.docket("ps", "-q").stdout.strip()).stdout)
        terminal.type(CTRL_C)
        terminal.expect(b"READY> ")
        terminal.type(b"echo status $?\r")
        terminal.expect(b"status 130")
        terminal.type(b"exit\r")
        terminal.end()


def test_detach_and_attach_again(engine: Engine) -> None:
    with run_shell(engine, "--name", "shell") as terminal:
        terminal.type(CTRL_P + b"x\x7f")  # a lone Ctrl-P and another key are both the shell's
        terminal.type(CTRL_P + CTRL_Q)
        assert terminal.end() == 0
        assert terminal.mode == terminal.mode_before
    assert engine.inspect("shell")["State"]["Running"] is True
    (attached,) = (one for one in engine.trail("shell") if one["type"] == "container.attached")
    assert attached["data"]["streams"] == ["stdin", "stdout", "stderr"] and attached["actor"]["door"] == "cli"
    with at_terminal(engine, "attach", "shell") as again:
        again.type(b"\recho still here $$\r")
        again.expect(b"still here 1")
        again.type(b"exit 3\r")
        assert again.end() == 3 and again.mode == again.mode_before


def test_other_detach_keys(engine: Engine) -> None:
    with run_shell(engine, "--name", "shell", "--detach-keys", "ctrl-a,x") as terminal:
        terminal.type(CTRL_P + CTRL_Q + b"\recho not away\r")
        terminal.expect(b"not away\r\n")
        terminal.type(b"\x01x")
        assert terminal.end() == 0
    assert engine.inspect("shell")["State"]["Running"] is True


def test_the_terminal_survives_a_restart_of_the_daemon(own_engine: Engine) -> None:
    with run_shell(own_engine, "--name", "shell") as terminal:
        own_engine.restart()
        terminal.type(b"echo alive $((6*7))\r")
        terminal.expect(b"alive 42")
        terminal.type(CTRL_P + CTRL_Q)
        terminal.end()
    with at_terminal(own_engine, "attach", "shell") as again:
        again.type(b"\recho back $((7*7))\r")
        again.expect(b"back 49")


def test_an_exec_at_a_terminal(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    with at_terminal(engine, "exec", "-it", "-e", "A=b", "-w", "/tmp", "-u", "1000", "web", "sh") as terminal:
        terminal.type(b"echo [$A] [$PWD] [$(id -u)] [$(tty)]; stty size\r")
        terminal.expect(b"[b] [/tmp] [1000] [/dev/pts/0]")
        terminal.expect(b"24 80")
        terminal.type(b"exit 4\r")
        assert terminal.end() == 4 and terminal.mode == terminal.mode_before


def test_raw_mode_is_taken_back_when_the_client_is_killed_softly(engine: Engine) -> None:
    with run_shell(engine, "--name", "shell") as terminal:
        engine.docket("rm", "-f", "shell")
        assert terminal.end() == 137 and terminal.mode == terminal.mode_before


def test_attach_with_what_was_before(engine: Engine) -> None:
    """``logs`` and ``stream`` together, also in the middle of a line: everything comes once, in order."""
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; printf half; read x; echo done; exit 0"
    engine.run("-d", "-i", "--name", "writer", "base", "sh", "-c", script)
    eventually(lambda: "line 2999" in engine.docket("logs", "--tail", "1", "writer").stdout)
    connection = UnixConnection(engine.socket)
    try:
        path = "/v1.44/containers/writer/attach?logs=1&stream=1&stdin=1&stdout=1&stderr=1"
        upgrade = "Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\nHost: x\r\n\r\n"
        connection.connect()
        sock = connection.sock
        sock.sendall(f"POST {path} HTTP/1.1\r\n{upgrade}".encode())
        received = b""
        while b"half" not in received:
            received += sock.recv(65536)
        sock.sendall(b"go\n")
        while b"done\n" not in received:
            received += sock.recv(65536)
    finally:
        connection.close()
    _, _, stream = received.partition(b"\r\n\r\n")
    out = b""
    while stream:
        size = int.from_bytes(stream[4:8], "big")
        out, stream = out + stream[8 : 8 + size], stream[8 + size :]
    assert out.decode() == "".join(f"line {number}\n" for number in range(3000)) + "halfdone\n"
