"""Images out of archives and into them: import, load, save."""

from __future__ import annotations

from typing import Any, BinaryIO, Iterator, Mapping, Sequence

from engine.domain.errors import InvalidArgument, NotFound
from engine.domain.image import Image, ImageCreated, SaveImage
from engine.eventlog.log import Context
from engine.images import config as image_config
from engine.images.compression import format_of
from engine.images.content import ContentStore, Readable
from engine.images.references import Reference
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.image_names import resolve_image
from engine.services.images import Images
from engine.services.job_streams import feed, output_of
from engine.services.layers import Layers, wanted_layers

_STORABLE = ("", "gzip", "zstd")
"""The compressions that a layer's media type can name: what comes in another is packed anew."""


class Archives:
    """The use cases of archives."""

    def __init__(
        self, core: Core, content: ContentStore, layers: Layers, images: Images, blobs: Blobs,
        limits: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._core = core
        self._content = content
        self._layers = layers
        self._images = images
        self._blobs = blobs
        self._limits = limits

    # --- import ---

    def import_(
        self, stream: BinaryIO, *, reference: str | None, changes: Sequence[str], message: str,
        platform: str | None, source: str, context: Context,
    ) -> str:  # fmt: skip
        """A root file system tarball as an image of one layer. Answers with the image's id."""
        name = Reference.parse(reference).normalized if reference else None
        settings = image_config.apply_changes({}, changes)
        with self._blobs.arriving():
            came: list[str] = []
            try:
                blob = self._ingest(stream, came)
                job = {"blob": str(self._content.path(blob)), "limits": self._limits}
                diff_id = self._core.runtime.run_job("layer.digest", job)["diff_id"]
                document = image_config.imported(
                    diff_id, settings, created_at_us=self._core.clock.now_us(), platform=platform,
                    comment=message or f"Imported from {source}",
                )  # fmt: skip
                return self.add(document, [blob], "import", source, [name] if name else [], context)
            finally:
                self._blobs.release(came)

    def _ingest(self, stream: BinaryIO, came: list[str]) -> str:
        """The blob of an imported archive, in a compression that registries know. ``came`` gets all that is stored."""
        came.append(self._content.ingest(stream).digest)
        with self._content.open(came[0]) as file:
            if format_of(file.read(6)) in _STORABLE:
                return came[0]
        job = {"blob": str(self._content.path(came[0])), "content": str(self._content.root), "limits": self._limits}
        came.append(self._core.runtime.run_job("layer.compress", job)["digest"])
        return came[1]

    # --- load ---

    def load(self, stream: Readable, context: Context, platform: str | None = None) -> Iterator[dict[str, Any]]:
        """The images of a ``docker save`` archive or an OCI layout, with Docker's progress lines."""
        with self._blobs.arriving():
            found = self._read_archive(stream, platform)["images"]
            try:
                for image in found:
                    yield from self._load_image(image, context)
            finally:
                self._blobs.release(digest for image in found for digest in _digests(image))

    def _read_archive(self, stream: Readable, platform: str | None) -> dict[str, Any]:
        """A worker reads the archive from a pipe and writes its blobs: the bytes touch the disk once."""
        job = {"content": str(self._content.root), "platform": platform, "limits": self._limits}
        return feed(stream, lambda fds: self._core.runtime.run_job("archive.read", job, fds))

    def _load_image(self, image: Mapping[str, Any], context: Context) -> Iterator[dict[str, Any]]:
        config = self._content.read(image["config_digest"])
        blobs = [layer["digest"] for layer in image["layers"]]
        names = [Reference.parse(tag) for tag in image["tags"]]
        before = {name: self._core.log.by_name("image", name.normalized) for name in names}
        image_id = self.add(
            config, blobs, "load", "", [name.normalized for name in names], context, image.get("manifest_digest") or ""
        )
        if not names:
            yield {"stream": f"Loaded image ID: {image_id}\n"}
        for name, holder in before.items():
            if holder is not None and holder.id != image_id:
                words = f"already exists, renaming the old one with ID {holder.id} to empty string"
                yield {"stream": f"The image {name.familiar} {words}\n"}
            yield {"stream": f"Loaded image: {name.familiar}\n"}

    def add(
        self, document: bytes, blobs: Sequence[str], origin: str, source: str, names: Sequence[str], context: Context,
        manifest_digest: str = "",
    ) -> str:  # fmt: skip
        """Unpack what is missing, and put a whole image and its names on record."""
        config = image_config.parse(document)
        diff_ids = config["rootfs"]["diff_ids"]
        chain_ids = image_config.chain_ids(diff_ids)
        wanted = wanted_layers(chain_ids, diff_ids, blobs, origin)
        image_id = image_config.digest_of(document)
        try:
            self._layers.ensure_all(wanted, context)
            size_bytes, labels = self._images.size_and_labels(document, chain_ids)
            created = ImageCreated(
                image_id, chain_ids, size_bytes, self._core.clock.now_us(), origin, source, manifest_digest, labels
            )
            self._images.create_named(created, document, wanted, names, context)
        except Exception:
            self._layers.release(chain_ids, "", context)  # those that came for this image alone
            raise
        return image_id

    # --- save ---

    def save(self, references: Sequence[str], context: Context, platform: str = "") -> Iterator[bytes]:
        """An archive of images that every engine loads. A repository without a tag means all of its tags.

        Raises NotFound before the first byte is asked for, also where one is for another ``platform``.
        """
        chosen = self._chosen(references)
        for image, names in chosen:
            self._images.check_platforms(image, (names or [image.id])[0], [platform] if platform else [])
        for image in {image.id: image for image, _ in chosen}.values():
            self._core.recorder.decide("image", image.id, SaveImage(), context)
        return self._stream([self._contents(image, tags) for image, tags in chosen])

    def _chosen(self, references: Sequence[str]) -> list[tuple[Image, list[str]]]:
        tags: dict[str, list[str]] = {}
        images: dict[str, Image] = {}
        for reference in references:
            for name, image in self._meant(reference):
                images[image.id] = image
                tags.setdefault(image.id, []).extend([name] if name and name not in tags.get(image.id, ()) else [])
        return [(image, tags[image_id]) for image_id, image in images.items()]

    def _meant(self, reference: str) -> list[tuple[str, Image]]:
        """The tags that are meant with their images; "" for an image that was named by an id or a digest."""
        try:
            names = [] if reference.startswith("sha256:") else self._images.named(reference)
        except (InvalidArgument, NotFound):
            names = []  # an id
        if not names or "@" in names[0]:
            return [("", resolve_image(self._core.log, reference))]
        return [(name, resolve_image(self._core.log, name)) for name in names]

    def _contents(self, image: Image, tags: Sequence[str]) -> dict[str, Any]:
        """What of the image goes into the archive: by the manifest that it came with where all of that is here."""
        if not self._content.has(image.id):  # one that was made here
            self._content.add(self._core.log.document(image.id))
        whole = self._blobs.whole_manifest(image)
        if whole is not None:
            digest, manifest = whole
            layers = [layer.digest for layer in manifest.layers]
        else:
            digest, layers = "", [self._blob_of(chain_id) for chain_id in image.chain_ids]
        return {"config_digest": image.id, "manifest_digest": digest, "layers": layers, "tags": list(tags)}

    def _blob_of(self, chain_id: str) -> str:
        layer = self._core.log.get("layer", chain_id)
        return layer.blob_digest if layer is not None else ""

    def _stream(self, images: list[dict[str, Any]]) -> Iterator[bytes]:
        job = {"content": str(self._content.root), "images": images}
        return output_of(lambda fds: self._core.runtime.run_job("archive.write", job, fds))


def _digests(image: Mapping[str, Any]) -> Iterator[str]:
    yield image["config_digest"]
    yield image.get("manifest_digest") or ""
    for layer in image["layers"]:
        yield layer["digest"]
