"""What the rows of a plan in progress leave on a terminal that containers write on, too."""

from __future__ import annotations

import re

import pytest

from engine.cli.compose import log_lines, progress
from engine.cli.compose.log_lines import LogPrinter
from engine.compose.running.plan import CONTAINER, START, Action

REDRAWN = re.compile(r"\x1b\[(\d+)A\r\x1b\[J")


def shown(written: str) -> list[str]:
    """The lines that a terminal shows in the end, without colours."""
    lines: list[str] = []
    for part in re.split(r"(\x1b\[\d+A\r\x1b\[J)", written):
        if (up := REDRAWN.fullmatch(part)) is not None:
            del lines[-int(up.group(1)) :]
        else:
            lines += re.sub(r"\x1b\[\d+m", "", part).splitlines()
    return lines


def test_rows_are_not_drawn_over_lines_of_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(progress, "_write", written.append)
    monkeypatch.setattr(log_lines, "write_all", lambda fd, data: written.append(bytes(data).decode()))
    screen = progress.Screen()
    printer = LogPrinter(["a-1", "b-1"], colour=False, beside=screen.beside)
    actions = [Action(START, CONTAINER, name) for name in ("a-1", "b-1")]
    for action in actions:
        screen.begins(action)
        printer.line(action.name, b"first")
        screen.ends(action)
        printer.line(action.name, b"second")
    screen.close()
    printer.note("Attaching to a-1, b-1")
    lines = shown("".join(written))
    assert [line for line in lines if "|" in line] == ["a-1  | first", "a-1  | second", "b-1  | first", "b-1  | second"]
    assert [line.split()[:4] for line in lines if "Container" in line] == [
        ["✔", "Container", name, "Started"] for name in ("a-1", "b-1")
    ]
    assert lines[-1] == "Attaching to a-1, b-1"
