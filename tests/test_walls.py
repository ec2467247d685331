"""The walls of the house: who may import whom, which package has which one importer, what each process pulls in.

Every import statement counts, those inside functions included, and so does ``importlib.import_module("...")``.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path
from typing import Iterator

from support.sources import ENGINE, REPOSITORY, python_files, room_of

LOW = {"domain", "kernel"}
MIDDLE = {"eventlog", "runtime", "images", "networking"}
BELOW_THE_SOCKET = {*LOW, *MIDDLE, "services", "builder", "recovery", "api"}

MAY_IMPORT: dict[str, set[str]] = {
    "domain": set(),
    "kernel": set(),
    "eventlog": LOW,
    "migrations": {"eventlog"},
    "runtime": LOW,
    "images": LOW,
    "networking": LOW,
    "services": LOW | MIDDLE,
    "builder": LOW | MIDDLE | {"services", "client"},  # of the client: .dockerignore, git, folders as contexts
    "recovery": LOW | MIDDLE | {"services"},
    "api": BELOW_THE_SOCKET - {"api"},
    "daemon": BELOW_THE_SOCKET | {"client"},  # of the client: where an engine's folders are
    "loading": set(),
    "oci": LOW | {"runtime", "loading"},
    "spawner": LOW | {"runtime", "images", "networking", "builder", "oci"},
    "client": set(),
    "compose": {"client"},
    "cli": {"client", "compose", "loading"},
}
"""Room -> the other rooms that it may import. Rooms of one row of the house don't see each other."""

IMPORTERS: dict[str, set[str]] = {
    "ctypes": set(),
    "_ctypes": {"kernel"},
    "sqlalchemy": {"eventlog", "migrations"},
    "alembic": {"eventlog", "migrations"},
    "sqlite3": {"eventlog", "migrations"},
    "requests": {"images"},
    "urllib3": {"images"},
    "yaml": {"compose"},
}
"""Package -> the rooms that may import it. What is neither here nor in the standard library is imported by nobody."""

TEST_PACKAGES = {"pytest", "pytest_benchmark", "sqlalchemy", "alembic", "requests"}


@functools.cache
def imports_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Line and dotted name of everything that a file imports; relative imports are made absolute."""
    return tuple(_imports_of(path))


def _imports_of(path: Path) -> Iterator[tuple[int, str]]:
    package = path.relative_to(REPOSITORY).with_suffix("").parts[: -1 if path.name != "__init__.py" else None]
    if path.name == "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def imported_room(name: str) -> str | None:
    """The room of the engine that a dotted name lies in; None for ``engine`` itself (its version) and for others."""
    parts = name.split(".")
    if parts[0] != "engine" or len(parts) < 2 or parts[1].startswith("__"):
        return None
    return parts[1]


ENGINE_FILES = python_files(ENGINE, REPOSITORY / "migrations")


def test_no_arrow_points_up() -> None:
    wrong = []
    for path in ENGINE_FILES:
        room = room_of(path)
        if room is None:
            assert not [name for _, name in imports_of(path) if imported_room(name)], "engine/__init__ imports nothing"
            continue
        assert room in MAY_IMPORT, f"{path}: {room} is a new room: say in MAY_IMPORT whom it may see"
        wrong += [
            f"{path}:{line}: {room} may not import {name}"
            for line, name in imports_of(path)
            if (target := imported_room(name)) is not None and target != room and target not in MAY_IMPORT[room]
        ]
    assert not wrong, "\n".join(wrong)


def test_each_foreign_package_has_one_importer() -> None:
    wrong = []
    for path in ENGINE_FILES:
        for line, name in imports_of(path):
            package = name.split(".")[0]
            if package in IMPORTERS:
                if room_of(path) not in IMPORTERS[package]:
                    wrong.append(f"{path}:{line}: {package} belongs to {', '.join(sorted(IMPORTERS[package]))}")
            elif package != "engine" and package not in sys.stdlib_module_names:
                wrong.append(f"{path}:{line}: {package} is not a package that the engine depends on")
    assert not wrong, "\n".join(wrong)


def test_tests_benchmarks_and_scripts_use_no_other_package() -> None:
    rooms = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir()}
    local = {"engine", "tests", "benchmarks", *rooms}
    wrong = []
    for path in python_files(REPOSITORY / "tests", REPOSITORY / "benchmarks", REPOSITORY / "scripts"):
        beside = {file.stem for file in path.parent.glob("*.py")} | {folder.name for folder in path.parent.iterdir()}
        for line, name in imports_of(path):
            package = name.split(".")[0]
            if package not in local | beside | TEST_PACKAGES and package not in sys.stdlib_module_names:
                wrong.append(f"{path}:{line}: {package}")
    assert not wrong, "\n".join(wrong)


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after ``statement``."""
    program = f"import sys; before = set(sys.modules)\n{statement}\nprint('\\n'.join(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def import_all(*rooms: str) -> str:
    """A statement that imports every module of these rooms."""
    names = []
    for room in rooms:
        files = python_files(ENGINE / room) if (ENGINE / room).is_dir() else [ENGINE / f"{room}.py"]
        for path in files:
            dotted = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            names.append(dotted.removesuffix(".__init__"))
    return "\n".join(f"import {name}" for name in names)


SLOW_TO_IMPORT = {"sqlalchemy", "alembic", "requests", "sqlite3", "ctypes", "http.client", "urllib.request", "asyncio"}


def test_the_client_path_imports_nothing_heavy() -> None:
    assert not modules_after("import engine.cli.main") & SLOW_TO_IMPORT
    assert not modules_after(import_all("cli", "client")) & {"sqlalchemy", "alembic", "requests", "sqlite3", "ctypes"}


def test_the_client_path_stays_above_the_socket() -> None:
    rooms = {imported_room(name) for name in modules_after(import_all("cli", "client"))} - {None}
    assert rooms <= {"cli", "client", "compose", "loading"}


def test_an_engine_that_starts_imports_nothing_that_it_rarely_needs() -> None:
    """SQLAlchemy has written the statements before, and migrates in a process of its own: half of a start's time."""
    assert not modules_after("import engine.daemon") & {"sqlalchemy", "alembic"}


def test_the_kernel_half_never_sees_the_database() -> None:
    modules = modules_after(import_all("spawner", "kernel"))
    assert "engine.spawner" in modules
    foreign = modules & {"sqlalchemy", "alembic", "requests", "sqlite3", "asyncio", "threading"}
    assert not foreign - {"threading"}, foreign
    assert not {name for name in modules if imported_room(name) in ("eventlog", "services", "api", "recovery")}


def test_shims_share_nothing_that_they_have_no_use_for() -> None:
    """Their spawner's memory is theirs: these would be a fifth of it."""
    unused = {"typing", "re", "json", "random", "ipaddress", "contextlib", "hashlib", "threading", "subprocess"}
    program = f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}]; import engine.runtime.spawner; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert not unused & set(done.stdout.split())


def test_the_domain_is_pure() -> None:
    """No clock, no randomness, no input or output: the machines import only what computes."""
    allowed = {
        "__future__", "dataclasses", "enum", "typing", "types", "engine", "re", "collections", "functools", "operator",
    }  # fmt: skip
    for path in python_files(ENGINE / "domain"):
        foreign = {name.split(".")[0] for _, name in imports_of(path)} - allowed
        assert not foreign, f"{path}: {foreign}"
