"""Unpacked trees on their way into the store: synced, then renamed. Those that wait at one moment share one sync.

syncfs(2) writes out whatever the file system has, so one that begins after the last of several trees was written covers
them all; an image of many small layers would else wait for the disk once a layer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from engine.services.ports import Runtime


@dataclass(slots=True)
class _Tree:
    temporary: str
    target: str
    done: bool = False
    error: BaseException | None = None


class Placing:
    """One for the engine; any thread may call ``place``."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Tree] = []

    def place(self, temporary: str, target: Path) -> None:
        """Have the tree durable at ``target``. Raises what the job ``layers.place`` raises."""
        tree = _Tree(temporary, str(target))
        with self._guard:
            self._waiting.append(tree)
        with self._turn:  # whoever gets it serves all that wait by then
            if not tree.done:
                with self._guard:
                    batch, self._waiting = self._waiting, []
                self._serve(batch)
        if tree.error is not None:
            raise tree.error

    def _serve(self, batch: list[_Tree]) -> None:
        error: BaseException | None = None
        try:
            self._runtime.run_job("layers.place", {"layers": [[tree.temporary, tree.target] for tree in batch]})
        except BaseException as raised:  # carried over to each of those who wait
            error = raised
        for tree in batch:
            tree.done, tree.error = True, error
