"""Layers: unpacked once, shared by images, removed when no image refers to them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, Sequence

from engine.domain.errors import Conflict, EngineError, NotFound, describe
from engine.domain.layer import (
    LayerFetched,
    LayerRemoved,
    LayerRemoveFailed,
    LayerStored,
    LayerUnpackFailed,
    RemoveLayer,
    Status,
    UnpackLayer,
)
from engine.domain.machine import Event
from engine.eventlog.log import Context
from engine.images.content import ContentStore
from engine.kernel.steps import step
from engine.services.core import Core
from engine.services.placing import Placing
from engine.services.recorder import caused_by
from engine.services.remaps import Remaps
from engine.services.trash import Trash

UNPACKED_AT_ONCE = max(2, os.cpu_count() or 1)
ENSURED_AT_ONCE = 16
"""Layers of one image that wait for their turn to be unpacked, are unpacked, or wait for the disk."""


class Wanted(NamedTuple):
    """A layer that an image needs. ``parent`` is the chain ID below it; ``source`` is for whose sake it is wanted."""

    chain_id: str
    diff_id: str
    parent: str
    blob_digest: str
    source: str


def wanted_layers(
    chain_ids: Sequence[str], diff_ids: Sequence[str], blob_digests: Sequence[str], source: str
) -> list[Wanted]:
    """The layers of an image, from the base upwards."""
    parents = ["", *chain_ids][: len(chain_ids)]
    return [Wanted(*four, source) for four in zip(chain_ids, diff_ids, parents, blob_digests, strict=True)]


class Coming(Protocol):
    """A blob that is being fetched. ``followed`` gives the descriptors for a worker that reads it meanwhile;
    ``result`` waits until it is whole and right, and raises what went wrong."""

    def followed(self) -> AbstractContextManager[list[int]]: ...

    def result(self) -> LayerFetched | None: ...


class Layers:
    """Ensure and release. ``guard`` is held for a moment by whoever decides that nobody wants a layer, and by whoever
    puts an image on record that wants it: neither can overlook the other."""

    def __init__(
        self, core: Core, content: ContentStore, trash: Trash, remaps: Remaps, limits: dict[str, int] | None = None
    ) -> None:
        self._core = core
        self._remaps = remaps
        self._trash = trash
        self._placing = Placing(core.runtime)
        self._content = content
        self._limits = limits
        self._slots = threading.BoundedSemaphore(UNPACKED_AT_ONCE)
        self.guard = threading.Lock()

    def is_stored(self, chain_id: str) -> bool:
        state = self._core.log.get("layer", chain_id)
        return state is not None and state.status is Status.STORED

    def all_stored(self, chain_ids: Sequence[str]) -> bool:
        return all(map(self.is_stored, chain_ids))

    def ensure(
        self, wanted: Wanted, context: Context, fetched: LayerFetched | None = None, coming: Coming | None = None
    ) -> None:
        """Unpack the blob as this layer unless it is stored. The same layer wanted twice at once is unpacked once.

        ``fetched`` is how the blob came; where it is still on its way, ``coming`` is what to wait for.
        """
        with self._core.recorder.exclusive(f"layer/{wanted.chain_id}"):
            command = UnpackLayer(*wanted[:3], wanted.source, wanted.blob_digest, fetched)
            intents = self._core.recorder.decide("layer", wanted.chain_id, command, context)
            if not intents:
                return
            outcome = caused_by(context, intents[-1])
            learned: list[Event] = []  # on record with the outcome: a commit of its own would wait for the tree's data
            try:
                result = self._unpack(wanted, coming, learned)
            except Exception as error:  # a defect as well: the intent must get its outcome
                failed = LayerUnpackFailed(wanted.chain_id, describe(error))
                self._core.recorder.record("layer", wanted.chain_id, failed, outcome, earlier=learned)
                raise
            stored = LayerStored(wanted.chain_id, result["size_bytes"], result["entries"], result["warnings"])
            self._core.recorder.record("layer", wanted.chain_id, stored, outcome, earlier=learned)

    def ensure_all(self, wanted: Sequence[Wanted], context: Context) -> None:
        """Those that an image needs, side by side, so that they share the slots and the syncs."""
        missing = [layer for layer in wanted if not self.is_stored(layer.chain_id)]
        if not missing:
            return
        with ThreadPoolExecutor(min(ENSURED_AT_ONCE, len(missing)), "layers") as pool:
            for _ in pool.map(lambda layer: self.ensure(layer, context), missing):
                pass

    def _unpack(self, wanted: Wanted, coming: Coming | None, learned: list[Event]) -> dict[str, Any]:
        target = self._core.store.layer(wanted.chain_id)
        if target.exists():  # what a failed removal or damage has left
            self._core.runtime.run_job("tree.remove", {"path": str(target)})
        job = {
            "blob": str(self._content.path(wanted.blob_digest)), "diff_id": wanted.diff_id, "target": str(target),
            "limits": self._limits, "deferred": True,
        }  # fmt: skip
        if coming is None:
            with self._slots:
                result = self._core.runtime.run_job("layer.unpack", job)
        else:
            result = self._unpack_coming(job, coming, learned)
        try:
            self._placing.place(result["temporary"], target)
        except (OSError, EngineError):
            for left in (result["temporary"], str(target)):  # one of a group may be in place when another fails
                self._core.runtime.run_job("tree.remove", {"path": left})
            raise
        return result

    def _unpack_coming(self, job: dict[str, Any], coming: Coming, learned: list[Event]) -> dict[str, Any]:
        """Unpack while the blob is being fetched, and believe the tree when the blob has turned out to be right."""
        result: dict[str, Any] | None = None
        try:
            with coming.followed() as fds:
                result = self._core.runtime.run_job("layer.unpack", job, fds)
        except EngineError:
            pass  # if the blob is wrong that is the reason; else it was begun anew underneath, or is tried once more
        try:
            fetched = coming.result()
        except BaseException:
            if result is not None:
                self._core.runtime.run_job("tree.remove", {"path": result["temporary"]})
            raise
        if fetched is not None:
            learned.append(fetched)
        if result is None:
            with self._slots:
                result = self._core.runtime.run_job("layer.unpack", job)
        return result

    def size_bytes(self, chain_ids: Sequence[str]) -> int:
        """The sum of the layers' files."""
        states = (self._core.log.get("layer", chain_id) for chain_id in chain_ids)
        return sum(state.size_bytes for state in states if state is not None)

    def release(self, chain_ids: Sequence[str], image_id: str, context: Context) -> list[str]:
        """Remove those that nothing but this image refers to, from the top downwards. Answers with their chain IDs."""
        removed = []
        for chain_id in reversed(chain_ids):
            with self._core.recorder.exclusive(f"layer/{chain_id}"):
                try:
                    with self.guard:
                        users = {*self._core.log.users_of_layer(chain_id)} - {f"image/{image_id}"}
                        remove = RemoveLayer(tuple(sorted(users)))
                        intent = self._core.recorder.decide("layer", chain_id, remove, context)[-1]
                except (Conflict, NotFound):
                    continue
                self.finish_removal(chain_id, caused_by(context, intent))
                removed.append(chain_id)
        return removed

    def finish_removal(self, chain_id: str, context: Context) -> None:
        """The effect and the outcome of an open removal; may be done again after a crash."""
        try:
            folder = self._core.store.layer(chain_id)
            self._remaps.drop(chain_id, context)
            with step("layer.remove"):
                if folder.exists():
                    self._trash.throw(folder)
        except Exception as error:
            failed = LayerRemoveFailed(chain_id, describe(error))
            self._core.recorder.record("layer", chain_id, failed, context)
            raise
        self._core.recorder.record("layer", chain_id, LayerRemoved(chain_id), context)
