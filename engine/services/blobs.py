"""Which blobs of the content store are wanted, and the removal of those that are not.

A blob is wanted by the images on record: their configurations, the manifests that they came with or were pushed as,
what these manifests list, and the blobs that their layers were unpacked from. While an archive or a pull is under way
its blobs are in the store and nothing on record wants them yet, so meanwhile nothing is removed; what was to go then is
looked at again when the last of them is done.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterable, Iterator

from engine.domain.errors import EngineError
from engine.domain.image import Image
from engine.domain.layer import Status as LayerStatus
from engine.images import manifests
from engine.images.content import ContentStore
from engine.images.documents import DOCUMENT_LIMIT_BYTES, parse_object
from engine.images.manifests import Manifest
from engine.services.core import Core
from engine.services.image_names import digests_of


class Blobs:
    """One for the engine."""

    def __init__(self, core: Core, content: ContentStore) -> None:
        self._core = core
        self._content = content
        self._lock = threading.Lock()
        self._arriving = 0
        self._released: set[str] = set()

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Blobs come in that nothing on record wants yet."""
        with self._lock:
            self._arriving += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving -= 1
            self._collect()

    def release(self, digests: Iterable[str]) -> None:
        """These may be wanted no longer. Raises OSError."""
        with self._lock:
            self._released.update(filter(None, digests))
        self._collect()

    def _collect(self) -> None:
        with self._lock:  # held over the removal, so that nobody begins to arrive meanwhile
            if self._arriving or not self._released:
                return
            here = [digest for digest in self._released if self._content.has(digest)]
            unwanted = set(here) - self.wanted() if here else set()
            for digest in sorted(unwanted):
                self._content.remove(digest)
            self._released.clear()

    def wanted(self) -> set[str]:
        """The digests of all blobs that something on record wants."""
        log = self._core.log
        wanted: set[str] = set()
        holds: set[str] = set()
        for image in log.all("image"):
            if image.status != "removing":
                wanted |= self.of_image(image)
                holds.update(image.chain_ids)
        holds.update(*(user.chain_ids for noun in ("cache", "container") for user in log.all(noun)))
        wanted |= {
            layer.blob_digest for layer in log.all("layer")
            if layer.status is LayerStatus.UNPACKING or layer.id in holds
        }  # fmt: skip
        return wanted - {""}

    def of_image(self, image: Image) -> set[str]:
        """What an image itself wants: configuration, manifests and indexes, and what manifests list."""
        wanted = {image.id}
        for digest in self.manifest_digests(image):
            wanted |= {digest} if self._content.has(digest) else set()  # an index may have it, too
            if (manifest := self.manifest(digest)) is not None:
                wanted |= {manifest.config.digest, *(layer.digest for layer in manifest.layers)}
        return wanted

    @staticmethod
    def manifest_digests(image: Image) -> list[str]:
        """Of manifests that may be in the store: the one that it came with first, then those under its names."""
        named = [name.partition("@")[2] for name in digests_of(image)]
        return list(dict.fromkeys(filter(None, [image.manifest_digest, *named])))

    def manifest(self, digest: str) -> Manifest | None:
        """A manifest in the store; None where there is none, or the digest is an index's."""
        try:
            if not self._content.has(digest):
                return None
            body = self._content.read(digest, DOCUMENT_LIMIT_BYTES)
            return manifests.parse_manifest(body, media_type_of(body))
        except EngineError:
            return None

    def document(self, digest: str) -> bytes | None:
        """A manifest or an index in the store."""
        try:
            return self._content.read(digest, DOCUMENT_LIMIT_BYTES) if self._content.has(digest) else None
        except EngineError:
            return None

    def whole_manifest(self, image: Image) -> tuple[str, Manifest] | None:
        """A manifest of the image of which the store has every blob, and its digest."""
        for digest in self.manifest_digests(image):
            manifest = self.manifest(digest)
            if manifest is not None and manifest.config.digest == image.id:
                blobs = (manifest.config, *manifest.layers)
                if all(self._content.has(blob.digest) for blob in blobs):
                    return digest, manifest
        return None

    def unwanted(self) -> list[str]:
        """Blobs in the store that nothing on record wants; nobody may be bringing any."""
        return sorted(set(self._content.digests()) - self.wanted())

    def sweep(self) -> int:
        """Remove them: at start, when nobody brings any. Answers with their number. Raises OSError."""
        unwanted = self.unwanted()
        for digest in unwanted:
            self._content.remove(digest)
        return len(unwanted)


def media_type_of(manifest: bytes) -> str:
    """OCI leaves the field out at times; Docker never does. Raises InvalidArgument."""
    own = parse_object(manifest, "the manifest").get("mediaType")
    return own if isinstance(own, str) else manifests.OCI_MANIFEST
