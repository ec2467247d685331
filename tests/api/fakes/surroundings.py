"""Volumes, networks, the audit, events and the system, as far as the API asks for them."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, Mapping

from engine.domain import volume as volumes
from engine.domain.container import Container
from engine.domain.errors import Forbidden, NotFound
from engine.eventlog.log import Context
from engine.services.events import Moment

from .images import IMAGE_ID
from .log import Log, Recorded


class Volumes:
    def __init__(self, log: Log) -> None:
        self._log = log
        self.prunes: list[Mapping[str, list[str]]] = []

    def create(self, body: dict[str, Any], context: Context) -> Any:
        name = body.get("Name") or "f" * 64
        creating = volumes.VolumeCreating(name, self._log.now_us, labels=body.get("Labels") or {})
        for event in (creating, volumes.VolumeCreated(name)):
            self._log.append("volume", name, event, context)
        return self.get(name)

    def _view(self, state: volumes.Volume) -> Any:
        users = [view.id for view in self._log.states["container"].values() if state.id in view.volumes]
        return SimpleNamespace(state=state, mountpoint=Path(f"/v/{state.id}/_data"), users=users)

    def list(self) -> list[Any]:
        return [self._view(state) for state in self._log.states["volume"].values()]

    def get(self, name: str) -> Any:
        if name not in self._log.states["volume"]:
            raise NotFound(f"get {name}: no such volume")
        return self._view(self._log.states["volume"][name])

    def remove(self, name: str, *, force: bool, context: Context) -> None:
        self.get(name)
        for event in (volumes.VolumeRemoving(name), volumes.VolumeRemoved(name)):
            self._log.append("volume", name, event, context)

    def prune(self, filters: Mapping[str, list[str]], context: Context) -> tuple[list[str], int]:
        self.prunes.append(filters)
        return [], 0


class Networks:
    """No network of the engine's own; the predefined ones are the API's."""

    has_default = True

    def list(self, *, as_of: str | None = None) -> list[Any]:
        return []

    def ensure(self, reference: str, context: Context) -> None:
        """Made when it is first asked for, and here by nobody."""

    def get(self, reference: str, *, as_of: str | None = None) -> Any:
        raise NotFound(f"network {reference} not found")

    def remove(self, reference: str, context: Context) -> None:
        if reference in ("none", "host"):
            raise Forbidden(f"{reference} is a pre-defined network and cannot be removed")
        self.get(reference)

    def prune(self, filters: Any, context: Context) -> list[str]:
        return []


class Audit:
    def __init__(self, log: Log) -> None:
        self._log = log

    def trail(self, noun: str | None, text: str) -> list[Recorded]:
        found = [
            record for record in self._log.records
            if text in (record.stream.partition("/")[2], getattr(record.event, "container_id", ""))
        ]  # fmt: skip
        if not found:
            raise NotFound(f"nothing on record is named {text!r}")
        return found

    def project(self, name: str) -> list[Recorded]:
        return [record for record in self._log.records if record.causation.startswith(f"compose:{name}/")]

    def moment_us(self, as_of: str) -> int:
        return self._log.now_us

    def head(self) -> Any:
        return SimpleNamespace(seq=len(self._log.records), hash="cd" * 32)

    def verify(self, against: str | None = None, *, log_only: bool = False) -> Any:
        problems = [SimpleNamespace(seq=1, what="cut")] if against == "99:ff" and not log_only else []
        return SimpleNamespace(events=len(self._log.records), head=self.head(), problems=problems)


class Events:
    followers = 2

    def __init__(self, log: Log) -> None:
        self._log = log
        self.ended = threading.Event()

    @staticmethod
    def mounts(state: Container) -> list[tuple[str, dict[str, str]]]:
        how = {"destination": "/data", "read/write": "true", "propagation": ""}
        return [(name, how) for name in state.volumes]

    def follow(self, since: Moment | None, until: Moment | None, stop: threading.Event) -> Iterator[Recorded]:
        """By times only: the rest is tested with the real one."""
        seen = 0 if since is not None else len(self._log.records)  # now, not when the first is asked for
        return self._follow(seen, since and since.time_us, until and until.time_us, stop)

    def _follow(
        self, seen: int, since_us: int | None, until_us: int | None, stop: threading.Event
    ) -> Iterator[Recorded]:
        try:
            while True:
                for record in self._log.records[seen:]:
                    seen += 1
                    if record.time_us >= (since_us or 0) and (until_us is None or record.time_us <= until_us):
                        yield record
                if stop.is_set() or (until_us is not None and until_us <= self._log.now_us):
                    return
                self._log.wait_for(lambda: len(self._log.records) > seen, 0.05)
        finally:
            self.ended.set()


class System:
    def __init__(self, log: Log) -> None:
        self._log = log
        self.layer_copies: list[dict[str, Any]] = []

    def info(self) -> dict[str, Any]:
        counts = {"ContainersRunning": 1, "ContainersPaused": 0, "ContainersStopped": 0, "Images": 1}
        found = len(self._log.states["container"])
        return {"Containers": found, **counts, "DockerRootDir": "/d", "CgroupVersion": "1"}

    def disk_usage(self) -> dict[str, Any]:
        return {
            "layers_bytes": 1000,
            "layer_copies": self.layer_copies,
            "image_shared_bytes": {IMAGE_ID: 0},
            "container_bytes": {identifier: (5, 1005) for identifier in self._log.states["container"]},
            "volume_bytes": {name: 7 for name in self._log.states["volume"]},
        }
