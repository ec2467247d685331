"""What the tests of the command line share."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import pytest

from cli.fake_engine import FakeEngine
from support.engine import docket_command
from support.sources import REPOSITORY


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    engine = FakeEngine(tmp_path)
    yield engine
    engine.close()


@pytest.fixture
def docket(fake: FakeEngine, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command of the command line in this process, against the fake engine."""
    from engine.cli.main import main

    def run(*words: str) -> Done:
        capfd.readouterr()
        status = main(["--host", fake.host, *words])
        return Done(status, *capfd.readouterr())

    return run


def environment(**extra: str) -> dict[str, str]:
    """The environment of a command that is run as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKET_", "DOCKER_"))}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "TZ": "UTC", **extra}


def started(fake: FakeEngine, *words: str, **streams: object) -> subprocess.Popen[bytes]:
    """A command as a process of its own, whose streams the test holds."""
    wanted = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    command = [*docket_command(), "--host", fake.host, *words]
    return subprocess.Popen(command, env=environment(), **wanted)  # type: ignore[call-overload]
