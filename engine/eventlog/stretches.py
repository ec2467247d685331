"""Stretches of the log: what one process verifies while others verify the rest.

A stretch begins with what the tables say about the moment before it, and believes that, since whoever verifies the
stretch before compares the very same rows with its own replay. So each event is read once, and no stretch waits for
another.
"""

from __future__ import annotations

from typing import NamedTuple

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""Of all numbers that a damaged row may have for its own."""


class Stretch(NamedTuple):
    """Events ``first`` to ``last``, and what began with them."""

    first: int = LOWEST
    last: int = HIGHEST

    @property
    def begins_the_log(self) -> bool:
        return self.first == LOWEST

    @property
    def ends_the_log(self) -> bool:
        return self.last == HIGHEST


def stretches(head: int, count: int) -> list[Stretch]:
    """The log up to event ``head``, and what may have come since, in so many parts of one length."""
    cuts = [head * part // count for part in range(1, count)]
    return [Stretch(first, last) for first, last in zip([LOWEST, *(cut + 1 for cut in cuts)], [*cuts, HIGHEST])]
