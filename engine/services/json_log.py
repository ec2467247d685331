"""Reading a container's log: Docker's json-file format, one JSON object a line with log, stream, time and attrs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping
from urllib.parse import quote_plus

from engine.kernel.inotify import IN_CLOSE_WRITE, IN_MODIFY, Watch
from engine.services.as_of import parse_time_us
from engine.services.log_files import Reader

_HEARTBEAT_S = 1.0
_LAST_WORDS_S = 0.02
"""After the shim closed the log, the end of the container reaches the event log within this time or soon after."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines, and how. Times are microseconds since the epoch; ``tail`` counts lines, None means all."""

    streams: tuple[str, ...]
    since_us: int | None = None
    until_us: int | None = None
    tail: int | None = None
    timestamps: bool = False
    details: bool = False


def read(path: Path, choice: Choice, may_grow: Callable[[], bool] | None) -> Iterator[tuple[str, bytes]]:
    """(stream, bytes) of each chosen line. With ``may_grow``, go on while it says so; it is asked once a second.

    A line that is damaged (a crash tore it, somebody wrote there) is left out, and the daemon's own log counts them.
    """
    lines = _Lines(path, choice)
    try:
        reader = lines.open()
    except FileNotFoundError:
        if may_grow is None or not _wait_for(path, may_grow):
            return
        reader = lines.open()
    with reader:
        yield from lines.past(reader)
        while may_grow is not None:
            growing = may_grow()  # asked before the read: what was written before the end is still read after it
            yield from lines.chosen(reader.lines())
            if not growing:
                break
            if reader.wait(_HEARTBEAT_S):
                reader.wait(_LAST_WORDS_S)  # let a burst, or the end, arrive as one
    lines.report()


def _wait_for(path: Path, may_grow: Callable[[], bool]) -> bool:
    """Wait for the log of a container that is starting just now; False where it never comes."""
    while may_grow():
        with Watch(str(path.parent), IN_CLOSE_WRITE | IN_MODIFY) as watch:
            if path.exists():
                return True
            watch.wait(_HEARTBEAT_S / 10)
    return False


class _Lines:
    """The lines of one request."""

    def __init__(self, path: Path, choice: Choice) -> None:
        self._path = path
        self._choice = choice
        self._from_end = choice.tail is not None and choice.tail >= 0
        self._damaged = 0

    def open(self) -> Reader:
        """A reader where this request begins. Raises FileNotFoundError."""
        return Reader.at_end(self._path) if self._from_end else Reader.at_start(self._path)

    def past(self, reader: Reader) -> Iterator[tuple[str, bytes]]:
        """What is there already."""
        if self._from_end:
            last = list(islice(self.chosen(reader.lines_backwards()), self._choice.tail))
            yield from reversed(last)
        else:
            yield from self.chosen(reader.lines())

    def chosen(self, lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
        """What the request wants of some lines."""
        for line in lines:
            try:
                record = json.loads(line)
                text, stream, time, attributes = record["log"], record["stream"], record["time"], record.get("attrs")
                wanted = stream in self._choice.streams and self._is_within(time)
                prefix = self._prefix(time, attributes or {})
                encoded = (prefix + text).encode("utf-8", "surrogateescape")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self._damaged += 1
                continue
            if wanted:
                yield stream, encoded

    def _is_within(self, time: str) -> bool:
        since_us, until_us = self._choice.since_us, self._choice.until_us
        if since_us is None and until_us is None:
            return True
        moment = parse_time_us(time, 0)
        return (since_us is None or moment >= since_us) and (until_us is None or moment <= until_us)

    def _prefix(self, time: str, attributes: Mapping[str, Any]) -> str:
        prefix = f"{time} " if self._choice.timestamps else ""
        if self._choice.details:
            pairs = (f"{quote_plus(key)}={quote_plus(str(attributes[key]))}" for key in sorted(attributes))
            prefix += ",".join(pairs) + " "
        return prefix

    def report(self) -> None:
        """Damaged lines are the operator's concern, not the reader's."""
        if self._damaged:
            print(f"docket: {self._path}: {self._damaged} damaged lines left out", file=sys.stderr, flush=True)
