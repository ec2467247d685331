"""Benchmarks: figures of this engine as ratios against a peer in the same run, since machines are noisy.

    DOCKET_TEST_DOCKER_HOST=unix:///path/to/docker.sock scripts/benchmark [pytest arguments]

Without a real Docker the figures of this engine alone are printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.engine import Engine, running_engine  # noqa: E402
from support.machine import ENGINE_NEEDS, first_lack  # noqa: E402
from support.rootfs import write_rootfs  # noqa: E402

RATIOS: list[tuple[str, float, float, float]] = []
"""(what, our seconds, the peer's seconds, the ratio that we want at most), for the table at the end."""


class Peer:
    """A real Docker with the same image imported as ``docket-bench``."""

    def __init__(self, host: str, rootfs: Path) -> None:
        self.host = host
        self.docker("import", str(rootfs), "docket-bench")

    def docker(self, *arguments: str) -> str:
        command = ["docker", "-H", self.host, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


@pytest.fixture(scope="session")
def rootfs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield write_rootfs(Path(folder) / "rootfs.tar")


@pytest.fixture(scope="session")
def engine(rootfs: Path) -> Iterator[Engine]:
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(rootfs) as engine:
        yield engine


@pytest.fixture(scope="session")
def peer(rootfs: Path) -> Iterator[Peer]:
    host = os.environ.get("DOCKET_TEST_DOCKER_HOST")
    if not host:
        pytest.skip("no real Docker to compare with: set DOCKET_TEST_DOCKER_HOST=unix:///path/to/docker.sock")
    found = Peer(host, rootfs)
    yield found
    found.docker("rmi", "-f", "docket-bench")


def note(what: str, ours_s: float, theirs_s: float, wanted: float) -> None:
    """Keep a ratio for the table at the end."""
    RATIOS.append((what, ours_s, theirs_s, wanted))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not RATIOS:
        return
    terminalreporter.section("ratios against the peer, medians of one run")
    terminalreporter.line(f"{'what':46} {'ours':>10} {'peer':>10} {'ratio':>7} {'wanted':>7}")
    for what, ours_s, theirs_s, wanted in RATIOS:
        ratio = ours_s / theirs_s
        mark = "" if ratio <= wanted else "  MISSED"
        terminalreporter.line(
            f"{what:46} {ours_s * 1000:8.1f}ms {theirs_s * 1000:8.1f}ms {ratio:7.3f} {wanted:7.3f}{mark}"
        )
