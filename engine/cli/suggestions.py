"""What somebody may have meant who typed a word that there isn't. Imported where a word was wrong."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

_LIMIT = 3


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words within two edits of it (a third of its length, if that is less), or that begin with it; the
    nearest first."""
    allowed = min(2, max(1, len(word) // 3))
    ranked = []
    for other in sorted(set(known)):
        distance = edits(word, other)
        if distance <= allowed:
            ranked.append((distance, other))
        elif len(word) > 1 and other.startswith(word):
            ranked.append((allowed + 1, other))
    return [other for _, other in sorted(ranked)[:_LIMIT]]


def edits(one: str, other: str) -> int:
    """How many letters must be put in, left out, exchanged, or swapped with their neighbour."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, there in enumerate(other, 1):
            best = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != there))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == there:
                best = min(best, before[column - 2] + 1)
            current.append(best)
        before, last = last, current
    return last[-1]


def hint(word: str, known: Iterable[str], prefix: str = "") -> str:
    """"" or a line with the words that may have been meant, and a blank line before it."""
    found = nearest(word, known)
    return f"\n\nDid you mean {' or '.join(f'{prefix}{one}' for one in found)}?" if found else ""
