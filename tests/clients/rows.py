"""A table's rows, and running them in their order on one engine: later rows build on what earlier ones made."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Sequence

TAG = f"dkt{uuid.uuid4().hex[:6]}"
"""Begins all names of this run, so that it disturbs nobody's on a shared engine. NAME stands for it in rows."""

COMPARED_VERSION = "1.41"
"""The API version in which the two are compared: the newest of a Docker that lists of distributions still have."""


def named(text: str) -> str:
    """NAME and IMAGE filled in."""
    return text.replace("IMAGE", f"{TAG}:latest").replace("NAME", TAG)


@dataclass(frozen=True)
class Row:
    """One line for a client.

    ``status`` is its exit status. ``prints`` is a regular expression that its output (of both streams) must match
    somewhere, on either engine. ``differs`` says why the two, by design, don't print the same; what such a row makes
    is compared by the rows that follow. ``alone`` says why a row can run on our engine only.
    """

    line: str
    status: int = 0
    prints: str = ""
    input: str = ""
    differs: str = ""
    alone: str = ""

    @property
    def words(self) -> list[str]:
        return shlex.split(named(self.line))


def clean_environment() -> dict[str, str]:
    """Ours, without anybody's engine and without the tests' own modules: a client may be a Python program."""
    ours = ("DOCKET_", "DOCKER_", "COMPOSE_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@dataclass(frozen=True)
class Side:
    """An engine to run rows on: its address, and whether it is ours alone."""

    host: str
    own: bool

    def environment(self, folder: Path, *, compared: bool) -> dict[str, str]:
        """What a client sees: this engine, nobody's settings, and where two are compared the version both speak."""
        kept = clean_environment()
        version = {"DOCKER_API_VERSION": COMPARED_VERSION} if compared else {}
        settings = {"DOCKER_HOST": self.host, "DOCKER_CONFIG": str(folder), "DOCKER_BUILDKIT": "0"}
        return {**kept, **settings, **version, "DOCKER_CLI_HINTS": "false", "TZ": "UTC", "COLUMNS": "200"}


@dataclass(frozen=True)
class Outcome:
    """What a row did on one engine."""

    status: int
    out: str
    err: str


def run_rows(
    rows: Sequence[Row], side: Side, program: Sequence[str], folder: Path, *, compared: bool
) -> dict[Row, Outcome]:
    """Every row that this side may run."""
    return {
        row: _run(
            [*program, *row.words], named(row.input), folder=folder,
            environment=side.environment(folder, compared=compared and not row.alone),
        )
        for row in rows
        if side.own or not row.alone
    }  # fmt: skip


def _run(command: Sequence[str], text: str, *, folder: Path, environment: Mapping[str, str]) -> Outcome:
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, env=environment, cwd=folder, timeout=30, check=False
        )
    except subprocess.TimeoutExpired as late:
        return Outcome(-1, (late.stdout or b"").decode("utf-8", "replace"), "took longer than 30 s")
    return Outcome(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


_AGE = (
    r"(Less than a second|About an? \w+|\d+ (?:seconds?|minutes?|hours?|days?|weeks?|months?|years?))(?: ago)?"
)
_NORMAL: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]] = (
    (r"[0-9a-f]{64}", "ID64"),
    (r"\b[0-9a-f]{12}\b", "ID12"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} UTC", "TIME"),
    (_AGE, "AGE"),
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"\b\d+(\.\d+)?[kMG]?i?B\b", "SIZE"),
    (r"-{5,}", "---"),
    (r" {2,}", "  "),
)


def normal(text: str) -> str:
    """Without what differs from run to run: ids, times, ages, sizes, addresses of cards, widths of columns."""
    for pattern, replacement in _NORMAL:
        text = re.sub(pattern, replacement, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def difference(theirs: str, ours: str) -> str:
    """Lines that only one of two outputs has, once both are normal."""
    lines = difflib.unified_diff(normal(theirs).splitlines(), normal(ours).splitlines(), "theirs", "ours", lineterm="")
    return "\n".join(lines)


def as_expected(row: Row, outcome: Outcome) -> None:
    assert outcome.status == row.status, (outcome.out, outcome.err)
    if row.prints:
        assert re.search(named(row.prints), outcome.out + outcome.err), (outcome.out, outcome.err)
