"""scripts/try from a fresh clone, on this machine and on lesser ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.census import assert_nothing_left, take_census
from support.forked import in_child
from support.machine import ENGINE_NEEDS, become_ordinary
from support.sources import REPOSITORY

pytestmark = pytest.mark.kernel


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The checkout with a .venv that is this interpreter's, so that nothing is downloaded again."""
    if Path(sys.prefix) != REPOSITORY / ".venv":
        pytest.skip("kernel or machine has no .venv of this checkout: run scripts/test")
    return REPOSITORY


@pytest.mark.requires(*ENGINE_NEEDS)
@pytest.mark.deadline(200)
def test_try_shows_a_limited_container_and_its_trail(clone: Path) -> None:
    before = take_census()
    done = subprocess.run([clone / "scripts" / "try"], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("docket-try", "my pid:         1", str(64 << 20), "50000", "container.started", "container.exited"):
        assert words in done.stdout, done.stdout
    assert_nothing_left(before)


@pytest.mark.requires("root")
def test_try_in_a_sandbox(clone: Path) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("kernel or machine lacks setpriv (util-linux)")
    command = ["setpriv", "--bounding-set=-sys_admin", str(clone / "scripts" / "try")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.strip().splitlines()
    assert "forbidden" in line and "CAP_SYS_ADMIN" in line


@pytest.mark.requires("user namespaces")
def test_try_without_root(clone: Path) -> None:
    def story() -> list[object]:
        become_ordinary()
        done = subprocess.run([clone / "scripts" / "try"], capture_output=True, text=True, timeout=60, check=False)
        return [done.returncode, done.stdout]

    code, output = in_child(story, timeout_s=200)
    assert code == 0, output
    for words in ("docket-try", "my pid:         1", "container.started", "container.exited", "uid 1000"):
        assert words in str(output), output
