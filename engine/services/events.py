"""Following the log: what was, then what comes, each event once and in order."""

from __future__ import annotations

import threading
from typing import Callable, Iterator

from engine.domain.container import Container
from engine.domain.errors import NotFound
from engine.eventlog.log import Recorded
from engine.services import mount_points
from engine.services.core import Core
from engine.services.launch_plan import volume_folders
from engine.services.views import parse_document

_PATIENCE_S = 1.0
"""How soon a follower notices that its client has left."""


class Follower:
    """Past events from ``since_us`` (None: none), then new ones until ``until_us`` or ``stop``. Close it.

    It is subscribed from its construction on, before the past is read, and joins both by sequence: none is missing,
    none comes twice.
    """

    def __init__(
        self, core: Core, since_us: int | None, until_us: int | None, stop: threading.Event,
        on_close: Callable[[Follower], None],
    ) -> None:  # fmt: skip
        self._core = core
        self._since_us = since_us
        self._until_us = until_us
        self._stop = stop
        self._on_close = on_close
        self._subscription = core.log.subscribe()
        self._last = core.log.head().seq

    def __iter__(self) -> Iterator[Recorded]:
        if self._since_us is not None:
            yield from self._core.log.events(since_us=self._since_us, until_us=self._until_us, until=self._last)
        while not self._stop.is_set() and (remaining_s := self._remaining_s()) > 0:
            yield from (recorded for recorded in self._subscription.wait(remaining_s) if recorded.seq > self._last)

    def _remaining_s(self) -> float:
        if self._until_us is None:
            return _PATIENCE_S
        return min(_PATIENCE_S, (self._until_us - self._core.clock.now_us()) / 1e6)

    def close(self) -> None:
        self._subscription.close()
        self._on_close(self)


class Events:
    """Reads only."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._followers: set[Follower] = set()

    @property
    def followers(self) -> int:
        """How many there are at the moment."""
        return len(self._followers)

    def follow(self, since_us: int | None, until_us: int | None, stop: threading.Event) -> Follower:
        """See Follower."""
        follower = Follower(self._core, since_us, until_us, stop, self._followers.discard)
        self._followers.add(follower)
        return follower

    def mounts(self, container: Container) -> Iterator[tuple[str, dict[str, str]]]:
        """The volumes of a container that may be gone, each with how it is mounted, in Docker's words; without that
        where the configuration has been redacted."""
        try:
            settings = parse_document(self._core.log.document(container.config_digest))
        except NotFound:
            yield from ((name, {}) for name in container.volumes)
            return
        points = mount_points.parse(settings["HostConfig"], settings["Config"])
        folders = volume_folders(self._core, container, points)
        for point in points:
            if point.type == "volume":
                may_write = "false" if point.read_only else "true"
                how = {"destination": point.destination, "read/write": may_write, "propagation": ""}
                yield folders[point.destination].parent.name, how
