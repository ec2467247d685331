"""Following the log: what was, then what comes, each event once and in order."""

from __future__ import annotations

import threading
from typing import Callable, Iterator, NamedTuple

from engine.domain.container import Container
from engine.domain.errors import InvalidArgument, NotFound
from engine.eventlog.log import END, Recorded
from engine.services import mount_points
from engine.services.core import Core
from engine.services.launch_plan import volume_folders

_PATIENCE_S = 1.0
"""How soon a follower notices that its client has left."""


class Moment(NamedTuple):
    """An end of what somebody follows: a time, or the event ``seq``, which belongs to it."""

    time_us: int = 0
    seq: int | None = None


class Follower:
    """Past events from ``since`` (None: none), then new ones until ``until`` or ``stop``. Close it.

    It is subscribed from its construction on, before the past is read, and joins both by sequence: none is missing,
    none comes twice.
    """

    def __init__(
        self, core: Core, since: Moment | None, until: Moment | None, stop: threading.Event,
        on_close: Callable[[Follower], None],
    ) -> None:  # fmt: skip
        """Raises InvalidArgument for a ``since`` that the log has not come to."""
        _check_place(core, since)
        self._core = core
        self._since = since
        self._until_us = None if until is None or until.seq is not None else until.time_us
        self._until_seq = END if until is None or until.seq is None else until.seq
        self._stop = stop
        self._on_close = on_close
        self._subscription = core.log.subscribe()
        self._last = core.log.head().seq

    def __iter__(self) -> Iterator[Recorded]:
        if self._since is not None:
            after = max((self._since.seq or 0) - 1, 0)
            since_us = None if self._since.seq is not None else self._since.time_us
            until = min(self._last, self._until_seq)
            yield from self._core.log.events(after=after, since_us=since_us, until_us=self._until_us, until=until)
        while self._last < self._until_seq and not self._stop.is_set() and (remaining_s := self._remaining_s()) > 0:
            for recorded in self._subscription.wait(remaining_s):
                if self._last < recorded.seq <= self._until_seq:
                    yield recorded
                self._last = max(self._last, recorded.seq)

    def _remaining_s(self) -> float:
        if self._until_us is None:
            return _PATIENCE_S
        return min(_PATIENCE_S, (self._until_us - self._core.clock.now_us()) / 1e6)

    def close(self) -> None:
        self._subscription.close()
        self._on_close(self)


def _check_place(core: Core, since: Moment | None) -> None:
    last = core.log.head().seq
    if since is not None and since.seq is not None and since.seq > last + 1:
        raise InvalidArgument(f"the log ends with event {last}, before event {since.seq}: is it another engine's?")


class Events:
    """Reads only."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._followers: set[Follower] = set()

    @property
    def followers(self) -> int:
        """How many there are at the moment."""
        return len(self._followers)

    def follow(self, since: Moment | None, until: Moment | None, stop: threading.Event) -> Follower:
        """See Follower."""
        follower = Follower(self._core, since, until, stop, self._followers.discard)
        self._followers.add(follower)
        return follower

    def mounts(self, container: Container) -> Iterator[tuple[str, dict[str, str]]]:
        """The volumes of a container that may be gone, each with how it is mounted, in Docker's words; without that
        where the configuration has been redacted."""
        try:
            settings = self._core.settings_of(container)
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
