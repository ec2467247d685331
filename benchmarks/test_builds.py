"""Builds against Docker's classic builder: cold, fully cached, and with a context that is ignored."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Peer
from support.engine import Engine, docket_command
from test_containers import against

DOCKERFILE = """
FROM docket-bench
ENV A=1
WORKDIR /app
COPY package.json .
RUN echo install > installed
COPY . .
RUN echo compiled > compiled && chmod 700 compiled
RUN mkdir -p /var/lib/app && echo data > /var/lib/app/data
LABEL version=1
USER 1000
EXPOSE 3000
CMD ["sh", "-c", "true"]
"""
BIG_BYTES, SMALL_BYTES = 500 << 20, 1 << 20


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve instructions, forty small files."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "package.json").write_text("{}")
    (folder / "src").mkdir()
    for number in range(40):
        (folder / f"src/{number}.js").write_text(f"module.exports = {number};\n" * 50)
    return folder


def ours(engine: Engine, *arguments: str) -> None:
    engine.docket("build", "--network", "none", "-q", *arguments)


def theirs(peer: Peer, *arguments: str) -> None:
    command = ["docker", "-H", peer.host, "build", "--network", "none", "-q", *arguments]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(command, check=True, capture_output=True, env=environment, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module", autouse=True)
def base(engine: Engine) -> None:
    engine.docket("tag", "base", "docket-bench")


def test_cold(benchmark: Any, engine: Engine, peer: Peer, context: Path) -> None:
    arguments = ("--no-cache", str(context))
    work = "12 instructions, cold"
    against(benchmark, work, lambda: ours(engine, *arguments), lambda: theirs(peer, *arguments), 0.3, rounds=5)


def test_cached(benchmark: Any, engine: Engine, peer: Peer, context: Path) -> None:
    ours(engine, str(context))
    theirs(peer, str(context))
    work = "12 instructions, all cached"
    against(benchmark, work, lambda: ours(engine, str(context)), lambda: theirs(peer, str(context)), 1.0, rounds=15)


def test_a_context_of_500_mb_of_which_1_mb_counts(benchmark: Any, engine: Engine, tmp_path: Path) -> None:
    """Against the same build of a context that has the 1 MB alone."""
    for folder in ("small", "large"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Dockerfile").write_text("FROM base\nCOPY . /c/\n")
        (tmp_path / folder / "data").write_bytes(os.urandom(SMALL_BYTES))
        (tmp_path / folder / ".dockerignore").write_text("ignored\n")
    (tmp_path / "large/ignored").mkdir()
    for number in range(50):
        (tmp_path / f"large/ignored/{number}").write_bytes(os.urandom(BIG_BYTES // 50))
    small, large = lambda: ours(engine, str(tmp_path / "small")), lambda: ours(engine, str(tmp_path / "large"))
    against(benchmark, "500 MB context, 1 MB of it sent (peer: 1 MB)", large, small, 1.2, rounds=7)


def test_cpu_of_a_cached_build(engine: Engine, context: Path) -> None:
    """No ratio: seconds of the processor, which a loaded machine doesn't blur."""
    ours(engine, str(context))
    rounds = 10
    before, client = _cpu_s(engine.daemon_pid()), os.times()
    for _ in range(rounds):
        subprocess.run(
            [*docket_command(), "build", "-q", "--network", "none", str(context)], env=engine.environment(), check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    after, then = _cpu_s(engine.daemon_pid()), os.times()
    used = then.children_user + then.children_system - client.children_user - client.children_system
    print(f"\na cached build of 12 instructions: client {used / rounds * 1000:.1f} ms, engine "
          f"{(after - before) / rounds * 1000:.1f} ms of processor time")  # fmt: skip


def _cpu_s(pid: int) -> float:
    """User and system time of a process, of its living children and of those that it waited for."""
    ticks, pids = 0, [pid]
    while pids:
        one = pids.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            pids += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
