"""Container lives, execs and lists against a real Docker, command by command and over the API."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import Peer, note
from kept_alive import KeptAlive
from support.connection import UnixConnection, ask
from support.engine import Engine, base_config

LIVES = 40
SIDE_BY_SIDE = 4
SETTLE_S = 0.3
KEYS = 50


def timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def against(
    benchmark: Any, what: str, ours: Callable[[], Any], theirs: Callable[[], Any], wanted: float, rounds: int = 9
) -> None:
    """Run both in turn, so that a noisy moment hits both; the benchmark's own table shows ours.

    An engine tidies up after it has answered: a pause keeps that out of the other's time.
    """
    theirs_s: list[float] = []

    def peer_first() -> None:
        time.sleep(SETTLE_S)
        theirs_s.append(timed(theirs))
        time.sleep(SETTLE_S)

    benchmark.pedantic(ours, setup=peer_first, rounds=rounds, warmup_rounds=1)
    note(what, statistics.median(benchmark.stats.stats.data), statistics.median(theirs_s), wanted)


def life(connection: KeptAlive) -> None:
    """create, start, wait, remove on one kept-alive connection."""
    status, created = connection.ask("POST", "/containers/create", base_config("true"))
    assert status == 201, created
    container = json.loads(created)["Id"]
    assert connection.ask("POST", f"/containers/{container}/start")[0] == 204
    assert json.loads(connection.ask("POST", f"/containers/{container}/wait")[1])["StatusCode"] == 0
    assert connection.ask("DELETE", f"/containers/{container}")[0] == 204


def side_by_side(work: Callable[[], None]) -> float:
    """Seconds for LIVES pieces of work, SIDE_BY_SIDE at once."""
    remaining = iter(range(LIVES))
    guard = threading.Lock()

    def worker() -> None:
        while True:
            with guard:
                if next(remaining, None) is None:
                    return
            work()

    threads = [threading.Thread(target=worker) for _ in range(SIDE_BY_SIDE)]

    def everything() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return timed(everything)


def test_run(benchmark: Any, engine: Engine, peer: Peer) -> None:
    against(
        benchmark, "run --rm --network none IMAGE true",
        lambda: engine.docket("run", "--rm", "--network", "none", "base", "true"),
        lambda: peer.docker("run", "--rm", "--net", "none", "docket-bench", "true"), 1 / 4,
    )  # fmt: skip


def test_life_over_the_api(benchmark: Any, engine: Engine, peer: Peer) -> None:
    connection = KeptAlive(engine.socket)
    against(
        benchmark, "create+start+wait+remove over the API", lambda: life(connection),
        lambda: peer.docker("run", "--rm", "--net", "none", "docket-bench", "true"), 1 / 12,
    )  # fmt: skip
    connection.close()


def test_ps(benchmark: Any, engine: Engine, peer: Peer) -> None:
    against(benchmark, "ps", lambda: engine.docket("ps"), lambda: peer.docker("ps"), 2.5)


@pytest.fixture
def sleepers(engine: Engine, peer: Peer) -> Any:
    ours = engine.docket("run", "-d", "--network", "none", "base", "sleep", "1000").stdout.strip()
    theirs = peer.docker("run", "-d", "--net", "none", "docket-bench", "sleep", "1000").strip()
    yield ours, theirs
    engine.docket("rm", "-f", ours)
    peer.docker("rm", "-f", theirs)


def test_exec(benchmark: Any, engine: Engine, peer: Peer, sleepers: tuple[str, str]) -> None:
    ours, theirs = sleepers
    against(
        benchmark, "exec true", lambda: engine.docket("exec", ours, "true"),
        lambda: peer.docker("exec", theirs, "true"), 3 / 4,
    )  # fmt: skip


def test_exec_over_the_api(benchmark: Any, engine: Engine, peer: Peer, sleepers: tuple[str, str]) -> None:
    ours, theirs = sleepers

    def execute() -> None:
        connection = UnixConnection(engine.socket)
        body = {"Cmd": ["true"], "AttachStdout": True}
        identifier = ask(connection, "POST", f"/containers/{ours}/exec", body).json["Id"]
        ask(connection, "POST", f"/exec/{identifier}/start", {"Detach": False})
        connection.close()

    against(benchmark, "exec true over the API", execute, lambda: peer.docker("exec", theirs, "true"), 1 / 2)


class Terminal:
    """A terminal that is attached over the API, with cat behind it."""

    def __init__(self, path: Path, container: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        head = f"POST /containers/{container}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: docket\r\n"
        self._socket.sendall(f"{head}Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n".encode())
        self._until(b"\r\n\r\n")

    def echo(self) -> None:
        """A key, and what the terminal shows of it."""
        for _ in range(KEYS):
            self._socket.sendall(b"x")
            self._until(b"x")

    def _until(self, mark: bytes) -> None:
        said = b""
        while mark not in said:
            part = self._socket.recv(4096)
            assert part, f"closed after {said!r}"
            said += part

    def close(self) -> None:
        self._socket.close()


def test_attach(benchmark: Any, engine: Engine, peer: Peer) -> None:
    ours = engine.docket("run", "-dit", "--network", "none", "base", "cat").stdout.strip()
    theirs = peer.docker("run", "-dit", "--net", "none", "docket-bench", "cat").strip()
    ends = Terminal(engine.socket, ours), Terminal(Path(peer.host.removeprefix("unix://")), theirs)
    try:
        against(benchmark, f"attach: {KEYS} keys and their echoes", ends[0].echo, ends[1].echo, 1)
    finally:
        for end in ends:
            end.close()
        engine.docket("rm", "-f", ours)
        peer.docker("rm", "-f", theirs)


def test_forty_runs(engine: Engine, peer: Peer) -> None:
    theirs = side_by_side(lambda: peer.docker("run", "--rm", "--net", "none", "docket-bench", "true"))
    ours = side_by_side(lambda: engine.docket("run", "--rm", "--network", "none", "base", "true"))
    note(f"{LIVES} runs, {SIDE_BY_SIDE} at once, command line", ours, theirs, 1 / 5)
    local = threading.local()

    def over_the_api() -> None:
        if not hasattr(local, "connection"):
            local.connection = KeptAlive(engine.socket)
        life(local.connection)

    note(f"{LIVES} lives, {SIDE_BY_SIDE} at once, over the API", side_by_side(over_the_api), theirs, 1 / 15)


def _kib(path: Path, field: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"{path} has no {field}")


def test_memory(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    names = [engine.docket("run", "-d", "--network", "none", "base", "sleep", "1000").stdout.strip() for _ in range(20)]
    try:
        shims = [_kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in engine.shim_pids()]
        daemon = _kib(Path(f"/proc/{engine.daemon_pid()}/status"), "VmRSS")
    finally:
        engine.docket("rm", "-f", *names)
    with capsys.disabled():
        print(f"\nPSS of an idle shim: {statistics.mean(shims):.0f} KiB (at most 2048)")
        print(f"RSS of the idle daemon: {daemon} KiB (at most 65536)")
    assert len(shims) == 20
