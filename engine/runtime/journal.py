"""The shim's journal: what happened to its container, there before anybody is told; ends are synced first.

``containers/<id>/shim.journal`` holds one line a record, ``<crc32 of the JSON in hex> <JSON>``. A crash can leave a
torn line at the end, which reads as if it weren't there. Records: ``started`` (with the evidence), ``exec_started``,
``exec_exited``, ``oom``, ``exited``. Each launch begins a new journal.
"""

from __future__ import annotations

import binascii
import os

from engine.kernel import json_text
from engine.kernel.steps import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE_NAME = "shim.journal"


class Journal:
    """A writing end: the shim's, which begins a new journal, or its launcher's, which goes on with that one."""

    def __init__(self, directory: str, *, begins: bool = True) -> None:
        self._path = f"{directory}/{FILE_NAME}"
        flags = os.O_CREAT | os.O_TRUNC if begins else 0
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
        self._is_torn = False

    def append(self, record: dict[str, Any], *, durable: bool = True) -> None:
        """Write a record, and with ``durable`` wait until it is on the disk. Raises OSError (disk full)."""
        text = json_text.dumps(record).encode()
        line = b"%08x %s\n" % (binascii.crc32(text), text)
        if self._is_torn:  # by a disk that was full: that line must not swallow this one
            line = b"\n" + line
        with step("shim.record"):
            self._is_torn = os.write(self._fd, line) != len(line)
            if self._is_torn:
                raise OSError(28, "No space left on device", self._path)
            if durable:
                os.fdatasync(self._fd)


def read(directory: str) -> list[dict[str, Any]]:
    """The records of the last launch; none where there was none."""
    try:
        with open(f"{directory}/{FILE_NAME}", "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    records = []
    for line in lines[:-1]:
        checksum, _, text = line.partition(b" ")
        if checksum == b"%08x" % binascii.crc32(text):
            records.append(json_text.loads(text.decode()))
    return records
