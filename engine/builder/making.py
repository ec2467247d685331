"""What a build leaves: an image on record with its names, or an archive for the client."""

from __future__ import annotations

from typing import Iterator

from engine.builder import keys
from engine.builder.ground import Ground
from engine.builder.orders import Site
from engine.builder.step_cache import StepCache
from engine.builder.usage import WHOLE
from engine.domain.cache import CacheRecorded
from engine.domain.image import ImageCreated
from engine.eventlog.log import Document
from engine.images import config as image_config
from engine.images.content import ContentStore
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.images import Images
from engine.services.job_streams import output_of
from engine.services.layers import wanted_layers


class Making:
    """One for the engine."""

    def __init__(
        self, core: Core, content: ContentStore, images: Images, cache: StepCache, blobs: Blobs
    ) -> None:  # fmt: skip
        self._core = core
        self._content = content
        self._images = images
        self._cache = cache
        self._blobs = blobs

    def image(self, site: Site, ground: Ground) -> str:
        """Put the image on record, with its names. Answers with its id."""
        document, recorded, timeless = self._document(site, ground)
        stored = Document("image-config", document)
        size_bytes, labels = self._images.size_and_labels(document, ground.chain_ids)
        created = ImageCreated(
            stored.digest, ground.chain_ids, size_bytes, self._core.clock.now_us(), "build", f"build {site.build_id}",
            labels=labels,
        )  # fmt: skip
        self._store(document)
        wanted = wanted_layers(ground.chain_ids, ground.diff_ids, ground.blobs, f"build {site.build_id[:12]}")
        self._images.create_named(created, document, wanted, site.order.references, site.context)
        if recorded is not None:
            self._cache.record(recorded, timeless, site.context)
        return stored.digest

    def _document(self, site: Site, ground: Ground) -> tuple[bytes, CacheRecorded | None, bytes]:
        """The configuration, and what is to be remembered of it. Its time is that of the first time that this very
        image was built: built again, it is the same image."""
        order = site.order
        if order.labels:
            ground.settings["Labels"] = {**(ground.settings.get("Labels") or {}), **order.labels}
        timeless = keys.document_of({"instruction": "image", "config": ground.document(0).decode()})
        key = keys.key_of(timeless)
        known = None if order.no_cache else self._core.log.get("cache", key)
        epoch_us = None if site.epoch_s is None else site.epoch_s * 1_000_000
        created_us = epoch_us if epoch_us is not None else known.created_at_us if known else self._core.clock.now_us()
        place = f"{order.dockerfile}#image"
        recorded = CacheRecorded(key, ground.chain_ids, True, WHOLE, place, key, site.build_id, created_us)
        return ground.document(created_us, epoch_us), recorded if known is None else None, timeless

    def _store(self, document: bytes) -> str:
        digest = image_config.digest_of(document)
        if not self._content.has(digest):
            self._content.add(document)
        return digest

    # --- archives ---

    def archive(self, site: Site, ground: Ground) -> Iterator[bytes]:
        """The file system (``tar``), or the image as an OCI layout with Docker's manifest beside it (``oci``)."""
        run_job = self._core.runtime.run_job
        if site.order.output == "tar":
            lower = [str(self._core.store.layer(chain_id)) for chain_id in reversed(ground.chain_ids)]
            root = {"lower": lower, "scratch": str(site.scratch())}
            return output_of(lambda fds: run_job("build.export", {"root": root, "latest_s": site.epoch_s}, fds))
        document, recorded, timeless = self._document(site, ground)
        if recorded is not None:
            self._cache.record(recorded, timeless, site.context)
        image = {
            "config_digest": self._store(document), "manifest_digest": "", "layers": ground.blobs,
            "tags": list(site.order.references),
        }  # fmt: skip
        self._blobs.release([image["config_digest"]])  # when the build is over, where no image has it
        job = {"content": str(self._content.root), "images": [image]}
        return output_of(lambda fds: run_job("archive.write", job, fds))
