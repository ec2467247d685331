"""Files of what has been removed: out of their place at once, off the disk a little later.

A removal needs the name to be free and the content out of reach, which one rename(2) within the data root gives.
Deleting file after file takes its time, and nobody waits for that. What a crash leaves in the trash goes at the next
start (see engine.recovery.store).
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from engine.domain.errors import EngineError, describe
from engine.services import trees
from engine.services.core import Core

PAUSE_S = 0.2
"""So that many removals at once are not slowed down by the deleting, and share a turn of it."""


class Trash:
    """One for the engine. Throwing away may be done from any thread."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._is_due = False

    def throw(self, folder: Path) -> None:
        """Take a folder of the data root out of its place. Raises OSError; FileNotFoundError where it is not there."""
        name = f"{folder.name}.{self._core.randomness.hex(8)}"  # the same layer may come and go twice
        trees.move(self._core.runtime, folder, self._core.store.trash / name)
        with self._guard:
            due, self._is_due = self._is_due, True
        if not due:
            self._core.timers.later(PAUSE_S, "trash", self.empty)

    def empty(self) -> None:
        """Delete all that was thrown away. What resists is told, and tried again the next time."""
        with self._turn:
            with self._guard:
                self._is_due = False
            for folder in list(self._core.store.trash.iterdir()):
                try:
                    trees.remove(self._core.runtime, folder)
                except (OSError, EngineError) as error:
                    print(f"docket: the trash: {folder}: {describe(error)}", file=sys.stderr, flush=True)
