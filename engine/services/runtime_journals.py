"""Takes the journals of ``docket-runtime`` into the log, while the engine runs and for what was done before it ran.

A thread looks at the file of each root every few seconds; it is read only when it has grown. What is taken is checked
line by line against the hash of the last line that was taken: a journal that was rewritten is reported once.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Sequence

from engine.domain.errors import EngineError, describe
from engine.domain.runtime import (
    ReportBrokenJournal, RuntimeJournal, RuntimeJournalBroken, RuntimeJournalTaken, TakeJournal,
)  # fmt: skip
from engine.eventlog.log import Context
from engine.kernel.digest import sha256_hex
from engine.runtime import command_journal
from engine.services.core import Core
from engine.services.ports import boot_id

LOOK_S = 2.0
_MOST_RECORDS = 50
"""An event."""


class RuntimeJournals:
    """``roots`` are those of ``docket-runtime --root``, absolute. Runs from ``start`` to ``close``."""

    def __init__(self, core: Core, roots: Sequence[str], context: Context) -> None:
        self._core = core
        self._roots = roots
        self._context = context
        self._seen: dict[str, tuple[int, int]] = {}
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        if self._roots:
            threading.Thread(target=self._run, name="docket-runtimes", daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def _run(self) -> None:
        while True:
            for root in self._roots:
                try:
                    self.take(root)
                except (OSError, EngineError) as error:
                    print(f"docket: the journal of {root}: {describe(error)}", file=sys.stderr, flush=True)
            if self._closing.wait(LOOK_S):
                return

    def take(self, root: str) -> None:
        """What is new in a root's journal. Raises OSError, EngineError."""
        with self._lock:
            try:
                found = os.stat(os.path.join(root, command_journal.NAME))
            except FileNotFoundError:
                return
            if self._seen.get(root) == (found.st_ino, found.st_size):
                return
            self._take(root)
            self._seen[root] = found.st_ino, found.st_size

    def _take(self, root: str) -> None:
        boot, identifier = boot_id(), sha256_hex(root.encode())
        state: RuntimeJournal | None = self._core.log.load("runtime", identifier)[0]
        known = state if state is not None and state.journal_boot == boot else None
        if known and known.status == "broken":
            return
        last, head = (known.last, known.head or command_journal.START) if known else (0, command_journal.START)
        batch: list[dict[str, Any]] = []
        try:
            for record in command_journal.read(root, last, head):
                batch.append(record)
                if len(batch) == _MOST_RECORDS:
                    last = self._append(identifier, root, boot, batch)
                    batch = []
            if batch:
                last = self._append(identifier, root, boot, batch)
            elif known:
                check_taken(known)
        except ValueError as error:
            if batch:
                last = self._append(identifier, root, boot, batch)
            broken = RuntimeJournalBroken(identifier, root, boot, last, str(error))
            self._core.recorder.decide("runtime", identifier, ReportBrokenJournal(broken), self._context)

    def _append(self, identifier: str, root: str, boot: str, batch: list[dict[str, Any]]) -> int:
        taken = RuntimeJournalTaken(
            identifier, root, boot, batch[0]["seq"], batch[-1]["seq"], batch[-1]["hash"], list(batch)
        )  # fmt: skip
        self._core.recorder.decide("runtime", identifier, TakeJournal(taken), self._context)
        return taken.last


def check_taken(known: RuntimeJournal) -> None:
    """Raises ValueError where the journal is no longer the one whose lines were taken in this boot."""
    for _ in command_journal.read(known.root, known.last, known.head):
        return
    with open(os.path.join(known.root, command_journal.NAME), "rb") as file:
        if sum(1 for _ in file) < known.last:
            raise ValueError("lines that were taken are gone from the journal")
