"""Images: finding, naming, and putting on record what has come."""

from __future__ import annotations

from typing import Any, Sequence

from engine.domain.errors import InvalidArgument, NotFound, VersionConflict
from engine.domain.image import CreateImage, Image, ImageCreated, ImagePulled, Status, TagImage, UntagImage
from engine.domain.image import decide as decide_image
from engine.domain.image import evolve as evolve_image
from engine.domain.machine import Event
from engine.eventlog.log import Change, Context, Document
from engine.images.platforms import of_config, parse, runs
from engine.images.references import Reference
from engine.services.as_of import parse_time_us, resolve_as_of
from engine.services.core import Core
from engine.services.image_names import resolve_image, stored_name, tags_of
from engine.services.layers import Layers, Wanted
from engine.services.views import ImageView, parse_document


class Images:
    """Reads, names, and the record of whole images."""

    def __init__(self, core: Core, layers: Layers) -> None:
        self._core = core
        self._layers = layers

    # --- on record ---

    def create(self, created: ImageCreated, document: bytes, wanted: Sequence[Wanted], context: Context) -> None:
        """Unpack the layers that are missing and put the image on record. Their blobs must be in the store."""
        stored = Document("image-config", document)
        while True:
            self._layers.ensure_all(wanted, context)
            with self._core.recorder.exclusive(f"image/{stored.digest}"), self._layers.guard:
                if self._layers.all_stored(created.chain_ids):  # else somebody removed one with the image it was in
                    self._core.recorder.decide("image", stored.digest, CreateImage(created), context, [stored])
                    return

    def create_named(
        self, created: ImageCreated, document: bytes, wanted: Sequence[Wanted], names: Sequence[str], context: Context
    ) -> None:
        """The same, with names, and no prune in between, which would take an image that has none yet."""
        with self._core.recorder.exclusive(f"image/{created.image_id}"):
            self.create(created, document, wanted, context)
            for name in names:
                self.name(created.image_id, TagImage(name), context)

    def size_and_labels(self, document: bytes, chain_ids: Sequence[str]) -> tuple[int, dict[str, str]]:
        """What an image's events say of it."""
        labels = (parse_document(document).get("config") or {}).get("Labels") or {}
        return self._layers.size_bytes(chain_ids), labels

    def name(self, image_id: str, name: TagImage, context: Context, pulled: ImagePulled | None = None) -> bool:
        """Give an image names, taking them from images that had them; ``pulled`` is put on record with them, where it
        has its place. Answers whether anything changed."""
        log = self._core.log
        while True:
            changes, taken = [], list(filter(None, (name.reference, name.repository_digest)))
            holders = {holder.id for text in taken if (holder := log.by_name("image", text))} - {image_id}
            for holder_id in sorted(holders):
                state, version = log.load("image", holder_id)
                held = [text for text in taken if state is not None and text in state.references]
                events = [event for text in held for event in decide_image(state, UntagImage(text, image_id))]
                changes.append(Change("image", holder_id, version, events))
            state, version = log.load("image", image_id)
            first: list[Event] = [pulled] if pulled and state and state.status is Status.PULLING else []
            if first:
                state = evolve_image(state, first[0])
            events = [*first, *decide_image(state, name)]
            if not events:
                return False
            changes.append(Change("image", image_id, version, events))
            try:
                log.append(changes, context)
                return len(events) > len(first)
            except VersionConflict:
                continue

    def tag(self, reference: str, target: str, context: Context) -> None:
        """Give an image one more name, taking it from the image that had it."""
        image = resolve_image(self._core.log, reference)
        name = Reference.parse(target)
        if name.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        self.name(image.id, TagImage(name.normalized), context)

    # --- finding ---

    def list(self, *, as_of: str | None = None) -> list[ImageView]:
        """All images of the moment, oldest first."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        return [self._listed(image) for image in self._core.log.all("image", as_of=moment) if image.status == "present"]

    def get(self, reference: str, *, as_of: str | None = None, platform: str = "") -> ImageView:
        """Raises NotFound, also where the image is for another ``platform``."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        view = self._view(resolve_image(self._core.log, reference, moment))
        _check_platform(view, reference, platform)
        return view

    def check_platforms(self, image: Image, reference: str, platforms: Sequence[str]) -> None:
        """Raises NotFound where the image isn't for all of ``platforms``: what is stored here is for one."""
        for platform in platforms:
            _check_platform(self._view(image), reference, platform)

    def _listed(self, image: Image) -> ImageView:
        """One of the past, whose configuration has been redacted since, is shown without it."""
        try:
            return self._view(image)
        except NotFound:
            return ImageView(image, {})

    def _view(self, image: Image) -> ImageView:
        return ImageView(image, parse_document(self._core.log.document(image.id)))

    def made_us(self, image: Image) -> int:
        """When the image was made, as its configuration says; where that is no time, when it came."""
        created = parse_document(self._core.log.document(image.id)).get("created")
        try:
            return parse_time_us(created, 0) if isinstance(created, str) and created else image.created_at_us
        except InvalidArgument:
            return image.created_at_us

    def named(self, reference: str) -> list[str]:
        """All tags of the repository that a reference without tag or digest names; else the one that it names.

        They are normalized. Raises NotFound where there is none."""
        parsed = Reference.parse(reference)
        if parsed.tag or parsed.digest:
            return [stored_name(parsed)]
        start = f"{parsed.name}:"
        tags = (tag for image in self._core.log.all("image") for tag in tags_of(image))
        found = sorted(tag for tag in tags if tag.startswith(start))
        if not found:
            raise NotFound(f"No such image: {parsed.familiar}")
        return found

    def history(self, reference: str, *, platform: str = "") -> list[dict[str, Any]]:
        """Docker's history, newest first; sizes are those of the layers' files."""
        view = self.get(reference, platform=platform)
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
            names = [Reference.parse(name).familiar for name in tags_of(view.state)]
            rows[-1] |= {"Id": view.state.id, "Tags": names or None}
        return rows[::-1]


def _check_platform(view: ImageView, reference: str, platform: str) -> None:
    if platform and not runs(parse(platform), own := of_config(view.config)):
        raise NotFound(
            f"image with reference {reference} was found but its platform ({own}) does not match the specified "
            f"platform ({platform})"
        )
