"""Where in which file a key of the model was written, so that errors can say it."""

from __future__ import annotations

import os

from engine.compose.project import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

Path = tuple[str | int, ...]
"""Keys and indexes from the top of a file: ("services", "web", "ports", 0)."""


def shown_file(file: str) -> str:
    """A file as a user wants to read it: relative where it lies below the current folder."""
    if file in ("", "-"):
        return file
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def dotted(path: Iterable[str | int]) -> str:
    """``services.web.ports[0]``"""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class Positions:
    """Path -> file and line. After merging, the file that spoke last of a path is the one that is named."""

    def __init__(self) -> None:
        self._places: dict[Path, tuple[str, int]] = {}

    def put(self, path: Path, file: str, line: int) -> None:
        self._places[path] = (file, line)

    def add(self, others: Positions, old: Path = (), new: Path = ()) -> None:
        """Take over another file's places; those below ``old`` as if they were below ``new``."""
        cut = len(old)
        for path, place in list(others._places.items()):
            if path[:cut] == old:
                self._places[new + path[cut:]] = place

    def describe(self, path: Path) -> str:
        """``compose.yaml:12: `` for a path or the nearest one above it; empty where nothing is known."""
        for length in range(len(path), 0, -1):
            if (place := self._places.get(path[:length])) is not None:
                return f"{shown_file(place[0])}:{place[1]}: "
        return ""

    def error(self, path: Path, problem: str) -> ComposeError:
        """The line for a problem with what stands at ``path``: file, line, key, problem."""
        return ComposeError(f"{self.describe(path)}{dotted(path)}: {problem}")
