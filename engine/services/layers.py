"""Layers: unpacked once, shared by images, removed when no image refers to them."""

from __future__ import annotations

from typing import Sequence

from engine.domain.errors import Conflict, EngineError, NotFound, describe
from engine.domain.layer import (
    LayerRemoved,
    LayerRemoveFailed,
    LayerStored,
    LayerUnpackFailed,
    RemoveLayer,
    UnpackLayer,
)
from engine.eventlog.log import Context
from engine.images.content import ContentStore
from engine.kernel.steps import step
from engine.services.core import Core
from engine.services.recorder import caused_by


class Layers:
    """Ensure and release."""

    def __init__(self, core: Core, content: ContentStore) -> None:
        self._core = core
        self._content = content

    def ensure(self, chain_id: str, diff_id: str, parent: str, blob_digest: str, source: str, context: Context) -> None:
        """Unpack the blob as this layer unless it is stored. The same layer wanted twice at once is unpacked once."""
        with self._core.recorder.exclusive(f"layer/{chain_id}"):
            command = UnpackLayer(chain_id, diff_id, parent, source, blob_digest)
            intents = self._core.recorder.decide("layer", chain_id, command, context)
            if not intents:
                return
            outcome = caused_by(context, intents[-1])
            job = {
                "blob": str(self._content.path(blob_digest)),
                "diff_id": diff_id,
                "target": str(self._core.store.layer(chain_id)),
            }
            try:
                result = self._core.runtime.run_job("layer.unpack", job)
            except (OSError, EngineError) as error:
                failed = LayerUnpackFailed(chain_id, describe(error))
                self._core.recorder.record("layer", chain_id, failed, outcome)
                raise
            stored = LayerStored(chain_id, result["size_bytes"], result["entries"])
            self._core.recorder.record("layer", chain_id, stored, outcome)

    def size_bytes(self, chain_ids: Sequence[str]) -> int:
        """The sum of the layers' files."""
        states = (self._core.log.get("layer", chain_id) for chain_id in chain_ids)
        return sum(state.size_bytes for state in states if state is not None)

    def release(self, chain_ids: Sequence[str], image_id: str, context: Context) -> list[str]:
        """Remove those that no other image refers to, from the top downwards. Answers with the removed chain IDs."""
        removed = []
        for chain_id in reversed(chain_ids):
            with self._core.recorder.exclusive(f"layer/{chain_id}"):
                try:
                    users = tuple(user for user in self._core.log.images_of_layer(chain_id) if user != image_id)
                    intent = self._core.recorder.decide("layer", chain_id, RemoveLayer(users), context)[-1]
                except (Conflict, NotFound):
                    continue
                self.finish_removal(chain_id, caused_by(context, intent))
                removed.append(chain_id)
        return removed

    def finish_removal(self, chain_id: str, context: Context) -> None:
        """The effect and the outcome of an open removal; may be done again after a crash."""
        state = self._core.log.get("layer", chain_id)
        try:
            with step("layer.remove"):
                self._core.runtime.run_job("tree.remove", {"path": str(self._core.store.layer(chain_id))})
            if state is not None and not self._blob_is_shared(state.id, state.blob_digest):
                self._content.remove(state.blob_digest)
        except (OSError, EngineError) as error:
            failed = LayerRemoveFailed(chain_id, describe(error))
            self._core.recorder.record("layer", chain_id, failed, context)
            raise
        self._core.recorder.record("layer", chain_id, LayerRemoved(chain_id), context)

    def _blob_is_shared(self, chain_id: str, blob_digest: str) -> bool:
        """Whether the same bytes serve another layer (on another parent), or there are none of its own."""
        return not blob_digest or any(
            layer.blob_digest == blob_digest and layer.id != chain_id for layer in self._core.log.all("layer")
        )
