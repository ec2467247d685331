"""The registry of named steps against the code that enters them."""

from __future__ import annotations

import ast

from engine.kernel.steps import STEPS

from support.sources import ENGINE, python_files


def constants() -> dict[str, list[str]]:
    """Every string constant of the engine outside the registry itself, with the places where it stands."""
    found: dict[str, list[str]] = {}
    for path in python_files(ENGINE):
        if path == ENGINE / "kernel" / "steps.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.setdefault(node.value, []).append(f"{path}:{node.lineno}")
    return found


def test_every_step_is_entered_somewhere() -> None:
    entered = constants()
    assert not [name for name in STEPS if name not in entered]


def test_every_step_that_is_entered_is_registered() -> None:
    wrong = []
    for path in python_files(ENGINE):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called == "step" and node.args[0].value not in STEPS:
                wrong.append(f"{path}:{node.lineno}: {node.args[0].value}")
    assert not wrong, "\n".join(wrong)


def test_steps_are_named_by_area_and_say_what_they_do() -> None:
    for name, meaning in STEPS.items():
        area, _, act = name.partition(".")
        assert area.isalpha() and act.isalpha() and name.islower()
        assert meaning and "\n" not in meaning
