"""The project's own source files, for the tests that read them."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "engine"


def python_files(*folders: Path) -> list[Path]:
    """Every Python file under the folders, also programs without a suffix whose first line names Python."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if "__pycache__" in path.parts or not path.is_file():
                continue
            if path.suffix == ".py" or not path.suffix and _is_python_program(path):
                found.append(path)
    return found


def _is_python_program(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline()
    return line.startswith(b"#!") and b"python" in line


def room_of(path: Path) -> str | None:
    """The room of the engine that a file belongs to: its folder, or its module (daemon, spawner)."""
    parts = path.relative_to(REPOSITORY).parts
    if parts[0] == "migrations":
        return "migrations"
    if parts == ("engine", "__init__.py"):
        return None
    return parts[1].removesuffix(".py")
