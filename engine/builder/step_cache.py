"""Steps that were carried out before, found again by what they depend on."""

from __future__ import annotations

import json
from typing import Any, Sequence

from engine.builder import keys
from engine.builder.keys import Inputs
from engine.domain.cache import Cache, CacheRecorded, ForgetCache, RecordCache
from engine.domain.errors import Conflict, NotFound
from engine.eventlog.log import Context, Document
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.layers import Layers

INPUTS = "build-inputs"


class StepCache:
    """The cached steps of the whole engine."""

    def __init__(self, core: Core, layers: Layers, blobs: Blobs) -> None:
        self._core = core
        self._layers = layers
        self._blobs = blobs

    def find(self, key: str, standing: set[str]) -> Cache | None:
        """A step whose layer is in the store, and with it those below: the record keeps them all. What is noted in
        ``standing`` is spared by a prune; one that came before that is seen."""
        if (cached := self._core.log.get("cache", key)) is None or not cached.chain_ids:
            return cached
        standing.add(cached.chain_ids[-1])
        again = self._core.log.get("cache", key)
        return again if again is not None and self._layers.is_stored(again.chain_ids[-1]) else None

    def record(
        self, recorded: CacheRecorded, document: bytes, context: Context, *, replace: bool = False
    ) -> list[str]:
        """Put a step on record; an older outcome of the same inputs stays unless ``replace``. Answers with the layers
        that lose by it: whoever still builds on them may do so, so they are released later. Raises Conflict where a
        layer that the step stands on has been removed meanwhile."""
        with self._core.recorder.exclusive(f"cache/{recorded.key}"), self._layers.guard:
            if not self._layers.all_stored(recorded.chain_ids):
                raise Conflict("a layer that the build stands on was removed meanwhile: build again")
            known = self._core.log.get("cache", recorded.key)
            if known is not None and known.chain_ids != recorded.chain_ids:
                if not replace and self._layers.all_stored(known.chain_ids):
                    return recorded.chain_ids
                self._core.recorder.decide("cache", recorded.key, ForgetCache("made anew"), context)
            stored = [Document(INPUTS, document)]
            self._core.recorder.decide("cache", recorded.key, RecordCache(recorded), context, stored)
        return known.chain_ids if known is not None else []

    def release(self, chain_ids: list[str], context: Context) -> list[str]:
        """Remove layers that nothing refers to any more, and their blobs. Answers with their chain IDs."""
        states = [self._core.log.get("layer", chain_id) for chain_id in chain_ids]
        removed = self._layers.release(chain_ids, "", context)
        self._blobs.release(state.blob_digest for state in states if state is not None and state.id in removed)
        return removed

    def why_not(self, inputs: Inputs, place: str) -> str:
        """What is different from the last time that this instruction was carried out."""
        candidates = [cached for cached in self._core.log.all("cache") if cached.place == place]
        if not candidates:
            return "it was never built"
        same = [cached for cached in candidates if cached.instruction == inputs["instruction"]] or candidates
        latest = max(same, key=lambda cached: cached.created_at_us)
        try:
            before: dict[str, Any] = json.loads(self._core.log.document(latest.inputs))
        except NotFound:
            return "what it depended on was redacted"
        return keys.difference(before, inputs)

    def forget(self, chosen: Sequence[Cache], context: Context) -> tuple[list[str], int]:
        """Forget steps, and remove what only they kept. Answers with their keys and the bytes that were freed."""
        forgotten, freed = [], 0
        for cached in chosen:
            try:
                self._core.recorder.decide("cache", cached.id, ForgetCache("prune"), context)
            except NotFound:
                continue  # somebody was quicker
            forgotten.append(cached)
        for cached in sorted(forgotten, key=lambda cached: len(cached.chain_ids), reverse=True):
            sizes = {chain_id: self._layers.size_bytes([chain_id]) for chain_id in cached.chain_ids}
            freed += sum(sizes[chain_id] for chain_id in self.release(cached.chain_ids, context))
        return [cached.id for cached in forgotten], freed
