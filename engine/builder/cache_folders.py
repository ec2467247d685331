"""The folders of ``RUN --mount=type=cache``: they outlive builds, and are no part of any layer.

``sharing``: shared by whoever runs, locked for one step at a time, or private (a folder of one's own while it is used).
"""

from __future__ import annotations

import hashlib
import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

from engine.builder.locks import Locks
from engine.builder.mounts import Mount
from engine.domain.errors import NotSupported
from engine.services import trees
from engine.services.ports import Runtime


class CacheFolders:
    """One for the engine. ``root`` holds a folder for each id."""

    def __init__(self, root: Path, runtime: Runtime) -> None:
        self._root = root
        self._runtime = runtime
        self._locks = Locks()

    def take(self, mount: Mount, target: str, held: ExitStack, check: Callable[[], None]) -> str:
        """The folder's path; what is locked stays so until ``held`` ends. ``check`` raises where the wait is to end.

        Raises NotSupported."""
        if mount.text("from") or mount.text("source"):
            raise NotSupported("a cache mount with from= or source= is not supported")
        name = hashlib.sha256((mount.text("id") or target).encode()).hexdigest()
        match mount.text("sharing", "shared"):
            case "locked":
                held.enter_context(self._locks.held(name, check))
            case "private":
                name = self._unused(name, held)
        return self._made(name, mount)

    def _unused(self, name: str, held: ExitStack) -> str:
        for number in itertools.count():
            candidate = f"{name}-{number}" if number else name
            if self._locks.take(candidate):
                held.callback(self._locks.release, candidate)
                return candidate
        raise AssertionError("there is always another number")

    def _made(self, name: str, mount: Mount) -> str:
        path = self._root / name
        try:
            path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            return str(path)
        mode = mount.number("mode", 0o755, 8)
        trees.own(self._runtime, path, mount.number("uid", 0), mount.number("gid", 0), mode)
        return str(path)
