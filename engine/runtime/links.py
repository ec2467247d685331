"""The daemon's connections to all shims, and the one thread that reads from them.

It sees the spawners' ends as well, and has them started again.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
from typing import Any, Callable, Sequence

from engine.runtime.link import Link, gone
from engine.runtime.spawner_process import SpawnerProcess


class Links:
    """``on_news`` gets what shims say, in order, and ``on_end`` a connection that is gone: both in the thread that
    reads, so they must not block."""

    def __init__(
        self, spawners: Sequence[SpawnerProcess], *, on_news: Callable[[Link, dict[str, Any]], None],
        on_end: Callable[[Link], None],
    ) -> None:  # fmt: skip
        self._spawners = spawners
        self._on_news = on_news
        self._on_end = on_end
        self._links: dict[str, Link] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._watched: dict[int, tuple[SpawnerProcess, int]] = {}
        self._thread = threading.Thread(target=self._read_all, name="docket-shims", daemon=True)
        self._thread.start()

    def get(self, container_id: str) -> Link | None:
        """The connection to the container's shim."""
        with self._lock:
            return self._links.get(container_id)

    def of(self, container_id: str) -> Link:
        """Raises NotFound where there is none."""
        link = self.get(container_id)
        if link is None:
            raise gone(container_id)
        return link

    def add(self, link: Link) -> None:
        """It is read from now on."""
        with self._lock:
            self._links[link.container_id] = link
            self._selector.register(link, selectors.EVENT_READ, link)

    def drop(self, link: Link) -> bool:
        """Close it. False where another thread was quicker."""
        with self._lock:
            if link.dropped:
                return False
            link.dropped = True
            self._selector.unregister(link)  # before it is closed: its number may be another's at once
            if self._links.get(link.container_id) is link:
                del self._links[link.container_id]
        link.close()
        return True

    def _read_all(self) -> None:
        while not self._closed:
            self._watch_spawners()
            for key, _ in self._selector.select():
                if isinstance(key.data, Link):
                    self._read(key.data)
                elif key.fd in self._watched:
                    self._selector.unregister(key.fd)
                    os.close(key.fd)
                    _respawn(*self._watched.pop(key.fd))

    def _watch_spawners(self) -> None:
        for spawner in self._spawners:
            seen = max((number for one, number in self._watched.values() if one is spawner), default=0)
            try:
                found = spawner.watch(seen)
            except OSError as error:  # no descriptor is left: containers are heard all the same, and it is tried again
                print(f"docket: the spawner can't be watched: {error}", file=sys.stderr, flush=True)
                continue
            if found is not None:
                number, fd = found
                self._watched[fd] = spawner, number
                self._selector.register(fd, selectors.EVENT_READ, "spawner")

    def _read(self, link: Link) -> None:
        try:
            news = link.read()
        except OSError:
            news = None
        if news is None:
            if self.drop(link):
                self._on_end(link)
        elif news:
            self._on_news(link, news)

    def stop_reading(self) -> None:
        """Returns when the thread has ended; what it read was handed on. Shims may be told something still."""
        self._closed = True
        os.write(self._wake_writer, b"x")
        self._thread.join()

    def close(self) -> None:
        """After ``stop_reading``: leave all shims."""
        with self._lock:
            links = list(self._links.values())
            self._links.clear()
        for link in links:
            link.close(leaving=True)
        for fd in self._watched:
            os.close(fd)
        self._selector.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _respawn(spawner: SpawnerProcess, number: int) -> None:
    try:
        spawner.died(number)
    except OSError as error:
        print(f"docket: the spawner can't be started: {error}", file=sys.stderr, flush=True)
