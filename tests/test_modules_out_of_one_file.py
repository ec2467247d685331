"""The modules of a short-lived command come out of one file, as long as that says what their sources say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence

import pytest
from support.sources import REPOSITORY

PROGRAM = """
import sys
sys.path.append(sys.argv[1])
from engine import loading

def import_all():
    import engine.rooms.attic
    import engine.hall
    print("imported one by one")
    return sys.argv[2:] != ["unknown"]

loading.load("visit", import_all)
from engine.rooms import attic, cellar
import engine
print(attic.text, attic.__file__, attic.__package__, engine.rooms.cellar is cellar, engine.rooms.__path__)
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small engine: a package that takes what it shows from its modules, and a module that needs that package."""
    rooms = tmp_path / "engine/rooms"
    rooms.mkdir(parents=True)
    for name in ("__init__.py", "loading.py"):
        shutil.copy(REPOSITORY / "engine" / name, rooms.parent / name)
    (rooms / "__init__.py").write_text("from engine.rooms.cellar import depth\n__all__ = ['depth']\n")
    (rooms / "cellar.py").write_text("depth = 2\n")
    (rooms / "attic.py").write_text("import engine.rooms\ntext = f'{engine.rooms.depth} floors down'\n")
    (rooms.parent / "hall.py").write_text("import xml.dom, typing  # has modules that are none: typing.io\n")
    return tmp_path


def visit(house: Path, *flags: str, words: Sequence[str] = ()) -> list[str]:
    command = [sys.executable, "-IS", *flags, "-c", PROGRAM, str(house), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_what_was_loaded_once_comes_out_of_one_file(house: Path) -> None:
    shown = f"2 floors down {house}/engine/rooms/attic.py engine.rooms True ['{house}/engine/rooms']"
    assert visit(house) == ["imported one by one", shown]
    assert visit(house) == [shown]
    assert not list(house.rglob("*.marshal.*"))


def test_a_source_that_was_changed_is_read_again(house: Path) -> None:
    visit(house)
    (house / "engine/rooms/cellar.py").write_text("depth = 30\n")
    assert [line.partition(" floors")[0] for line in visit(house)] == ["imported one by one", "30"]
    assert len(visit(house)) == 1


def test_a_file_that_is_torn_or_of_another_place_counts_for_nothing(house: Path, tmp_path: Path) -> None:
    visit(house)
    (file,) = house.rglob("*.marshal")
    file.write_bytes(file.read_bytes()[:200])
    assert len(visit(house)) == 2
    shutil.copytree(house / "engine", tmp_path / "moved/engine")
    assert f"{tmp_path}/moved/engine" in visit(tmp_path / "moved")[-1]
    assert len(visit(tmp_path / "moved")) == 1


def test_who_writes_no_compiled_code_writes_no_such_file(house: Path) -> None:
    assert len(visit(house, "-B")) == 2
    assert len(visit(house, words=["unknown"])) == 2, "nor for a command that there isn't"
    assert not list(house.rglob("*.marshal"))
