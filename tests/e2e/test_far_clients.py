"""Clients on other machines: attach, exec and logs by TLS with a real daemon, its shims and terminals."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from support.builds import context_of
from support.docker_registry import free_port, make_authority, make_certificate
from support.engine import Engine, docket_command, running_engine
from support.machine import ENGINE_NEEDS, first_lack
from support.ssh_agent import agent_with, copy_ssh_add, make_key
from support.terminal import Terminal
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires("openssl")]

CTRL_P, CTRL_Q = b"\x10", b"\x11"


class Far:
    """An engine that listens by TLS, and the settings of a client of it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        authority = make_authority(folder)
        server, key = make_certificate(authority, "engine")
        port = free_port()
        settings = {
            "hosts": [f"unix://{engine.socket}", f"tcp://127.0.0.1:{port}"], "tlsverify": True,
            "tlscacert": str(authority), "tlscert": str(server), "tlskey": str(key),
        }  # fmt: skip
        self.settings = folder / "daemon.json"
        self.settings.write_text(json.dumps(settings))
        own, own_key = make_certificate(authority, "alice")
        for path, name in ((authority, "ca.pem"), (own, "cert.pem"), (own_key, "key.pem")):
            (folder / name).write_bytes(path.read_bytes())
        place = {"HOST": f"tcp://127.0.0.1:{port}", "TLS_VERIFY": "1", "CERT_PATH": str(folder)}
        self.environment = engine.environment(
            **{f"{who}_{key}": value for key, value in place.items() for who in ("DOCKET", "DOCKER")}
        )

    def ask(self, *words: str, text: str = "", program: tuple[str, ...] = docket_command()) -> str:
        command = [*program, *words]
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, env=self.environment, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def far(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(rootfs) as engine:
        far = Far(engine, tmp_path_factory.mktemp("pki"))
        engine.stop()
        made = engine.environment
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "environment", lambda **extra: {**made(**extra), "DOCKET_CONFIG": str(far.settings)})
            engine.start()
        yield far


def test_streams_of_a_run_an_exec_and_an_attachment(far: Far) -> None:
    much = "line of input\n" * 30_000
    assert far.ask("run", "-i", "--rm", "--network", "none", "base", "cat", text=much) == much
    far.ask("run", "-d", "-i", "--name", "reader", "--network", "none", "base", "sh", "-c", "read a; echo got $a")
    assert far.ask("exec", "-i", "reader", "wc", "-c", text=much) == f"{len(much)}\n"
    assert far.ask("attach", "reader", text="this\n") == "got this\n"
    (attached,) = (one for one in far.engine.trail("reader") if one["type"] == "container.attached")
    assert attached["actor"]["subject"] == "CN=alice" and "stdin" in attached["data"]["streams"]
    far.ask("rm", "-f", "reader")


def test_a_terminal(far: Far) -> None:
    far.ask("run", "-dit", "--name", "shell", "--network", "none", "base", "sh")
    with Terminal([*docket_command(), "attach", "shell"], far.environment, 33, 99) as terminal:
        terminal.type(b"\rstty size; echo $((6*7))\r")
        terminal.expect(b"33 99")
        terminal.expect(b"42")
        terminal.type(CTRL_P + CTRL_Q)
        assert terminal.end() == 0
    assert far.engine.inspect("shell")["State"]["Running"] is True
    far.ask("rm", "-f", "shell")


def test_a_build_that_asks_an_agent_here(far: Far, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    text = "FROM base\nCOPY root /\nRUN --mount=type=ssh for i in 1 2 3; do ssh-add -l; done > /seen\n"
    folder = context_of(tmp_path / "c", text)
    copy_ssh_add(tmp_path / "c/root")
    with agent_with(tmp_path / "key", tmp_path / "agent") as agent:
        far.ask("build", "--network=none", "--ssh", f"default={agent}", "-t", "asked", folder)
    assert far.ask("run", "--rm", "asked", "cat", "/seen") == 3 * key


def test_who_reads_nothing_holds_up_no_container_and_no_daemon(far: Far) -> None:
    script = "read go; yes 0123456789012345678901234567890 | head -c 3000000; echo done >/dev/null"
    far.ask("run", "-d", "-i", "--name", "talker", "--network", "none", "base", "sh", "-c", script)
    stuck = [
        subprocess.Popen(
            [*docket_command(), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=far.environment
        )
        for words in (("attach", "--no-stdin", "talker"), ("logs", "-f", "talker"), ("events", "--since", "1h"))
    ]
    try:
        types = far.engine.event_types
        eventually(lambda: types("talker").count("container.attached") == 1)
        far.ask("attach", "talker", text="go\n")
        assert far.ask("wait", "talker") == "0\n"
        assert far.ask("logs", "--tail", "1", "talker") == "0123456789012345678901234567890\n"
    finally:
        for client in stuck:
            client.kill()
            client.communicate()
    far.ask("rm", "-f", "talker")
