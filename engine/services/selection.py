"""Which objects a prune may take: the filters that Docker's prune commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

Filters = Mapping[str, Sequence[str]]
"""As the API hands them on: names to values, ``until_us`` a decimal number of microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Labels that must all be there, labels of which none may be there, and the moment before which it was made."""

    labels: tuple[str, ...]
    without: tuple[str, ...]
    until_us: int | None

    @classmethod
    def of(cls, filters: Filters) -> Selection:
        until = filters.get("until_us")
        return cls(tuple(filters.get("label", ())), tuple(filters.get("label!", ())), int(until[0]) if until else None)

    def allows(self, labels: Mapping[str, str], created_at_us: int) -> bool:
        pairs = {*labels, *(f"{key}={value}" for key, value in labels.items())}
        if not pairs.issuperset(self.labels) or not pairs.isdisjoint(self.without):
            return False
        return self.until_us is None or created_at_us < self.until_us


def asks(filters: Filters, name: str) -> bool | None:
    """A filter that is true or false; None where nobody asks."""
    values = filters.get(name)
    return None if not values else values[0].lower() in ("1", "true", "t")
