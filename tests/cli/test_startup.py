"""Start-up is a feature: what the program imports before it does its work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.conftest import environment
from cli.fake_engine import FakeEngine, answer, refusal
from support.sources import REPOSITORY

SLOW = {
    "argparse", "asyncio", "calendar", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools",
    "http", "inspect", "json", "logging", "pathlib", "re", "selectors", "shutil", "signal", "socket", "string",
    "subprocess", "tempfile", "threading", "typing", "urllib",
}  # fmt: skip
"""Each costs between one and forty milliseconds; Python's own start takes ten."""


def modules_of(fake: FakeEngine, *words: str) -> set[str]:
    """What a fresh interpreter has imported once a command is done, beyond what it starts with."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "from engine.cli.main import main\n"
        f"status = main({['--host', fake.host, *words]!r})\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr); sys.exit(status)"
    )
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.fixture
def scripted(fake: FakeEngine) -> FakeEngine:
    fake.on["GET /containers/json"] = answer([])
    fake.on["GET /images/json"] = answer([])
    fake.on["GET /containers/x/json"] = answer({"Id": "x"})
    fake.on["POST /containers/x/stop"] = answer(status=204)
    fake.on["POST /containers/create"] = answer({"Id": "3f"}, 201)
    fake.on["POST /containers/3f/start"] = answer(status=204)
    fake.on["GET /volumes"] = refusal(500, "not asked")
    return fake


COMMANDS = ("ps", "ps --format {{.ID}}", "images", "inspect x", "stop x", "run -d base true")


@pytest.mark.parametrize("words", COMMANDS)
def test_nothing_slow_is_imported(scripted: FakeEngine, words: str) -> None:
    found = modules_of(scripted, *words.split())
    assert not {name.partition(".")[0] for name in found} & SLOW


def test_only_the_typed_command_is_imported(scripted: FakeEngine) -> None:
    ours = {name for name in modules_of(scripted, "ps") if name.startswith("engine")}
    assert "engine.cli.containers" in ours
    assert not ours & {"engine.cli.run", "engine.cli.images", "engine.cli.create_flags", "engine.cli.template"}
    assert len(ours) <= 21, sorted(ours)


NEEDED = {"dockerignore.py": {"re"}}
"""What a module can't do without, and whose command takes its time anyway."""


def test_no_module_of_the_client_imports_a_slow_one_at_its_top() -> None:
    """Not even those of rarely typed commands: imports of one become imports of all."""
    for path in sorted((REPOSITORY / "engine").glob("cl[i]*/*.py")):
        slow = SLOW - {"collections"} - NEEDED.get(path.name, set())
        for line in path.read_text().splitlines():
            if line.startswith(("import ", "from ")) and not line.startswith("from __future__"):
                assert line.split()[1].partition(".")[0] not in slow, f"{path}: {line}"


def test_the_command_as_it_is_installed_imports_nothing_slow() -> None:
    """scripts/docket goes into the environment word for word; what pip would write imports re."""
    command = [sys.executable, "-S", "-X", "importtime", REPOSITORY / "scripts" / "docket", "--version"]
    path = {**environment(), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout[:14]) == (0, "Docket version"), done.stderr
    found = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "engine.cli.main" in found
    assert not {name.partition(".")[0] for name in found} & SLOW
