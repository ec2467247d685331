"""A file that somebody is still writing, read while it grows.

Besides the file there is a pipe: a byte in it says that the file is whole, its end without one that it never will be.
What is read is what the file has; whether that is the right content is for others to say.
"""

from __future__ import annotations

import os
import select
from typing import BinaryIO

from engine.domain.errors import InvalidArgument

WHOLE = b"."
_POLL_MS = 3


class Growing:
    """Reads like a file that has its end where the writer says so."""

    def __init__(self, file: BinaryIO, pipe_fd: int) -> None:
        self._file = file
        self._pipe_fd = pipe_fd
        self._poll = select.poll()
        self._poll.register(pipe_fd, select.POLLIN)
        self._whole = False

    def read(self, size: int) -> bytes:
        """Wait for at least one byte; b"" at the end. Raises InvalidArgument where the rest will not come."""
        while not (data := self._file.read(size)) and not self._whole:
            if self._poll.poll(_POLL_MS):
                self._whole = os.read(self._pipe_fd, 1) == WHOLE
                if not self._whole:
                    raise InvalidArgument("the rest of the archive does not come")
        return data
