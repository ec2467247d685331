"""Lines of several containers on one screen: each with its container's name in front, aligned, in a colour."""

from __future__ import annotations

import os
import threading

from engine.cli.output import STDERR, STDOUT, encoded, printable, write_all
from engine.client import framing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_RESET = b"\x1b[0m"


class LogPrinter:
    """``names`` are those that may come, for the width; more may be added. Lines of several threads don't mix.
    ``beside`` calls what writes where it may, on a screen that something else is drawn on, too."""

    def __init__(
        self, names: Iterable[str], *, colour: bool, prefix: bool = True,
        beside: Callable[[Callable[[], None]], None] = lambda write: write(),
    ) -> None:  # fmt: skip
        self._beside = beside
        self._prefix = prefix
        self._colour = colour and os.isatty(STDOUT)
        self._numbers: dict[str, int] = {}
        self._width = 0
        self._lock = threading.Lock()
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        with self._lock:
            self._numbers.setdefault(name, len(self._numbers))
            self._width = max(self._width, len(name))

    def line(self, name: str, text: bytes, stream: int = framing.STDOUT) -> None:
        """One line without its end."""
        fd = STDERR if stream in (framing.STDERR, framing.SYSTEM_ERROR) else STDOUT
        whole = self._prefixed(name) + text + b"\n"
        self._beside(lambda: write_all(fd, whole))

    def note(self, text: str) -> None:
        """A line of our own among the containers'."""
        self._beside(lambda: write_all(STDOUT, encoded(printable(text) + "\n")))

    def _prefixed(self, name: str) -> bytes:
        if not self._prefix:
            return b""
        with self._lock:
            number, width = self._numbers.setdefault(name, len(self._numbers)), self._width
        text = encoded(f"{printable(name):<{width}}  | ")
        if not self._colour:
            return text
        return b"\x1b[%dm" % _COLOURS[number % len(_COLOURS)] + text + _RESET


class LineSplitter:
    """A container's stream as lines for the printer; what has no end yet waits for it, or for ``close``."""

    def __init__(self, printer: LogPrinter, name: str, *, framed: bool) -> None:
        self._printer = printer
        self._name = name
        self._frames = framing.FrameReader() if framed else None
        self._rest: dict[int, bytes] = {}

    def feed(self, data: bytes) -> None:
        if self._frames is None:
            self._take(framing.STDOUT, data)
            return
        for stream, payload in self._frames.feed(data):
            self._take(stream, payload)

    def _take(self, stream: int, data: bytes) -> None:
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._printer.line(self._name, line.removesuffix(b"\r"), stream)
        self._rest[stream] = rest

    def close(self) -> None:
        for stream, rest in self._rest.items():
            if rest:
                self._printer.line(self._name, rest, stream)
        self._rest.clear()
