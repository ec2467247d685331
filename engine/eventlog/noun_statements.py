"""The statements over one noun's two tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from engine.eventlog.statements import OF_A_NOUN


@dataclass(frozen=True, slots=True)
class NounStatements:
    """A *row* is id, version, born, since, state; states come by age."""

    row: str
    set_current: str
    drop_current: str
    open_history: str
    close_history: str
    all: str
    all_as_of: str
    state_as_of: str
    by_name: str
    by_prefix: str
    by_prefix_as_of: str


@cache
def of(noun: str) -> NounStatements:
    """The statements of a noun."""
    return NounStatements(**{name: text.replace("{noun}", noun) for name, text in OF_A_NOUN.items()})
