"""The C library's allocator (malloc(3)): how much it keeps of what was given back to it.

Where the C library has no such knobs (musl), there is nothing that they would change.
"""

from __future__ import annotations

from engine.kernel.libc import LIBC

_M_ARENA_MAX = -8


def share_one_arena() -> None:
    """One heap for all threads, before there are any: else each of them may fill one of its own, eight a processor,
    and what a crowd of clients has left in all of these is given back by none. Python's threads take turns anyway."""
    if hasattr(LIBC, "mallopt"):
        LIBC.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the kernel all pages that hold nothing, also those between others that do."""
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)
