"""Images to registries: blobs first, the manifest last."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Iterator, NamedTuple, Sequence

from engine.domain.errors import InvalidArgument, NotFound, describe
from engine.domain.image import Image, ImagePushed, ImagePushFailed, PushImage
from engine.eventlog.log import Context
from engine.images import config as image_config
from engine.images import manifests
from engine.images.compression import format_of
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.references import Reference
from engine.images.registry.cancellation import Cancelled
from engine.images.registry.client import Registries, Repository
from engine.images.registry.credentials import Credentials
from engine.images.registry.transfers import Document, Progress, Pushed
from engine.services.blobs import Blobs, media_type_of
from engine.services.core import Core
from engine.services.image_names import digests_of, repository_of
from engine.services.images import Images
from engine.services.operations import News, Notice, Operation, told
from engine.services.recorder import caused_by

_SHORT = slice(7, 19)
_MOST_SOURCES = 5
"""Repositories that a registry is asked to mount a blob from."""


class _Plan(NamedTuple):
    """What is to be sent: the manifest, the configuration, and each layer with the id that is shown for it."""

    document: Document
    config: Descriptor
    layers: list[tuple[str, str, Descriptor]]


class Pushes:
    """The use case; several at once, but one of an image."""

    def __init__(
        self, core: Core, content: ContentStore, images: Images, blobs: Blobs, registries: Registries,
        limits: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._core = core
        self._content = content
        self._images = images
        self._blobs = blobs
        self._registries = registries
        self._limits = limits

    def push(
        self, reference: Reference, *, credentials: Credentials, departed: threading.Event, context: Context,
        every_tag: bool = False, platform: str = "",
    ) -> Iterator[Notice]:  # fmt: skip
        """Send one tag, or every tag of the repository, telling what happens. Raises NotFound where there is none, or
        one is for another ``platform``, and what Repository raises."""
        if reference.digest:
            raise InvalidArgument("cannot push a digest reference")
        names = self._names(reference, every_tag)
        for name in names:
            self._images.get(name, platform=platform)
        with Operation(departed) as operation:
            with self._registries.repository(reference, credentials, operation.cancellation) as repository:
                yield Notice(f"The push refers to repository [{reference.name}]")
                for name in names:
                    yield from self._push_one(Reference.parse(name), repository, operation, context)

    def _names(self, reference: Reference, every_tag: bool) -> list[str]:
        if every_tag:
            try:
                return self._images.named(reference.name)
            except NotFound as error:
                raise NotFound(
                    f"An image does not exist locally with the tag: {reference.familiar_name}"
                ) from error
        name = reference._replace(tag=reference.tag or "latest").normalized
        if self._core.log.by_name("image", name) is None:
            self._names(reference, every_tag=True)
            raise NotFound(f"tag does not exist: {Reference.parse(name).familiar}")
        return [name]

    def _push_one(
        self, reference: Reference, repository: Repository, operation: Operation, context: Context
    ) -> Iterator[Notice]:
        image = self._core.log.by_name("image", reference.normalized)
        if image is None:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        with self._core.recorder.exclusive(f"push/{image.id}"), self._blobs.arriving():
            with self._begun(image, reference, context) as cause:
                plan = self._plan(image)
                pushed: list[Pushed] = []
                yield from self._send(plan, reference, repository, operation, pushed)
                digest = repository.put_manifest(plan.document, reference.tag)
                how = [one.how for one in pushed]
                outcome = ImagePushed(
                    image.id, reference.normalized, f"{reference.name}@{digest}", sum(one.size_bytes for one in pushed),
                    how.count("exists"), how.count("mounted"), how.count("uploaded"),
                )  # fmt: skip
                self._core.recorder.record("image", image.id, outcome, cause)
        size = len(plan.document.body)
        aux = {"Tag": reference.tag, "Digest": digest, "Size": size}
        yield Notice(f"{reference.tag}: digest: {digest} size: {size}", aux=aux)

    @contextmanager
    def _begun(self, image: Image, reference: Reference, context: Context) -> Iterator[Context]:
        recorder = self._core.recorder
        intent = recorder.decide("image", image.id, PushImage(reference.normalized), context)[-1]
        cause = caused_by(context, intent)
        try:
            yield cause
        except BaseException as error:
            reason = "the client left" if isinstance(error, GeneratorExit) else describe(error)
            recorder.record("image", image.id, ImagePushFailed(image.id, reference.normalized, reason), cause)
            raise

    # --- what ---

    def _plan(self, image: Image) -> _Plan:
        """By a manifest that the image came with or was pushed as, where all of its blobs are here; else by a new one,
        for which layers that came uncompressed are packed. What is made goes again with a push that fails."""
        if not self._content.has(image.id):  # one that was made here
            self._content.add(self._core.log.document(image.id))
        whole = self._blobs.whole_manifest(image)
        if whole is None:
            digest = self._content.add(self._make_manifest(image)).digest
            self._blobs.release([digest])
            manifest = self._blobs.manifest(digest)
        else:
            digest, manifest = whole
        if manifest is None:
            raise NotFound(f"the manifest {digest} has vanished from the store")
        body = self._content.read(digest)
        diff_ids = image_config.parse(self._content.read(image.id))["rootfs"]["diff_ids"]
        layers = [
            (diff_id[_SHORT], chain_id, layer)
            for diff_id, chain_id, layer in zip(diff_ids, image.chain_ids, manifest.layers, strict=True)
        ]
        return _Plan(Document(media_type_of(body), digest, body), manifest.config, layers)

    def _make_manifest(self, image: Image) -> bytes:
        layers = []
        for chain_id in image.chain_ids:
            state = self._core.log.get("layer", chain_id)
            if state is None or not self._content.has(state.blob_digest):
                raise NotFound(f"layer {chain_id} has no blob in the store: run docket system fsck")
            with self._content.open(state.blob_digest) as file:
                compression = format_of(file.read(6))
            digest = state.blob_digest
            if compression not in ("gzip", "zstd"):
                job = {"blob": str(self._content.path(digest)), "content": str(self._content.root)}
                digest = self._core.runtime.run_job("layer.compress", {**job, "limits": self._limits})["digest"]
                self._blobs.release([digest])
                compression = "gzip"
            layers.append((manifests.layer_type(compression), digest, self._content.size_bytes(digest)))
        return manifests.make_manifest((image.id, self._content.size_bytes(image.id)), layers)

    # --- sending ---

    def _send(
        self, plan: _Plan, reference: Reference, repository: Repository, operation: Operation, pushed: list[Pushed]
    ) -> Iterator[Notice]:
        news: News = queue.SimpleQueue()
        blobs = [*plan.layers, ("", "", plan.config)]
        for shown, _, _ in reversed(plan.layers):
            yield Notice("Preparing", shown)
        operation.cancellation.on_cancel(news, lambda: news.put(Cancelled("operation was cancelled")))
        pool = ThreadPoolExecutor(max(1, self._registries.settings.uploads), "push")
        try:
            for shown, chain_id, blob in blobs:
                sources = self._sources(chain_id, reference) if chain_id else []
                pool.submit(self._send_one, shown, blob, sources, repository, pushed, news)
            yield from told(news, len(blobs))
        except BaseException:
            operation.cancellation.cancel()  # the others, too
            raise
        finally:
            operation.cancellation.forget(news)
            pool.shutdown(wait=True, cancel_futures=True)

    def _send_one(
        self, shown: str, blob: Descriptor, sources: Sequence[str], repository: Repository, pushed: list[Pushed],
        news: News,
    ) -> None:  # fmt: skip
        def listen(progress: Progress) -> None:
            if shown:
                status = "Retrying" if progress.action == "retrying" else "Pushing"
                news.put(Notice(status, shown, progress.done_bytes, progress.total_bytes))

        try:
            done = repository.push_blob(blob, self._content, listen, sources)
            pushed.append(done)
            if shown:
                news.put(Notice(_PUSHED[done.how].format(done.mounted_from), shown))
            news.put(None)
        except BaseException as error:  # carried over to the push, which raises it
            news.put(error)

    def _sources(self, chain_id: str, reference: Reference) -> list[str]:
        """Repositories of the same registry that are known to have the layer."""
        paths: dict[str, None] = {}
        for image_id in self._core.log.images_of_layer(chain_id):
            image = self._core.log.get("image", image_id)
            for name in digests_of(image) if image is not None else ():
                domain, _, path = repository_of(name).partition("/")
                if domain == reference.domain and path != reference.path:
                    paths[path] = None
        return list(paths)[:_MOST_SOURCES]


_PUSHED = {"exists": "Layer already exists", "mounted": "Mounted from {}", "uploaded": "Pushed"}
