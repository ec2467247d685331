"""The style that a machine can check: what a reviewer should not have to say twice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.sources import ENGINE, REPOSITORY, python_files

LINE_LENGTH = 120
ALL_FILES = python_files(
    ENGINE, REPOSITORY / "migrations", REPOSITORY / "tests", REPOSITORY / "benchmarks", REPOSITORY / "scripts"
)
HOUSE_FILES = python_files(ENGINE)


def every(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=[str(path.relative_to(REPOSITORY)) for path in paths])


@every(ALL_FILES)
def test_lines(path: Path) -> None:
    wrong = []
    text = path.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line:
            wrong.append(f"{path}:{number}: tab")
        if line != line.rstrip():
            wrong.append(f"{path}:{number}: space at the end of the line")
        if len(line) > LINE_LENGTH:
            wrong.append(f"{path}:{number}: {len(line)} characters")
    if text and not text.endswith("\n"):
        wrong.append(f"{path}: no newline at the end")
    assert not wrong, "\n".join(wrong)


@every(ALL_FILES)
def test_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path}: no module docstring"


@every(ALL_FILES)
def test_signatures_are_annotated(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
        bare = [name.arg for name in arguments if name.annotation is None and name.arg not in ("self", "cls")]
        if bare or node.returns is None:
            wrong.append(f"{path}:{node.lineno}: {node.name}({', '.join(bare)})")
    assert not wrong, "\n".join(wrong)


@every(ALL_FILES)
def test_no_error_is_swallowed(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else ""
        silent = all(isinstance(statement, ast.Pass) for statement in node.body)
        if node.type is None or silent and caught in ("Exception", "BaseException"):
            wrong.append(f"{path}:{node.lineno}: except {caught}")
    assert not wrong, "\n".join(wrong)


@every(HOUSE_FILES)
def test_no_module_is_a_drawer(path: Path) -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "data"}
    assert path.stem not in drawers and path.parent.name not in drawers


@every(HOUSE_FILES)
def test_nothing_is_left_to_do(path: Path) -> None:
    marks = ("TODO", "FIXME", "XXX", "NotImplementedError")
    wrong = [f"{path}:{n}" for n, line in enumerate(path.read_text().splitlines(), 1) if any(m in line for m in marks)]
    assert not wrong, "\n".join(wrong)
