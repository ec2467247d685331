"""The log for readers: an object's trail, verification, the head to publish, and Docker's event stream."""

from __future__ import annotations

import re
import threading
from typing import Iterator

from engine.domain.errors import InvalidArgument, NotFound
from engine.eventlog.log import Head, Recorded, Report
from engine.services.core import Core
from engine.images.references import Reference

_NOUNS = ("container", "image", "volume", "layer", "exec")
_HEARTBEAT_S = 1.0


class Audit:
    """Reads only."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def trail(self, noun: str | None, text: str) -> list[Recorded]:
        """Every event of one object, living or long removed, in order. Raises NotFound or InvalidArgument."""
        if noun is not None and noun not in _NOUNS:
            raise InvalidArgument(f"there is no kind of object named {noun!r}: give one of {', '.join(_NOUNS)}")
        for candidate in (noun,) if noun else _NOUNS:
            names = [text]
            if candidate == "image":
                names += self._image_names(text)
            for name in names:
                if found := self._core.log.find_streams(candidate, name):
                    return self._core.log.trail(candidate, found[0])
        raise NotFound(f"nothing on record is named {text!r}")

    @staticmethod
    def _image_names(text: str) -> list[str]:
        try:
            return [Reference.parse(text).normalized]
        except InvalidArgument:
            return []

    def head(self) -> Head:
        """The last sequence number and its hash: publish it, and a later cut of the log is found by it."""
        return self._core.log.head()

    def verify(self, against: str | None = None) -> Report:
        """Check the whole log, against a published head ``SEQ:HASH`` where one is given."""
        if against is None:
            return self._core.log.verify()
        match = re.fullmatch(r"(\d+):([0-9a-f]{64})", against.strip())
        if match is None:
            raise InvalidArgument(f"invalid head {against!r}: give SEQ:HASH as `docket audit head` prints it")
        return self._core.log.verify(Head(int(match.group(1)), match.group(2)))

    def follow(
        self, since_us: int | None, until_us: int | None, stop: threading.Event
    ) -> Iterator[Recorded | None]:
        """Past events from ``since_us``, then new ones until ``until_us`` or ``stop``; None is a heartbeat.

        Subscribed before the past is read, and joined by sequence: none is missing, none comes twice.
        """
        log = self._core.log
        with log.subscribe() as subscription:
            last = log.head().seq
            if since_us is not None:
                for recorded in log.events(since_us=since_us, until_us=until_us, until=last):
                    yield recorded
            while not stop.is_set():
                remaining_s = _HEARTBEAT_S
                if until_us is not None:
                    remaining_s = min(remaining_s, (until_us - self._core.clock.now_us()) / 1e6)
                if remaining_s <= 0:
                    return
                fresh = [recorded for recorded in subscription.wait(remaining_s) if recorded.seq > last]
                yield from fresh
                if not fresh:
                    yield None
