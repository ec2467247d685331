"""Running the tests in several workers: everything once, honest sums, and no end that goes unseen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.machine import first_lack
from support.sources import REPOSITORY
from support.worker import LONGEST_FIRST

SETTINGS = "[tool:pytest]\ntestpaths = .\n"
NOTING = '''
import pathlib, pytest
@pytest.mark.parametrize("n", range(5))
def test_once(n, request):
    with open(pathlib.Path(__file__).with_name("ran"), "a") as file:
        file.write(f"{{request.node.nodeid}}\\n")
@pytest.mark.skip(reason="{name} rests")
def test_skips(): pass
'''


def run(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a small project."""
    for name, text in {**files, "setup.cfg": SETTINGS}.items():
        (folder / (name if "." in name else f"test_{name}.py")).write_text(text)
    program = f"import sys, pathlib, support.parallel as p; sys.exit(p.run_all(pathlib.Path({str(folder)!r})))"
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", "DOCKET_TEST_STRICT_SKIPS": ""}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def test_every_test_runs_once_and_is_counted(tmp_path: Path) -> None:
    names = [f"part{n}" for n in range(6)]
    done = run(tmp_path, **{name: NOTING.format(name=name) for name in names})
    assert done.returncode == 0, done.stdout + done.stderr
    ran = (tmp_path / "ran").read_text().splitlines()
    assert sorted(ran) == sorted(f"test_{name}.py::test_once[{n}]" for name in names for n in range(5))
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("30 passed, 0 failed, 6 skipped in ")
    assert [line for line in lines if "part3 rests" in line] == ["   1 skipped: part3 rests"]


def test_a_failure_is_told_at_once_and_shown_at_the_end(tmp_path: Path) -> None:
    done = run(tmp_path, good="def test_good(): pass", bad="def test_bad(): assert 'apples' == 'pears'")
    assert done.returncode == 1
    assert "FAILED    test_bad.py::test_bad (call)" in done.stdout and "'apples' == 'pears'" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 passed, 1 failed, 0 skipped in ")


@pytest.mark.parametrize(
    "text", ["import os\ndef test_dies(): os._exit(0)", "def test_dies(: pass"], ids=["ends early", "no Python"]
)
def test_a_worker_that_has_not_run_its_tests_fails_the_run(tmp_path: Path, text: str) -> None:
    done = run(tmp_path, good="def test_good(): pass", bad=text)
    assert done.returncode == 1, done.stdout


def test_the_workers_have_mounts_and_a_network_to_themselves(tmp_path: Path) -> None:
    if (reason := first_lack("root", "namespaces", "mounts")) is not None:
        pytest.skip(reason)
    seeing = (
        "import os, socket\n"
        "def test_sees():\n"
        "    assert [name for _, name in socket.if_nameindex()] == ['lo']\n"
        f"    assert os.readlink('/proc/self/ns/mnt') != os.readlink('/proc/{os.getpid()}/ns/mnt')\n"
        "    with socket.create_server(('127.0.0.1', 0)) as server, socket.create_connection(server.getsockname()):\n"
        "        pass\n"
    )
    done = run(tmp_path, seeing=seeing)
    assert done.returncode == 0, done.stdout


def test_the_files_that_take_long_exist() -> None:
    assert [name for name in LONGEST_FIRST if not (REPOSITORY / name).is_file()] == []
