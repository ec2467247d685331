"""The interval tree behind time travel: which closed intervals [valid_from, valid_to) hold a moment?

A virtual binary tree over all sequence numbers (the relational interval tree of Kriegel, Pötke and Seidl, VLDB 2000):
an interval hangs at its fork, the number inside it that is divisible by the highest power of two. A moment's intervals
hang at the moment itself or at one of its ancestors, of which there is one for each power of two: a question is a
look-up of some 48 keys in one index, however long the log is. The intervals at one node all hold the node's number, and
those of one object never overlap, so a node holds no more rows than there were objects at that moment.
"""

from __future__ import annotations

LEVELS = 48
"""The height of the tree: sequence numbers stay below 2**48."""


def fork(valid_from: int, valid_to: int) -> int:
    """The node of [valid_from, valid_to), which is not empty: its last number, cleared below the highest bit in which
    it differs from the number before the first."""
    last = valid_to - 1
    shift = ((valid_from - 1) ^ last).bit_length() - 1
    return last >> shift << shift


def ancestors(moment: int) -> list[int]:
    """The nodes at which an interval that holds ``moment`` may hang: itself, and one for each higher power of two.

    Those beyond the end of the log belong to it: an interval that is open now may be closed before the question is put.
    """
    lowest = (moment & -moment).bit_length()
    return [moment, *(moment >> level + 1 << level + 1 | 1 << level for level in range(lowest, LEVELS))]
