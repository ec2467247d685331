"""What leaves the checkout: the packages that setup.cfg names, their data, and an installation from a wheel."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.machine import join_outside_network
from support.sources import ENGINE, REPOSITORY

DATA_SUFFIXES = {".json", ".txt", ".mako", ".ini"}


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    return parser


def folders_with_python(top: Path) -> set[Path]:
    return {path.parent for path in top.rglob("*.py") if "__pycache__" not in path.parts}


def test_every_folder_with_code_is_a_package_of_the_distribution() -> None:
    named = set(setup_cfg()["options"]["packages"].split())
    found = {".".join(path.relative_to(REPOSITORY).parts) for path in folders_with_python(ENGINE)}
    found |= {".".join(("engine", *path.relative_to(REPOSITORY).parts))
              for path in folders_with_python(REPOSITORY / "migrations")}  # fmt: skip
    found.add("engine.migrations")
    assert named == found


def test_the_engine_depends_on_three_packages() -> None:
    required = setup_cfg()["options"]["install_requires"].split()
    assert {line.partition(">")[0] for line in required} == {"sqlalchemy", "alembic", "requests"}


def test_the_root_holds_what_the_ecosystem_looks_for() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", ".gitignore", ".ci/run"):
        assert (REPOSITORY / name).is_file(), name
    for program in (REPOSITORY / "scripts").iterdir():
        is_program = program.is_file() and not program.suffix
        assert not is_program or os.access(program, os.X_OK), f"{program} is not executable"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy, since setuptools writes beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    copied = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if copied.returncode != 0:
        pytest.skip("not a git checkout: the files of the distribution are not known")
    for name in copied.stdout.splitlines():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, folder / "source"],
        capture_output=True, text=True, check=False, preexec_fn=join_outside_network,
    )  # fmt: skip
    if built.returncode != 0 and "No matching distribution found for setuptools" in built.stderr:
        pytest.skip("PyPI is not in reach: setuptools is needed to build a wheel")
    assert built.returncode == 0, built.stderr
    return next(folder.glob("docket_engine-*.whl"))


def test_the_wheel_holds_code_data_and_migrations(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for path in sorted(ENGINE.rglob("*")):
        if path.suffix == ".py" or path.suffix in DATA_SUFFIXES:
            assert str(path.relative_to(REPOSITORY)) in held
    migrations = [path for path in (REPOSITORY / "migrations").rglob("*") if path.suffix in {".py", *DATA_SUFFIXES}]
    assert migrations
    for path in migrations:
        assert f"engine/{path.relative_to(REPOSITORY)}" in held
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "migrations/"))]
    assert [name for name in held if ".data/scripts/" in name and name.endswith("/docket")]


@pytest.mark.deadline(240)
def test_a_log_opens_with_nothing_but_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """The wheel unpacked, away from the checkout: the command answers and the migrations make a new log."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import engine, engine.cli.main\n"
        "assert engine.__file__.startswith(sys.path[0]), engine.__file__\n"
        "from pathlib import Path\n"
        "from engine.eventlog.log import EventLog\n"
        f"log = EventLog(Path({str(tmp_path / 'docket.db')!r}), clock=lambda: 1, boot_id='boot')\n"
        "print(log.head().seq, log.verify().problems)\n"
        "log.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "[]"]
