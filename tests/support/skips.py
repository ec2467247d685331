"""Which tests were skipped, for which reasons, and whether these excuse them on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from support.machine import ENGINE_NEEDS, first_lack

ALLOWED_SKIPS = Path(__file__).resolve().parents[1] / "allowed-skips.txt"


def allowed_skips() -> list[re.Pattern[str]]:
    """The reasons (regular expressions) for which a test may be skipped on a machine that offers everything."""
    lines = [line.strip() for line in ALLOWED_SKIPS.read_text().splitlines()]
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


def skip_reasons(session_stats: dict[str, list[Any]]) -> dict[str, int]:
    """Reason -> number of tests that were skipped for it."""
    reasons: dict[str, int] = {}
    for report in session_stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        text = text.removeprefix("Skipped: ")
        reasons[text] = reasons.get(text, 0) + 1
    return reasons


def refused_skips(config: pytest.Config) -> list[str]:
    """Reasons that are not on the list, where this machine has no excuse (scripts/test says so, and it is true)."""
    if not os.environ.get("DOCKET_TEST_STRICT_SKIPS") or first_lack(*ENGINE_NEEDS) is not None:
        return []
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    allowed = allowed_skips()
    return [reason for reason in skip_reasons(reporter.stats) if not any(one.fullmatch(reason) for one in allowed)]
