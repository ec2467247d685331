"""``docket-runtime`` in the foreground, carried out by the spawner of an engine that runs: the same, only quicker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

import pytest

from support.containers import layer
from support.engine import Engine
from support.machine import data_folder
from support.sources import REPOSITORY
from support.terminal import Terminal
from support.waiting import eventually

pytestmark = pytest.mark.kernel


class Runtime:
    """The command, and a bundle for it."""

    def __init__(self, engine: Engine, home: Path) -> None:
        self.root, self.bundle = home / "root", home / "bundle"
        self.bundle.mkdir()
        (self.bundle / "rootfs").symlink_to(layer())
        self.environment = engine.environment()
        self.command = [
            sys.executable, str(REPOSITORY / "scripts/docket-runtime"), "--root", str(self.root),
        ]  # fmt: skip
        subprocess.run([*self.command, "spec", "--bundle", str(self.bundle)], env=self.environment, check=True)

    def configure(self, *args: str, terminal: bool = False) -> None:
        path = self.bundle / "config.json"
        spec = json.loads(path.read_text())
        spec["process"] |= {"args": list(args), "terminal": terminal}
        spec["linux"]["cgroupsPath"] = f"docket-test-served-{os.getpid()}"
        path.write_text(json.dumps(spec))

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=60,
            stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip

    def run(self, **options: Any) -> subprocess.CompletedProcess[str]:
        return self("run", "--bundle", str(self.bundle), "one", **options)

    def actors(self) -> set[int]:
        return {json.loads(line)["actor"]["pid"] for line in (self.root / "journal").read_text().splitlines()}


@pytest.fixture
def runtime(engine: Engine) -> Iterator[Runtime]:
    with tempfile.TemporaryDirectory(dir=data_folder()) as home:
        eventually((engine.run_folder / "runtime.sock").exists, timeout_s=30, what="the spawner serves")
        yield Runtime(engine, Path(home))


def _parent_of_init(runtime: Runtime) -> str:
    state = json.loads(runtime("state", "one").stdout)
    parent = Path(f"/proc/{state['pid']}/stat").read_text().rpartition(")")[2].split()[1]
    return Path(f"/proc/{parent}/cmdline").read_text()


def test_it_is_the_spawner_s_child_and_the_caller_s_deed(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "trap 'echo term; exit 7' TERM; echo $PWD; for i in $(seq 400); do sleep 0.05; done")
    with subprocess.Popen(
        [*runtime.command, "run", "--bundle", ".", "one"], env=runtime.environment, cwd=runtime.bundle,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "/\n"
        assert "engine.spawner" in _parent_of_init(runtime)
        done = runtime("exec", "one", "sh", "-c", "echo in; exit 3")
        assert (done.returncode, done.stdout) == (3, "in\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7 and process.stdout.read() == "term\n"
        assert process.pid in runtime.actors()
    assert runtime("list", "-q").stdout == ""


def test_failures_and_limits_are_the_caller_s(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "ulimit -f; umask; exit 0")
    done = runtime.run(preexec_fn=lambda: os.nice(3))
    assert done.returncode == 0, done.stderr
    words = [*runtime.command, "run", "--bundle", str(runtime.bundle), "one"]
    limited = subprocess.run(
        ["sh", "-c", 'ulimit -f 1234; exec "$@"', "sh", *words],
        env=runtime.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert limited.stdout.split()[0] == "1234", limited.stderr
    runtime.configure("/no/such")
    done = runtime.run()
    assert done.returncode == 1 and "no such file" in done.stderr and len(done.stderr.splitlines()) == 1
    assert runtime("exec", "nobody", "true").returncode == 255


def test_who_is_elsewhere_does_it_alone(runtime: Runtime) -> None:
    """From another network namespace a container without one of its own must not get the engine's."""
    runtime.configure("sh", "-c", "readlink /proc/self/ns/net")
    path = runtime.bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["linux"]["namespaces"] = [one for one in spec["linux"]["namespaces"] if one["type"] != "network"]
    path.write_text(json.dumps(spec))
    script = 'readlink /proc/self/ns/net; exec "$@"'
    words = [*runtime.command, "run", "--bundle", str(runtime.bundle), "one"]
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script, "sh", *words], env=runtime.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    outside, inside = done.stdout.split()
    assert outside == inside != os.readlink("/proc/self/ns/net")


def test_a_terminal_is_carried_by_the_caller(runtime: Runtime) -> None:
    runtime.configure("sh", "-c", "stty size; read line; echo got $line; exit 4", terminal=True)
    words = [*runtime.command, "run", "--bundle", str(runtime.bundle), "one"]
    with Terminal(words, runtime.environment, rows=33, columns=99) as terminal:
        terminal.expect(b"33 99")
        terminal.type(b"hello\r")
        terminal.expect(b"got hello")
        assert terminal.end() == 4


def test_a_caller_that_dies_leaves_its_container(runtime: Runtime) -> None:
    runtime.configure("sleep", "1000")
    words = [*runtime.command, "run", "--bundle", str(runtime.bundle), "one"]
    with subprocess.Popen(words, env=runtime.environment, stdin=subprocess.DEVNULL) as process:
        eventually(lambda: '"running"' in runtime("state", "one").stdout)
        process.kill()
    assert '"running"' in runtime("state", "one").stdout
    assert runtime("kill", "one", "KILL").returncode == 0
    eventually(lambda: runtime("list", "-q").stdout == "")
