"""A step that may change files: taken from the cache where its inputs are known, else made and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from engine.builder import keys
from engine.builder.ground import Ground
from engine.builder.keys import Inputs
from engine.builder.locks import Locks
from engine.builder.orders import Site
from engine.builder.step_cache import StepCache
from engine.domain.cache import CacheRecorded
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
        self._making = Locks()

    def step(
        self, inputs: Inputs, make: Callable[[], dict[str, Any]], ground: Ground, site: Site, place: str, *,
        linked: bool = False,
    ) -> Made:  # fmt: skip
        """``make`` answers with the blob of what it changed: ``{"digest", ...}``. The ground gets the layer.
        ``linked``: the layer is the same whatever it lies on."""
        inputs = {**inputs, "parent": "" if linked else ground.top, "epoch": site.epoch_s}
        document = keys.document_of(inputs)
        key = keys.key_of(document)
        if site.order.no_cache:
            made = self._make(inputs, key, document, make, ground, site, place)
        else:
            with self._making.held(key, site.check):  # whoever wants the same at once takes what the first one makes
                made = self._reused(key, ground, site, linked) or self._make(
                    inputs, key, document, make, ground, site, place
                )
        ground.add_step(key, is_layer=made.is_layer)
        return made

    # --- what is there ---

    def _reused(self, key: str, ground: Ground, site: Site, linked: bool) -> Made | None:
        cached = self._cache.find(key, site.standing)
        if cached is not None:
            if not cached.is_empty:
                self._take(cached.chain_ids[-1], ground, site)
            return Made("reused", "", key, not cached.is_empty, cached.created_at_us)
        step = site.imported.get(key)
        if step is None or not self._layers.all_stored(step.chain_ids):
            return None
        if not linked and (step.chain_ids if step.is_empty else step.chain_ids[:-1]) != ground.chain_ids:
            return None  # an image's word for a layer counts where the layer lies on the very same
        if not step.is_empty:
            self._take(step.chain_ids[-1], ground, site)
        return Made("reused", f"from {step.image}", key, not step.is_empty, step.created_us)

    def _take(self, chain_id: str, ground: Ground, site: Site) -> None:
        """The same layer, here on what it was made on or, a linked one, on something else: then it is a new one, which
        nothing refers to before the image does."""
        layer = self._core.log.get("layer", chain_id)
        assert layer is not None
        if self._add_layer(layer.diff_id, layer.blob_digest, ground, site):
            site.superseded.append(list(ground.chain_ids))

    # --- what is made ---

    def _make(
        self, inputs: Inputs, key: str, document: bytes, make: Callable[[], dict[str, Any]], ground: Ground,
        site: Site, place: str,
    ) -> Made:  # fmt: skip
        reason = "--no-cache" if site.order.no_cache else self._cache.why_not(inputs, place)
        site.tell({"docket": {"miss": reason}})
        digest = make()["digest"]
        if digest:
            self._add_layer(digest, digest, ground, site)  # a plain tar: its digest is the diff ID
        now_us = self._core.clock.now_us()
        recorded = CacheRecorded(
            key, list(ground.chain_ids), not digest, inputs["instruction"], place, key, site.build_id, now_us
        )  # fmt: skip
        losing = self._cache.record(recorded, document, site.context, replace=site.order.no_cache)
        site.superseded.append(losing)
        return Made("made", reason, key, bool(digest), now_us)

    def _add_layer(self, diff_id: str, blob: str, ground: Ground, site: Site) -> bool:
        """Answers whether it had to be unpacked."""
        chain_id = image_config.chain_ids([*ground.diff_ids, diff_id])[-1]
        site.standing.add(chain_id)
        is_new = not self._layers.is_stored(chain_id)
        if is_new:
            wanted = Wanted(chain_id, diff_id, ground.top, blob, f"build {site.build_id[:12]}")
            self._layers.ensure(wanted, site.context)
        ground.add_layer(chain_id, diff_id, blob)
        return is_new
