"""A step that may change files: taken from the cache where its inputs are known, else made and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from engine.builder import keys
from engine.builder.ground import Ground
from engine.builder.keys import Inputs
from engine.builder.orders import Site
from engine.builder.step_cache import StepCache
from engine.domain.cache import Cache, CacheRecorded
from engine.images import config as image_config
from engine.services.core import Core
from engine.services.layers import Layers, Wanted


@dataclass(slots=True)
class Made:
    """What became of a step: ``outcome``, ``reason`` and ``key`` as in BuildStepDone."""

    outcome: str
    reason: str = ""
    key: str = ""
    is_layer: bool = False
    created_us: int = 0
    created_by: str = ""


class Layering:
    """One for the engine."""

    def __init__(self, core: Core, layers: Layers, cache: StepCache) -> None:
        self._core = core
        self._layers = layers
        self._cache = cache

    def step(
        self, inputs: Inputs, make: Callable[[], dict[str, Any]], ground: Ground, site: Site, place: str
    ) -> Made:
        """``make`` answers with the blob of what it changed: ``{"digest", ...}``. The ground gets the layer."""
        inputs = {**inputs, "parent": ground.top, "epoch": site.epoch_s}
        document = keys.document_of(inputs)
        key = keys.key_of(document)
        cached = None if site.order.no_cache else self._cache.find(key)
        if cached is not None:
            self._take(cached, ground)
            return Made("reused", "", key, not cached.is_empty, cached.created_at_us)
        reason = "--no-cache" if site.order.no_cache else self._cache.why_not(inputs, place)
        site.tell({"docket": {"miss": reason}})
        blob = make()
        if blob["digest"]:
            self._add_layer(blob["digest"], ground, site)
        now_us = self._core.clock.now_us()
        recorded = CacheRecorded(
            key, list(ground.chain_ids), not blob["digest"], inputs["instruction"], place, keys.key_of(document),
            site.build_id, now_us,
        )  # fmt: skip
        losing = self._cache.record(recorded, document, site.context, replace=site.order.no_cache)
        site.superseded.append(losing)
        return Made("made", reason, key, bool(blob["digest"]), now_us)

    def _add_layer(self, digest: str, ground: Ground, site: Site) -> None:
        """The blob is a plain tar, so its digest is the diff ID."""
        chain_id = image_config.chain_ids([*ground.diff_ids, digest])[-1]
        self._layers.ensure(Wanted(chain_id, digest, ground.top, digest, f"build {site.build_id[:12]}"), site.context)
        ground.add_layer(chain_id, digest, digest)

    def _take(self, cached: Cache, ground: Ground) -> None:
        if cached.is_empty:
            return
        layer = self._core.log.get("layer", cached.chain_ids[-1])
        assert layer is not None
        ground.add_layer(layer.id, layer.diff_id, layer.blob_digest)
