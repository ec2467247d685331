"""The style that a machine can check: what a reviewer should not have to say twice."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Callable, Iterator

import pytest

from support.sources import ENGINE, REPOSITORY, python_files

LINE_LENGTH = 120
FOLDERS = (ENGINE, *(REPOSITORY / name for name in ("migrations", "tests", "benchmarks", "scripts")))

Finding = tuple[int, str]
"""The line, and what is wrong with it."""
Rule = Callable[[Path, str, list[ast.AST]], Iterator[Finding]]
"""Reads one file: its path, its text, and every node of its tree, the module first."""


def lines(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line:
            yield number, "tab"
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if len(line) > LINE_LENGTH:
            yield number, f"{len(line)} characters"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    if text.endswith("\n\n"):
        yield text.count("\n"), "blank lines at the end"


def two_blank_lines_around_definitions(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    """Of a module, what stands at its left margin. A comment right above a definition belongs to it."""
    module, texts = nodes[0], text.splitlines()
    assert isinstance(module, ast.Module)
    for before, after in zip(module.body, module.body[1:]):
        if not isinstance(before, _DEFINITIONS) and not isinstance(after, _DEFINITIONS):
            continue
        first = min([after.lineno, *(one.lineno for one in getattr(after, "decorator_list", ()))])
        between = texts[before.end_lineno : first - 1]
        blank = [not line for line in between if not line.startswith("#")]
        if len(blank) < 2 or not all(blank):
            yield first, f"{len(blank)} blank lines before it"


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def every_import_is_used(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    """By a name in the code, in an annotation that is a text, or in ``__all__``. A package's own module imports for
    others; who imports a name for others elsewhere says so: ``import a as a``."""
    if path.name == "__init__.py":
        return
    words = {node.id for node in nodes if isinstance(node, ast.Name)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.update(_WORD.findall(node.value))
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, "module", "") != "__future__":
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                if name not in words and alias.asname != alias.name:
                    yield node.lineno, f"{name} is not used"


_WORD = re.compile(r"\w+")


def docstring(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    assert isinstance(nodes[0], ast.Module)
    if not ast.get_docstring(nodes[0]):
        yield 1, "no module docstring"


def signatures_are_annotated(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    for node in nodes:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
        bare = [name.arg for name in arguments if name.annotation is None and name.arg not in ("self", "cls")]
        if bare or node.returns is None:
            yield node.lineno, f"{node.name}({', '.join(bare)})"


def no_error_is_swallowed(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    for node in nodes:
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else ""
        silent = all(isinstance(statement, ast.Pass) for statement in node.body)
        if node.type is None or silent and caught in ("Exception", "BaseException"):
            yield node.lineno, f"except {caught}"


def no_module_is_a_drawer(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "data"}
    if path.is_relative_to(ENGINE) and (path.stem in drawers or path.parent.name in drawers):
        yield 1, "named after no purpose"


def nothing_is_left_to_do(path: Path, text: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    if path.is_relative_to(ENGINE):
        for number, line in enumerate(text.splitlines(), 1):
            if any(mark in line for mark in ("TODO", "FIXME", "XXX", "NotImplementedError")):
                yield number, line.strip()


RULES: tuple[Rule, ...] = (
    lines, two_blank_lines_around_definitions, every_import_is_used, docstring, signatures_are_annotated,
    no_error_is_swallowed, no_module_is_a_drawer, nothing_is_left_to_do,
)  # fmt: skip


@pytest.fixture(scope="module")
def findings() -> dict[Rule, list[str]]:
    """What each rule finds in all files; they are parsed once for all rules."""
    found: dict[Rule, list[str]] = {rule: [] for rule in RULES}
    for path in python_files(*FOLDERS):
        text = path.read_text()
        nodes = list(ast.walk(ast.parse(text, str(path))))
        for rule in RULES:
            found[rule] += (f"{path}:{line}: {what}" for line, what in rule(path, text, nodes))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(findings: dict[Rule, list[str]], rule: Rule) -> None:
    assert not findings[rule], "\n".join(findings[rule])


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lines, "a = 1\t# tab\n"),
        (lines, "a = 1 \n"),
        (lines, f"a = {'1' * LINE_LENGTH}\n"),
        (lines, "a = 1"),
        (lines, "a = 1\n\n"),
        (two_blank_lines_around_definitions, "a = 1\n\ndef f() -> None: ...\n"),
        (two_blank_lines_around_definitions, "class A: ...\n\n\n\n# b\na = 1\n" "def f() -> None: ...\n"),
        (every_import_is_used, "import a\nimport b.c\nfrom d import e as f\n\nb.c(f)\n"),
        (docstring, "a = 1\n"),
        (signatures_are_annotated, "def f(a) -> None: ...\n"),
        (signatures_are_annotated, "def f(*a: int, **b) -> None: ...\n"),
        (signatures_are_annotated, "def f(): ...\n"),
        (no_error_is_swallowed, "try: f()\nexcept: g()\n"),
        (no_error_is_swallowed, "try: f()\nexcept Exception: pass\n"),
        (no_module_is_a_drawer, ""),
        (nothing_is_left_to_do, "a = 1  # TODO: two\n"),
    ],
)
def test_each_rule_finds_what_is_wrong(rule: Rule, text: str) -> None:
    assert len(list(rule(ENGINE / "services" / "utils.py", text, list(ast.walk(ast.parse(text)))))) == 1
