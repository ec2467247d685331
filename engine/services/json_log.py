"""Reading a container's log: Docker's json-file format, one JSON object a line with log, stream and time."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, Iterator

from engine.kernel.inotify import IN_CLOSE_WRITE, IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, Watch
from engine.services.as_of import parse_time_us

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


def read(path: Path, choice: Choice, may_grow: Callable[[], bool] | None) -> Iterator[tuple[str, bytes]]:
    """(stream, bytes) of each chosen line. With ``may_grow``, go on while it says so; it is asked once a second."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        if may_grow is None or not may_grow():
            return
        file = _wait_for(path, may_grow)
        if file is None:
            return
    with file:
        yield from _past(file, choice)
        if may_grow is not None:
            yield from _follow(file, path, choice, may_grow)


def _wait_for(path: Path, may_grow: Callable[[], bool]) -> BinaryIO | None:
    """The log of a container that is starting just now."""
    while may_grow():
        with Watch(str(path.parent), IN_CLOSE_WRITE | IN_MODIFY) as watch:
            if path.exists():
                return path.open("rb")
            watch.wait(_HEARTBEAT_S / 10)
    return None


def _past(file: BinaryIO, choice: Choice) -> Iterator[tuple[str, bytes]]:
    lines = (chosen for line in _whole_lines(file) if (chosen := _choose(line, choice)) is not None)
    if choice.tail is not None and choice.tail >= 0:
        yield from deque(lines, maxlen=choice.tail)
    else:
        yield from lines


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines up to the last newline; what lies behind it is still being written and stays for the next read."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line


def _choose(line: bytes, choice: Choice) -> tuple[str, bytes] | None:
    try:
        record = json.loads(line)
        text, stream, time = record["log"], record["stream"], record["time"]
    except (ValueError, KeyError, TypeError):
        return None  # a torn line of a crash
    if stream not in choice.streams:
        return None
    if choice.since_us is not None or choice.until_us is not None:
        moment = parse_time_us(time, 0)
        if choice.since_us is not None and moment < choice.since_us:
            return None
        if choice.until_us is not None and moment > choice.until_us:
            return None
    prefix = f"{time} " if choice.timestamps else ""
    return stream, (prefix + text).encode("utf-8", "surrogateescape")


def _follow(
    file: BinaryIO, path: Path, choice: Choice, may_grow: Callable[[], bool]
) -> Iterator[tuple[str, bytes]]:
    with Watch(str(path), IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF) as watch:
        while True:
            growing = may_grow()  # asked before the read: what was written before the end is still read after it
            for line in _whole_lines(file):
                if (chosen := _choose(line, choice)) is not None:
                    yield chosen
            if not growing:
                return
            if watch.wait(_HEARTBEAT_S):
                watch.wait(_LAST_WORDS_S)  # let a burst, or the end, arrive as one
