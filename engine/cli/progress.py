"""The progress that the engine streams while it pulls, pushes, loads or imports: a line a layer on a terminal, plain
lines elsewhere."""

from __future__ import annotations

import os

from engine.cli.output import STDOUT, encoded, printable, write_all
from engine.client import jsontext
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.client.connection import Response

_BAR_COLUMNS = 30


def show_progress(response: Response, fd: int = STDOUT, *, quiet: bool = False) -> list[dict[str, Any]]:
    """Show what is said, on ``fd``; with ``quiet`` only what was made. Answers with the ``aux`` objects.

    Raises APIError on a reported error."""
    if "json" not in response.headers.get("content-type", "json"):
        _write(fd, printable(response.read().decode("utf-8", "replace").rstrip("\n"), keep="\n"))
        return []
    display: Plain = Plain(fd, quiet) if quiet or not os.isatty(fd) else Terminal(fd)
    told = []
    for line in response.lines():
        message: dict[str, Any] = jsontext.decode(line)
        if "error" in message or "errorDetail" in message:
            raise APIError(500, message.get("error") or message["errorDetail"].get("message", "unknown error"))
        if "aux" in message:
            told.append(message["aux"])
        else:
            display.show(message)
    return told


def _write(fd: int, line: str) -> None:
    write_all(fd, encoded(line + "\n"))


class Plain:
    """Each thing once, on a line of its own, and no counting."""

    def __init__(self, fd: int, quiet: bool = False) -> None:
        self._fd = fd
        self._quiet = quiet

    def show(self, message: dict[str, Any]) -> None:
        if message.get("stream"):
            _write(self._fd, printable(message["stream"].rstrip("\n"), keep="\n"))
        elif message.get("status") and not message.get("progressDetail") and not self._quiet:
            _write(self._fd, printable(text_of(message)))


class Terminal(Plain):
    """A line for each layer, written over as it gets on; everything else below the lines there are."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._rows: dict[str, int] = {}
        self._below = 0  # rows from the first layer's to the cursor

    def show(self, message: dict[str, Any]) -> None:
        layer = message.get("id", "")
        if not layer or "progressDetail" not in message:
            super().show(message)
            self._rows.clear()
            self._below = 0
            return
        text = printable(text_of(message) + counted(message["progressDetail"]))[: _columns(self._fd) - 1]
        if layer not in self._rows:
            self._rows[layer] = self._below
            self._below += 1
            _write(self._fd, text)
            return
        up = self._below - self._rows[layer]
        if up >= _lines(self._fd):
            return  # it has left the screen
        write_all(self._fd, encoded(f"\x1b[{up}A\r\x1b[2K{text}\r\x1b[{up}B"))


def text_of(message: dict[str, Any]) -> str:
    """"0123456789ab: Pull complete"."""
    prefix = f"{message['id']}: " if message.get("id") else ""
    return prefix + message["status"]


def counted(detail: dict[str, Any]) -> str:
    """How far a layer is: " [=====>    ]  5.1MB/10MB"; "" where nothing is counted."""
    from engine.cli.quantities import human_size

    done, total = detail.get("current", 0), detail.get("total", 0)
    if not total:
        return f" {human_size(done, 4)}" if done else ""
    filled = min(_BAR_COLUMNS, _BAR_COLUMNS * done // total)
    bar = "=" * filled + ">" + " " * (_BAR_COLUMNS - filled)
    return f" [{bar}] {human_size(done, 4):>7}/{human_size(total, 4)}"


def _columns(fd: int) -> int:
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80


def _lines(fd: int) -> int:
    try:
        return os.get_terminal_size(fd).lines or 24
    except OSError:
        return 24
