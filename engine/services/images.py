"""Images: importing, loading, tagging, listing, removing."""

from __future__ import annotations

from typing import Any, BinaryIO, Iterator, Mapping, Sequence

from engine.domain.errors import Conflict, InvalidArgument, NotFound, VersionConflict
from engine.domain.image import CreateImage, Image, ImageCreated, ImageRemoved, RemoveImage, TagImage, UntagImage
from engine.domain.image import decide as decide_image
from engine.eventlog.log import Change, Context, Document, EventLog
from engine.images import config as image_config
from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.services.as_of import resolve_as_of
from engine.services.core import Core
from engine.services.layers import Layers
from engine.services.recorder import caused_by
from engine.services.selection import Filters, Selection, asks
from engine.services.views import ImageView, parse_document


def resolve_image(log: EventLog, reference: str, as_of: int | None = None) -> Image:
    """By reference, id, or unique id prefix. Raises NotFound, InvalidArgument where it is ambiguous or no name."""
    text = reference.strip()
    hexadecimal = text.removeprefix("sha256:")
    is_id = bool(hexadecimal) and all(digit in "0123456789abcdef" for digit in hexadecimal) and len(hexadecimal) <= 64
    if not (is_id and (text.startswith("sha256:") or len(hexadecimal) == 64)):
        normalized = Reference.parse(text).normalized
        if found := log.by_name("image", normalized, as_of=as_of):
            return found
    candidates = log.by_prefix("image", hexadecimal, as_of=as_of, limit=3) if is_id else []
    if not candidates:
        raise NotFound(f"No such image: {_shown(reference)}")
    if len(candidates) > 1:
        raise InvalidArgument(f"ambiguous image reference {reference!r}: give more digits of the id")
    return candidates[0]


def _shown(reference: str) -> str:
    """With the tag that is meant, as Docker's clients expect it in the message."""
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in reference else f"{reference}:latest"


class Images:
    """The use cases of images."""

    def __init__(self, core: Core, content: ContentStore, layers: Layers) -> None:
        self._core = core
        self._content = content
        self._layers = layers

    # --- coming ---

    def import_(
        self, stream: BinaryIO, *, reference: str | None, changes: Sequence[str], message: str,
        platform: str | None, source: str, context: Context,
    ) -> str:  # fmt: skip
        """A root file system tarball as an image of one layer. Answers with the image's id."""
        name = Reference.parse(reference).normalized if reference else None
        settings = image_config.apply_changes({}, changes)
        blob = self._content.ingest(stream)
        diff_id = self._core.runtime.run_job("layer.digest", {"blob": str(self._content.path(blob.digest))})["diff_id"]
        self._layers.ensure(diff_id, diff_id, "", blob.digest, "import", context)
        created_at_us = self._core.clock.now_us()
        document = image_config.imported(
            diff_id, settings, created_at_us=created_at_us, comment=message, platform=platform
        )
        return self._add(document, [diff_id], "import", source, name, context)

    def load(self, stream: BinaryIO, context: Context) -> Iterator[dict[str, Any]]:
        """The images of a ``docker save`` archive or an OCI layout, with Docker's progress lines."""
        archive = self._content.ingest(stream)
        path = self._content.path(archive.digest)
        try:
            found = self._core.runtime.run_job(
                "archive.read", {"archive": str(path), "content": str(self._content.root)}
            )
            for image in found["images"]:
                yield from self._load_image(image, context)
        finally:
            self._content.remove(archive.digest)

    def _load_image(self, image: Mapping[str, Any], context: Context) -> Iterator[dict[str, Any]]:
        config = self._content.read(image["config_digest"])
        diff_ids = image_config.parse(config)["rootfs"]["diff_ids"]
        chain_ids = image_config.chain_ids(diff_ids)
        parent = ""
        for chain_id, diff_id, layer in zip(chain_ids, diff_ids, image["layers"], strict=True):
            self._layers.ensure(chain_id, diff_id, parent, layer["digest"], "load", context)
            parent = chain_id
        names = [Reference.parse(tag) for tag in image["tags"]]
        image_id = self._add(
            config, chain_ids, "load", "", names[0].normalized if names else None, context,
            manifest_digest=image.get("manifest_digest") or "",
        )  # fmt: skip
        for name in names[1:]:
            self._tag(image_id, name.normalized, context)
        if not names:
            yield {"stream": f"Loaded image ID: {image_id}\n"}
        for name in names:
            yield {"stream": f"Loaded image: {name.familiar}\n"}

    def _add(
        self, document: bytes, chain_ids: Sequence[str], origin: str, source: str, reference: str | None,
        context: Context, manifest_digest: str = "",
    ) -> str:  # fmt: skip
        """Put a whole image on record, and its name with it in one transaction."""
        stored = Document("image-config", document)
        body = parse_document(document)
        created = ImageCreated(
            stored.digest, list(chain_ids), self._layers.size_bytes(chain_ids), self._core.clock.now_us(), origin,
            source, manifest_digest, (body.get("config") or {}).get("Labels") or {},
        )  # fmt: skip
        with self._core.recorder.exclusive(f"image/{stored.digest}"):
            self._core.recorder.decide("image", stored.digest, CreateImage(created), context, [stored])
            if reference:
                self._tag(stored.digest, reference, context)
        return stored.digest

    # --- names ---

    def tag(self, reference: str, target: str, context: Context) -> None:
        """Give an image one more name, taking it from the image that had it."""
        image = resolve_image(self._core.log, reference)
        name = Reference.parse(target)
        if name.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        self._tag(image.id, name.normalized, context)

    def _tag(self, image_id: str, reference: str, context: Context) -> None:
        log = self._core.log
        while True:
            changes = []
            holder = log.by_name("image", reference)
            if holder is not None and holder.id != image_id:
                state, version = log.load("image", holder.id)
                events = decide_image(state, UntagImage(reference, moved_to=image_id))
                changes.append(Change("image", holder.id, version, events))
            state, version = log.load("image", image_id)
            events = decide_image(state, TagImage(reference))
            if not events:
                return
            changes.append(Change("image", image_id, version, events))
            try:
                log.append(changes, context)
                return
            except VersionConflict:
                continue

    # --- going ---

    def remove(
        self, reference: str, *, force: bool = False, prune: bool = True, context: Context
    ) -> list[dict[str, str]]:
        """Docker's rules: a name of several is only untagged; an image in use is not deleted. Raises Conflict."""
        image = resolve_image(self._core.log, reference)
        with self._core.recorder.exclusive(f"image/{image.id}"):
            state = self._core.log.get("image", image.id)
            if state is None:
                raise NotFound(f"No such image: {_shown(reference)}")
            named = self._named(state, reference)
            users = self._core.log.containers_of_image(image.id)
            if named and len(state.references) > 1:
                return self._untag(state, [named], context)
            if not named and len(state.references) > 1 and not force:
                raise Conflict(
                    f"conflict: unable to delete {state.id[7:19]} (must be forced) - image is referenced in multiple "
                    "repositories"
                )
            if users:
                return self._remove_used(state, users, force, context)
            return self._delete(state, context)

    @staticmethod
    def _named(image: Image, reference: str) -> str:
        """The name of the image that the user typed; "" where it was an id."""
        try:
            normalized = Reference.parse(reference).normalized
        except InvalidArgument:
            return ""
        return normalized if normalized in image.references else ""

    def _remove_used(
        self, image: Image, users: Sequence[str], force: bool, context: Context
    ) -> list[dict[str, str]]:
        """Only the names go; the image itself stays for the containers made from it."""
        alive = [user for user in users if (state := self._core.log.get("container", user)) and state.up]
        if alive:
            raise Conflict(
                f"conflict: unable to delete {image.id[7:19]} (cannot be forced) - image is being used by running "
                f"container {alive[0][:12]}"
            )
        if not force:
            raise Conflict(
                f"conflict: unable to delete {image.id[7:19]} (must be forced) - image is being used by stopped "
                f"container {users[0][:12]}"
            )
        return self._untag(image, image.references, context)

    def _untag(self, image: Image, references: Sequence[str], context: Context) -> list[dict[str, str]]:
        for reference in references:
            self._core.recorder.decide("image", image.id, UntagImage(reference), context)
        return [{"Untagged": Reference.parse(reference).familiar} for reference in references]

    def _delete(self, image: Image, context: Context) -> list[dict[str, str]]:
        intent = self._core.recorder.decide("image", image.id, RemoveImage(), context)[-1]
        removed = self.finish_removal(image, caused_by(context, intent))
        return [
            *({"Untagged": Reference.parse(reference).familiar} for reference in image.references),
            {"Deleted": image.id},
            *({"Deleted": chain_id} for chain_id in removed),
        ]

    def finish_removal(self, image: Image, context: Context) -> list[str]:
        """The effect and the outcome of an open removal; may be done again after a crash."""
        released = self._layers.release(image.chain_ids, image.id, context)
        self._core.recorder.record("image", image.id, ImageRemoved(image.id), context)
        return released

    def prune(self, filters: Filters, context: Context) -> tuple[list[dict[str, str]], int]:
        """Remove dangling images, with ``dangling=false`` every unused one. Answers with Docker's list and bytes."""
        deleted: list[dict[str, str]] = []
        freed = 0
        selection, every = Selection.of(filters), asks(filters, "dangling") is False
        for image in self._core.log.all("image"):
            if image.references and not every or not selection.allows(image.labels, image.created_at_us):
                continue
            with self._core.recorder.exclusive(f"image/{image.id}"):
                if self._core.log.containers_of_image(image.id):
                    continue
                sizes = {chain_id: self._layers.size_bytes([chain_id]) for chain_id in image.chain_ids}
                outcome = self._delete(image, context)
            freed += sum(sizes.get(entry.get("Deleted", ""), 0) for entry in outcome)
            deleted += outcome
        return deleted, freed

    # --- finding ---

    def list(self, *, as_of: str | None = None) -> list[ImageView]:
        """All images of the moment, oldest first."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        return [self._view(image) for image in self._core.log.all("image", as_of=moment) if image.status == "present"]

    def get(self, reference: str, *, as_of: str | None = None) -> ImageView:
        """Raises NotFound."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        return self._view(resolve_image(self._core.log, reference, moment))

    def _view(self, image: Image) -> ImageView:
        return ImageView(image, parse_document(self._core.log.document(image.id)))

    def history(self, reference: str) -> list[dict[str, Any]]:
        """Docker's history, newest first; sizes are those of the layers' files."""
        view = self.get(reference)
        entries = view.config.get("history") or [{} for _ in view.state.chain_ids]
        chain_ids = iter(view.state.chain_ids)
        rows = []
        for entry in entries:
            chain_id = None if entry.get("empty_layer") else next(chain_ids, None)
            rows.append(
                {
                    "Id": "<missing>", "Created": entry.get("created", ""), "CreatedBy": entry.get("created_by", ""),
                    "Tags": None, "Size": self._layers.size_bytes([chain_id]) if chain_id else 0,
                    "Comment": entry.get("comment", ""),
                }
            )  # fmt: skip
        if rows:
            names = [Reference.parse(reference).familiar for reference in view.state.references]
            rows[-1] |= {"Id": view.state.id, "Tags": names or None}
        return rows[::-1]
