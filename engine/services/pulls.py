"""Images from registries.

    resolve the reference -> fetch the configuration -> image.pulling -> each layer: layer.unpacking, fetch and unpack,
    layer.fetched, layer.stored -> image.pulled and image.tagged in one transaction

Layers are unpacked while their blobs come, several at once; a small blob is fetched first, and then unpacked. What an
interrupted pull has left, fetched or unpacked, is used by the next one.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Iterator, Sequence

from engine.domain.errors import InvalidArgument, describe
from engine.domain.image import ImagePulled, ImagePullFailed, ImagePulling, PullImage, Status, TagImage
from engine.domain.layer import LayerFetched
from engine.eventlog.log import Context, Document
from engine.images import config as image_config
from engine.images.compression import check_supported
from engine.images.content import ContentStore
from engine.images.documents import DOCUMENT_LIMIT_BYTES
from engine.images.manifests import Descriptor, Platform
from engine.images.platforms import of_config, parse, runs
from engine.images.references import Reference
from engine.images.registry.cancellation import Cancelled
from engine.images.registry.client import Registries, Repository
from engine.images.registry.credentials import Credentials
from engine.images.registry.downloads import Download, Downloads
from engine.images.registry.transfers import Progress, Resolved
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.image_names import stored_name
from engine.services.images import Images
from engine.services.layers import ENSURED_AT_ONCE, Layers, Wanted, wanted_layers
from engine.services.operations import News, Notice, Operation, told
from engine.services.recorder import caused_by

_FOLLOWED_BYTES = 1 << 20
"""A blob that is as large as this is unpacked while it comes; a small one is there before a worker is."""
_SHORT = slice(7, 19)


class Pulls:
    """The use case; any number at once."""

    def __init__(
        self, core: Core, content: ContentStore, layers: Layers, images: Images, blobs: Blobs,
        registries: Registries, downloads: Downloads,
    ) -> None:  # fmt: skip
        self._core = core
        self._content = content
        self._layers = layers
        self._images = images
        self._blobs = blobs
        self._registries = registries
        self._downloads = downloads
        self._active: dict[str, int] = {}

    def pull(
        self, reference: Reference, *, platform: str | None, credentials: Credentials, departed: threading.Event,
        context: Context, every_tag: bool = False,
    ) -> Iterator[Notice]:  # fmt: skip
        """Bring one image, or one for each tag of the repository, telling what happens. ``platform`` is this machine's
        where None. Raises what Repository raises, before the first notice where the reference is the reason."""
        wanted = parse(platform) if platform else None
        if every_tag and (reference.tag or reference.digest):
            raise InvalidArgument("tag can't be used with --all-tags/-a")
        with Operation(departed) as operation, self._blobs.arriving():
            with self._registries.repository(reference, credentials, operation.cancellation) as repository:
                names = repository.tags() if every_tag else [reference.digest or reference.tag or "latest"]
                changed = False
                for name in names:
                    one = reference._replace(tag=name, digest="") if every_tag else reference
                    changed |= yield from self._pull_one(one, name, repository, wanted, operation, context)
        shown = reference.familiar_name if every_tag else Reference.parse(stored_name(reference)).familiar
        yield Notice(f"Status: {'Downloaded newer image' if changed else 'Image is up to date'} for {shown}")

    def _pull_one(
        self, reference: Reference, name: str, repository: Repository, wanted: Platform | None,
        operation: Operation, context: Context,
    ) -> Iterator[Notice]:  # fmt: skip
        """Answers whether a name means another image now."""
        there = self._core.log.by_name("image", stored_name(reference)) is not None
        resolved = repository.resolve(wanted, name, self._blobs.document if there else None)
        yield Notice(f"Pulling from {reference.path}", name)
        document, diff_ids = self._configuration(repository, resolved, wanted)
        chain_ids = image_config.chain_ids(diff_ids)
        blobs = [layer.digest for layer in resolved.manifest.layers]
        layers = wanted_layers(chain_ids, diff_ids, blobs, stored_name(reference))
        for document_ in {resolved.top.digest: resolved.top, resolved.document.digest: resolved.document}.values():
            if not self._content.has(document_.digest):
                self._content.add(document_.body)
        pulling = ImagePulling(
            resolved.manifest.config.digest, chain_ids, stored_name(reference), resolved.top.digest,
            resolved.document.digest, resolved.source, str(resolved.platform or ""),
        )  # fmt: skip
        image = self._core.log.get("image", pulling.image_id)
        known = image is not None and image.status is Status.PRESENT
        with self._begun(pulling, document, context) as cause:
            yield from self._bring(layers, resolved.manifest.layers, repository, operation, cause, known)
            changed = self._finish(pulling, document, reference, context)
        yield Notice(f"Digest: {resolved.top.digest}")
        return changed

    def _configuration(
        self, repository: Repository, resolved: Resolved, wanted: Platform | None
    ) -> tuple[bytes, list[str]]:
        """The configuration and its diff IDs. What can't be used is refused before anything large is fetched."""
        manifest = resolved.manifest
        if manifest.config.size_bytes > DOCUMENT_LIMIT_BYTES:
            raise InvalidArgument(
                f"the image's configuration of {manifest.config.size_bytes} bytes is larger than the limit of "
                f"{DOCUMENT_LIMIT_BYTES} bytes"
            )
        for layer in manifest.layers:
            if layer.media_type.endswith("zstd"):
                check_supported("zstd", layer.digest)
        self._downloads.start(repository, manifest.config).result()
        document = self._content.read(manifest.config.digest, DOCUMENT_LIMIT_BYTES)
        config = image_config.parse(document)
        diff_ids = config["rootfs"]["diff_ids"]
        if len(diff_ids) != len(manifest.layers):
            raise InvalidArgument(
                f"the manifest has {len(manifest.layers)} layers but the image's configuration lists {len(diff_ids)}"
            )
        if wanted is not None and not runs(wanted, own := of_config(config)):
            raise InvalidArgument(f"the image is for platform {own}, not for {wanted}")
        return document, diff_ids

    # --- the record ---

    @contextmanager
    def _begun(self, pulling: ImagePulling, document: bytes, context: Context) -> Iterator[Context]:
        """The intent, where the image is not there; and its outcome where it fails and nobody else is at it."""
        image_id, recorder = pulling.image_id, self._core.recorder
        with recorder.exclusive(f"image/{image_id}"):
            stored = Document("image-config", document)
            intents = recorder.decide("image", image_id, PullImage(pulling), context, [stored])
            self._active[image_id] = self._active.get(image_id, 0) + 1
        reason = ""
        try:
            yield caused_by(context, intents[-1]) if intents else context
        except BaseException as error:
            reason = "the client left" if isinstance(error, GeneratorExit) else describe(error)
            raise
        finally:
            with recorder.exclusive(f"image/{image_id}"):
                self._active[image_id] -= 1
                if not self._active[image_id]:
                    del self._active[image_id]
                    if reason:
                        recorder.record("image", image_id, ImagePullFailed(image_id, reason), context)

    def _finish(self, pulling: ImagePulling, document: bytes, reference: Reference, context: Context) -> bool:
        size_bytes, labels = self._images.size_and_labels(document, pulling.chain_ids)
        pulled = ImagePulled(pulling.image_id, size_bytes, self._core.clock.now_us(), labels)
        digest = "" if reference.digest else f"{reference.name}@{pulling.digest}"
        before = self._core.log.by_name("image", stored_name(reference))
        name = TagImage(stored_name(reference), digest, pulling.source)
        with self._core.recorder.exclusive(f"image/{pulling.image_id}"):
            self._images.name(pulling.image_id, name, context, pulled)
        return before is None or before.id != pulling.image_id

    # --- layers ---

    def _bring(
        self, layers: Sequence[Wanted], descriptors: Sequence[Descriptor], repository: Repository,
        operation: Operation, context: Context, known: bool,
    ) -> Iterator[Notice]:  # fmt: skip
        """Have every layer stored. Where one fails the others are given up, and its error is raised. Of an image that
        is ``known`` nothing is told when nothing is missing."""
        news: News = queue.SimpleQueue()
        # a layer that came in another form, perhaps in an archive, has a blob that is not the manifest's
        pairs = list(zip(layers, descriptors, strict=True))
        missing = [
            (layer, descriptor) for layer, descriptor in pairs
            if not (self._layers.is_stored(layer.chain_id) and self._content.has(layer.blob_digest))
        ]  # fmt: skip
        if not missing and known:
            return
        for pair in pairs:
            yield Notice("Pulling fs layer" if pair in missing else "Already exists", pair[1].digest[_SHORT])
        if not missing:
            return
        downloads: list[Download] = []
        operation.cancellation.on_cancel(news, lambda: news.put(Cancelled("operation was cancelled")))
        pool = ThreadPoolExecutor(min(ENSURED_AT_ONCE, len(missing)), "pull")
        try:
            for layer, descriptor in missing:
                teller = _Teller(news, descriptor.digest[_SHORT])
                downloads.append(self._downloads.start(repository, descriptor, teller.listen))
                pool.submit(self._bring_one, layer, downloads[-1], teller, operation, context)
            yield from told(news, len(missing))
        finally:
            operation.cancellation.forget(news)
            for download in downloads:
                download.cancel()
            pool.shutdown(wait=True, cancel_futures=True)

    def _bring_one(
        self, layer: Wanted, download: Download, teller: _Teller, operation: Operation, context: Context
    ) -> None:
        coming = _Coming(layer, download, teller, operation, self._content)
        try:
            if download.blob.size_bytes >= _FOLLOWED_BYTES and download.is_coming():
                self._layers.ensure(layer, context, coming=coming)
                coming.result()  # of a tree that is there already the blob alone is wanted
            else:
                self._layers.ensure(layer, context, coming.result())
            teller.tell("Pull complete")
            teller.done()
        except BaseException as error:  # carried over to the pull, which raises it
            teller.news.put(error)


class _Coming:
    """The blob of one layer, as Layers wants it."""

    def __init__(
        self, layer: Wanted, download: Download, teller: _Teller, operation: Operation, content: ContentStore
    ) -> None:
        self._layer = layer
        self._download = download
        self._teller = teller
        self._operation = operation
        self._content = content
        self._told = False

    def followed(self) -> AbstractContextManager[list[int]]:
        self._download.when_whole(self._tell)
        return self._download.followed(self._content)

    def result(self) -> LayerFetched | None:
        """How the blob came; None where it was there."""
        got = self._download.result()
        self._operation.cancellation.check()
        self._tell()
        if not got.source:
            return None
        return LayerFetched(
            self._layer.chain_id, got.digest, got.size_bytes, got.received_bytes, got.source, self._layer.source
        )

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._teller.tell("Download complete")
            self._teller.tell("Extracting")


class _Teller:
    """What one layer's threads tell."""

    def __init__(self, news: News, id: str) -> None:
        self.news = news
        self._id = id

    def tell(self, status: str) -> None:
        self.news.put(Notice(status, self._id))

    def listen(self, progress: Progress) -> None:
        status = "Retrying" if progress.action == "retrying" else "Downloading"
        self.news.put(Notice(status, self._id, progress.done_bytes, progress.total_bytes))

    def done(self) -> None:
        self.news.put(None)
