"""Bytes from a process to its parent, through memory that both have.

A pipe would copy each byte twice more, and wake its reader on the writer's own processor, where the two are meant to
run side by side: of what eventfd(2) wakes the kernel makes no such guess.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
from typing import Iterator

SLOT_BYTES = 256 << 10
_SLOTS = 16
_LENGTH = struct.Struct("=I")


class Ring:
    """Made before the fork. One process puts, the other takes; each goes from slot to slot by itself."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, _SLOTS * (SLOT_BYTES + _LENGTH.size)))
        self._filled = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
        self._room = os.eventfd(_SLOTS, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
        self._slot = 0
        self._used = 0

    def put(self, data: bytes) -> None:
        """Wait for room, and copy it there. The taker sees whole slots."""
        rest = memoryview(data)
        while rest:
            if not self._used:
                os.eventfd_read(self._room)
            part = rest[: SLOT_BYTES - self._used]
            start = self._slot * SLOT_BYTES + self._used
            self._memory[start : start + len(part)] = part
            self._used += len(part)
            rest = rest[len(part) :]
            if self._used == SLOT_BYTES:
                self.flush()

    def flush(self) -> None:
        """Let the taker have what there is."""
        if self._used:
            _LENGTH.pack_into(self._memory, self._length_at, self._used)
            self._slot, self._used = (self._slot + 1) % _SLOTS, 0
            os.eventfd_write(self._filled, 1)

    def taken(self, end_fd: int) -> Iterator[memoryview]:
        """What was put, each piece until the next is asked for. Over when nothing is left and ``end_fd`` can be read:
        a pipe whose other end the putting process has."""
        poll = select.poll()
        poll.register(self._filled, select.POLLIN)
        poll.register(end_fd, select.POLLIN)
        while any(fd == self._filled for fd, _ in poll.poll()):
            os.eventfd_read(self._filled)
            start = self._slot * SLOT_BYTES
            yield self._memory[start : start + _LENGTH.unpack_from(self._memory, self._length_at)[0]]
            self._slot = (self._slot + 1) % _SLOTS
            os.eventfd_write(self._room, 1)

    @property
    def _length_at(self) -> int:
        return _SLOTS * SLOT_BYTES + self._slot * _LENGTH.size

    def close(self) -> None:
        """The memory goes with the last piece that was taken."""
        os.close(self._filled)
        os.close(self._room)
