"""Libraries that speak the API: docker-py and dockerode, each by a table of calls in an interpreter of its own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterator

import pytest

from clients import docker_py_calls, dockerode_calls
from clients.calls import Call, as_expected, run_calls, same
from clients.rows import TAG, Side, clean_environment
from clients.sides import import_base, tidy_up
from support.engine import Engine

HERE = Path(__file__).parent
Outcomes = list[dict[str, Any]]


@functools.cache
def docker_py() -> list[str | Path]:
    """The driver of docker-py, by the first interpreter that has the library."""
    wishes = [os.environ.get("DOCKET_TEST_DOCKER_PY"), f"{sys.base_prefix}/bin/python3", "/usr/bin/python3"]
    for python in filter(None, wishes):
        has = [python, "-c", "import docker, sys; sys.exit(docker.__version__ < '5')"]
        if not shutil.which(python):
            continue
        if subprocess.run(has, capture_output=True, check=False, env=clean_environment()).returncode == 0:
            return [python, HERE / "drive_docker_py.py", "docker"]
    pytest.skip("no docker-py here: pip install docker, or name an interpreter that has it by DOCKET_TEST_DOCKER_PY")


@functools.cache
def dockerode() -> list[str | Path]:
    """The driver of dockerode, where node finds it."""
    folder = os.environ.get("DOCKET_TEST_NODE_PATH", "")
    has = ["node", "-e", "require('dockerode')"]
    environment = {**clean_environment(), "NODE_PATH": folder}
    if not shutil.which("node") or subprocess.run(has, env=environment, capture_output=True, check=False).returncode:
        pytest.skip("no dockerode here: npm install dockerode, and its node_modules in DOCKET_TEST_NODE_PATH")
    return ["node", HERE / "drive_dockerode.js"]


LIBRARIES: dict[str, tuple[ModuleType, Callable[[], list[str | Path]]]] = {
    "docker-py": (docker_py_calls, docker_py),
    "dockerode": (dockerode_calls, dockerode),
}
CALLS = [(name, number, call) for name, (table, _) in LIBRARIES.items() for number, call in enumerate(table.calls())]
each_call = pytest.mark.parametrize(
    ("library", "number", "call"), CALLS, ids=lambda value: value.code[:70] if isinstance(value, Call) else str(value)
)


class Runs:
    """The tables on one engine, each run when its first call is asked about."""

    def __init__(self, side: Side, rootfs: Path, folder: Path) -> None:
        self._side, self._rootfs, self._folder = side, rootfs, folder
        self._outcomes: dict[str, Outcomes] = {}

    def of(self, library: str) -> Outcomes:
        table, driver = LIBRARIES[library]
        if library not in self._outcomes:
            words = driver()
            import_base(self._side, self._rootfs)
            self._outcomes[library] = run_calls(
                table.calls(), self._side, words, self._folder, compared="DOCKET_TEST_DOCKER_HOST" in os.environ,
                extra={"NODE_PATH": os.environ.get("DOCKET_TEST_NODE_PATH", "")},
            )  # fmt: skip
        return self._outcomes[library]


@pytest.fixture(scope="module")
def ours(module_engine: Engine, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(Side(f"unix://{module_engine.socket}", own=True), rootfs, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    side = Side(os.environ["DOCKET_TEST_DOCKER_HOST"], own=False)
    try:
        yield Runs(side, rootfs, tmp_path_factory.mktemp("theirs"))
    finally:
        tidy_up(side)


@each_call
def test_call(ours: Runs, library: str, number: int, call: Call) -> None:
    as_expected(call, ours.of(library)[number])


@pytest.mark.requires("real docker")
@each_call
def test_call_beside_docker(ours: Runs, theirs: Runs, library: str, number: int, call: Call) -> None:
    own = ours.of(library)[number]  # first: both sides want the same ports
    other = theirs.of(library)[number]
    if not call.differs:
        as_expected(call, other)
    same(call, other, own)


def test_names_are_this_runs_own() -> None:
    assert TAG not in "".join(call.code for _, _, call in CALLS), "NAME stands for it"
