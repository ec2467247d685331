"""Docker's own command line: every row of its table on our engine, and beside a real Docker where one is named."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Iterator

import pytest

from clients import docker_rows
from clients.rows import Outcome, Row, Side, as_expected, difference, run_rows
from clients.sides import docker, import_base, tidy_up
from support.engine import Engine

pytestmark = pytest.mark.requires("docker client")

ROWS = docker_rows.rows()
Outcomes = dict[Row, Outcome]


@pytest.fixture(scope="module")
def ours(module_engine: Engine, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    side = Side(f"unix://{module_engine.socket}", own=True)
    return everything_on(side, rootfs, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(ours: Outcomes, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """After ours, so that the two don't want one subnet or port at the same time."""
    host = os.environ.get("DOCKET_TEST_DOCKER_HOST")
    if not host:
        pytest.skip("no real Docker to compare with: DOCKET_TEST_DOCKER_HOST is not set")
    side = Side(host, own=False)
    try:
        yield everything_on(side, rootfs, tmp_path_factory.mktemp("theirs"))
    finally:
        tidy_up(side)


def everything_on(side: Side, rootfs: Path, folder: Path) -> Outcomes:
    import_base(side, rootfs)
    return run_rows(ROWS, side, ["docker"], folder, compared="DOCKET_TEST_DOCKER_HOST" in os.environ)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line[:70])
def test_row(ours: Outcomes, row: Row) -> None:
    as_expected(row, ours[row])


@pytest.mark.requires("real docker")
@pytest.mark.parametrize("row", [row for row in ROWS if not row.alone], ids=lambda row: row.line[:70])
def test_row_beside_docker(ours: Outcomes, theirs: Outcomes, row: Row) -> None:
    """The same status and output; of errors the words that the row names, since versions of Docker differ in others."""
    own, other = ours[row], theirs[row]
    if row.differs:
        return
    as_expected(row, other)
    if found := difference(other.out, own.out):
        pytest.fail(found, pytrace=False)
    assert bool(own.err) == bool(other.err), (own.err, other.err)


def test_every_subcommand_is_in_the_table() -> None:
    """What ``docker NOUN --help`` lists, a row has."""
    covered = {tuple(row.words[:2]) for row in ROWS}
    for noun in ("container", "image", "volume", "network", "system"):
        text = docker(Side("unix:///nowhere", own=False), noun, "--help")
        verbs = re.findall(r"^  ([a-z-]+) +[A-Z]", text.partition("Commands:")[2], re.MULTILINE)
        assert verbs
        missing = {verb for verb in verbs if (noun, verb) not in covered} - NOT_FOR_AN_ENGINE
        assert not missing, f"{noun}: {missing}"


NOT_FOR_AN_ENGINE = {"dial-stdio", "update"}
"""``system dial-stdio`` is a pipe to any daemon; ``volume update`` is for clusters; ``container update`` has rows."""
