"""The interval tree behind time travel: which closed intervals [valid_from, valid_to) hold a moment?

A virtual binary tree over all sequence numbers (the relational interval tree of Kriegel, Pötke and Seidl, VLDB 2000):
an interval hangs at its fork, the number inside it that is divisible by the highest power of two. A moment's intervals
hang at the moment itself or at one of its ancestors, of which there is one for each power of two: a question is a
look-up of some 40 keys in one index, however long the log is. The intervals at one node all hold the node's number, and
those of one object never overlap, so a node holds no more rows than there were objects at that moment.
"""

from __future__ import annotations


def fork(valid_from: int, valid_to: int) -> int:
    """The node of [valid_from, valid_to), which is not empty: its last number, cleared below the highest bit in which
    it differs from the number before the first."""
    last = valid_to - 1
    shift = ((valid_from - 1) ^ last).bit_length() - 1
    return last >> shift << shift


def ancestors(moment: int, head: int) -> list[int]:
    """The nodes at which an interval within [1, head] that holds ``moment`` may hang."""
    nodes = [moment]
    step = (moment & -moment) << 1
    while step <= head:
        node = moment & -step | step
        if node <= head:
            nodes.append(node)
        step <<= 1
    return nodes
