"""What a verification found, so far: problems in the order of their discovery, the first hundred of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.eventlog.records import Problem

MOST_PROBLEMS = 100
"""More are counted, not listed."""


@dataclass
class Findings:
    """``events`` and the head (``seq``, ``hash``) are known to who has read the chain."""

    events: int = 0
    seq: int = 0
    hash: str = ""
    problems: list[Problem] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    more: int = 0

    def report(self, seq: int, what: str) -> None:
        """Note a problem at an event (0: at none)."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(seq, what))
        else:
            self.more += 1

    def add(self, other: Findings) -> None:
        """What another check of the same events has found, too: both have their first problems."""
        self.problems += other.problems
        self.more += other.more
