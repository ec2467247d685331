"""Volumes of the local driver: a folder each, made, listed and removed on the record."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from engine.domain.container import ContainerStarted, ContainerStarting, ContainerStartFailed
from engine.domain.errors import Conflict, EngineError, NotFound, NotSupported, describe
from engine.domain.prune import RecordPrune
from engine.domain.volume import (
    CreateVolume,
    RemoveVolume,
    Volume,
    VolumeCreated,
    VolumeCreateFailed,
    VolumeCreating,
    VolumeRemoved,
    VolumeRemoveFailed,
)
from engine.eventlog.log import Context
from engine.kernel.paths import fsync_folder
from engine.kernel.steps import step
from engine.services import request_shapes, trees, volume_options
from engine.services.core import Core
from engine.services.mount_points import check_volume_name
from engine.services.recorder import caused_by
from engine.services.selection import Filters, Selection, asks
from engine.services.views import VolumeView


_START_TYPES = {ContainerStarting.TYPE, ContainerStarted.TYPE, ContainerStartFailed.TYPE}


class Volumes:
    """Create, list, inspect, remove, prune."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(self, body: Mapping[str, Any], context: Context) -> VolumeView:
        """Docker's ``POST /volumes/create``. Raises InvalidArgument, NotSupported or Conflict."""
        request_shapes.check(body, request_shapes.VOLUME)
        driver = body.get("Driver") or "local"
        if driver != "local":
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        if body.get("ClusterVolumeSpec"):
            raise NotSupported("cluster volumes are not supported")
        name = body.get("Name") or self._core.randomness.hex(64)
        options = volume_options.check(body.get("DriverOpts") or {})
        self.ensure(
            name, context, labels=body.get("Labels") or {}, anonymous=not body.get("Name"), options=options
        )  # fmt: skip
        return self.get(name)

    def ensure(
        self, name: str, context: Context, *, labels: Mapping[str, str] | None = None, anonymous: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Make the volume unless it is there."""
        check_volume_name(name)
        with self._core.recorder.exclusive(f"volume/{name}"):
            creating = VolumeCreating(
                name, self._core.clock.now_us(), labels=dict(labels or {}), options=dict(options or {}),
                anonymous=anonymous,
            )  # fmt: skip
            intents = self._core.recorder.decide("volume", name, CreateVolume(creating), context)
            if intents:
                self.finish_creation(name, caused_by(context, intents[-1]))

    def finish_creation(self, name: str, context: Context) -> None:
        """The effect and the outcome of an open creation; may be done again after a crash."""
        path = self._core.store.volume(name)
        try:
            with step("volume.create"):
                path.parent.mkdir(mode=0o701, exist_ok=True)
                path.mkdir(mode=0o755, exist_ok=True)
                fsync_folder(str(path.parent))
                fsync_folder(str(path.parent.parent))
        except Exception as error:
            self._core.recorder.record("volume", name, VolumeCreateFailed(name, str(error)), context)
            raise
        self._core.recorder.record("volume", name, VolumeCreated(name), context)

    @contextmanager
    def filling(self, container_id: str, wanted: Sequence[tuple[str, str, bool]]) -> Iterator[list[str]]:
        """Hold the fresh ones among a start's volumes (destination, name, whether it may be filled): the destinations
        of those that are to be filled from the image while the context lasts.

        A mark beside the volume says which container's start fills it. Where that comes to nothing, what was copied is
        thrown away: no process of any container has seen it.
        """
        with ExitStack() as held:
            fresh: list[Path] = []
            destinations = []
            for destination, name, may_fill in sorted(wanted, key=lambda one: one[1]):
                folder = self._core.store.volume(name)
                lock = held.enter_context(ExitStack())
                lock.enter_context(self._core.recorder.exclusive(f"volume/{name}"))
                if _mark(folder).exists():
                    self._settle(name)
                if not may_fill or not _is_empty(folder):
                    lock.close()
                    continue
                fresh.append(folder)
                destinations.append(destination)
            for folder in fresh:
                _mark(folder).touch(mode=0o600)
                _mark(folder).write_text(container_id)
            try:
                yield destinations
            except Exception:
                for folder in fresh:
                    self._empty(folder)
                raise
            for folder in fresh:
                _mark(folder).unlink()

    def settle_fillings(self) -> None:
        """After a crash, when it is on record what became of each start, and before anybody can write into a volume."""
        for volume in self._core.log.all("volume"):
            if volume.status == "present" and _mark(self._core.store.volume(volume.id)).exists():
                with self._core.recorder.exclusive(f"volume/{volume.id}"):
                    try:
                        self._settle(volume.id)
                    except (OSError, EngineError) as error:  # it must not keep the engine from starting
                        print(f"docket: volume {volume.id}: {describe(error)}", file=sys.stderr, flush=True)

    def _settle(self, name: str) -> None:
        """What a start has filled that an earlier life of the engine didn't see the end of: a container that started
        has all of it, and may have written more. Raises Conflict where the start may go on still."""
        folder = self._core.store.volume(name)
        container_id = _mark(folder).read_text()
        starts = self._core.log.events(streams=[f"container/{container_id}"], types=_START_TYPES)
        last = [recorded.type for recorded in starts][-1:]
        if last == [ContainerStarting.TYPE]:
            raise Conflict(f"volume {name} is being filled by a start of container {container_id} that isn't settled")
        if last == [ContainerStarted.TYPE]:
            _mark(folder).unlink()
        else:
            self._empty(folder)

    def _empty(self, folder: Path) -> None:
        """Throw away what a start has copied."""
        trees.empty(self._core.runtime, folder)
        _mark(folder).unlink()

    def list(self) -> list[VolumeView]:
        """All volumes, oldest first."""
        return [self._view(volume) for volume in self._core.log.all("volume") if volume.status == "present"]

    def get(self, name: str) -> VolumeView:
        """Raises NotFound."""
        state = self._core.log.get("volume", name)
        if state is None:
            raise NotFound(f"get {name}: no such volume")
        return self._view(state)

    def _view(self, state: Volume) -> VolumeView:
        users = tuple(self._core.log.containers_of_volume(state.id))
        return VolumeView(state, self._core.store.volume(state.id), users)

    def remove(self, name: str, *, force: bool = False, going: str = "", context: Context) -> None:
        """Raises Conflict while a container mounts it, other than the one that is ``going`` with it; NotFound unless
        ``force``."""
        with self._core.recorder.exclusive(f"volume/{name}"):
            command = RemoveVolume(tuple(id for id in self._core.log.containers_of_volume(name) if id != going))
            try:
                intent = self._core.recorder.decide("volume", name, command, context)[-1]
            except NotFound:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume") from None
            self.finish_removal(name, caused_by(context, intent))

    def finish_removal(self, name: str, context: Context) -> None:
        """The effect and the outcome of an open removal; may be done again after a crash."""
        folder = self._core.store.volume(name).parent
        try:
            with step("volume.remove"):
                if folder.exists():
                    trees.remove(self._core.runtime, folder)
        except Exception as error:
            self._core.recorder.record("volume", name, VolumeRemoveFailed(name, str(error)), context)
            raise
        self._core.recorder.record("volume", name, VolumeRemoved(name), context)

    def prune(self, filters: Filters, context: Context) -> tuple[list[str], int]:
        """Remove what no container mounts: anonymous ones, or with ``all`` every one. Answers with names and bytes."""
        removed, freed = [], 0
        selection, every = Selection.of(filters), asks(filters, "all")
        for view in self.list():
            if view.users or not (every or view.state.anonymous):
                continue
            if not selection.allows(view.state.labels, view.state.created_at_us):
                continue
            size = trees.size_bytes(self._core.runtime, view.mountpoint)
            try:
                self.remove(view.state.id, context=context)
            except (Conflict, NotFound):
                continue  # somebody was quicker
            removed.append(view.state.id)
            freed += size
        self._core.recorder.decide("prune", "volume", RecordPrune("volume", len(removed), freed), context)
        return removed, freed


def _mark(folder: Path) -> Path:
    return folder.parent / "filling"


def _is_empty(folder: Path) -> bool:
    """Whether there is a volume that nobody has put anything into."""
    try:
        with os.scandir(folder) as entries:
            return not any(entries)
    except FileNotFoundError:
        return False
    except PermissionError:
        return False  # a container of an ordinary user's engine has made it another user's
