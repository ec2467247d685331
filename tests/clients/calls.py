"""Libraries: a table of calls, evaluated one after the other by a driver in an interpreter that has the library.

A driver reads a JSON list of expressions and answers with a list of what each gave: ``{"gave": value}`` or
``{"raised": "Name", "said": message}``. Expressions share their names, so that later ones build on earlier ones.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from clients.rows import Side, named, normal

ANYTHING = object()


@dataclass(frozen=True)
class Call:
    """An expression, and what it gives (``raises``: the name of what it raises). ``differs`` says why a real Docker
    gives, by design, something else."""

    code: str
    gives: Any = ANYTHING
    raises: str = ""
    differs: str = ""


def run_calls(
    calls: Sequence[Call], side: Side, driver: Sequence[str | Path], folder: Path, *, compared: bool,
    extra: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """What each call gave on this engine, in their order."""
    environment = {**side.environment(folder, compared=compared), **(extra or {})}
    done = subprocess.run(
        driver, input=json.dumps([named(call.code) for call in calls]), capture_output=True, text=True,
        env=environment, cwd=folder, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def as_expected(call: Call, outcome: dict[str, Any]) -> None:
    if call.raises:
        assert outcome.get("raised") == call.raises, outcome
        return
    assert "gave" in outcome, outcome
    if call.gives is not ANYTHING:
        expected = json.loads(named(json.dumps(call.gives)))
        assert outcome["gave"] == expected


def same(call: Call, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """What is compared with a real Docker: values without ids and times, and of errors their kind."""
    if call.differs:
        return
    assert ours.get("raised") == theirs.get("raised"), (theirs, ours)
    assert normal(json.dumps(ours.get("gave"), indent=1)) == normal(json.dumps(theirs.get("gave"), indent=1))
