"""Images leave: a name, an image with what only it needs, or all that nobody uses."""

from __future__ import annotations

from typing import Sequence

from engine.domain.errors import Conflict, InvalidArgument
from engine.domain.image import Image, ImageRemoved, RemoveImage, Status, UntagImage
from engine.domain.prune import RecordPrune
from engine.eventlog.log import Context
from engine.images.references import Reference
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.image_names import (
    digests_of,
    no_such_image,
    repository_of,
    resolve_image,
    stored_name,
    tags_of,
)
from engine.services.images import Images
from engine.services.layers import Layers
from engine.services.recorder import caused_by
from engine.services.remaps import Remaps
from engine.services.selection import Filters, Selection, asks

Outcome = list[dict[str, str]]
"""Docker's list: ``{"Untagged": name}`` and ``{"Deleted": id}``, in order."""


class ImageRemoval:
    """``docker rmi`` and ``docker image prune``, by Docker's rules.

    One of them is ours: forced removal of an image that a stopped container was made from only takes its names away.
    """

    def __init__(self, core: Core, layers: Layers, images: Images, blobs: Blobs, remaps: Remaps) -> None:
        self._core = core
        self._remaps = remaps
        self._layers = layers
        self._images = images
        self._blobs = blobs

    def remove(
        self, reference: str, *, force: bool = False, prune: bool = True, platforms: Sequence[str] = (),
        context: Context,
    ) -> Outcome:  # fmt: skip
        """By a name: the name goes, and the image with its last one. By an id: the image goes, with the names of one
        repository; of several only by force. Raises NotFound, also where it isn't for all of ``platforms``, and
        Conflict where somebody uses it.

        ``prune`` (the removal of untagged parents) means nothing: images here have no parents.
        """
        image = resolve_image(self._core.log, reference)
        with self._core.recorder.exclusive(f"image/{image.id}"):
            state = self._core.log.get("image", image.id)
            if state is None or state.status is not Status.PRESENT:
                raise no_such_image(reference)
            self._images.check_platforms(state, reference, platforms)
            if name := _named(state, reference):
                return self._remove_name(state, name, force, context)
            return self._remove_by_id(state, force, context)

    def _remove_name(self, image: Image, name: str, force: bool, context: Context) -> Outcome:
        users = self._core.log.containers_of_image(image.id)
        if users and not force and _is_single(image):
            raise Conflict(
                f'conflict: unable to remove repository reference "{_familiar(name)}" (must force) - container '
                f"{users[0][:12]} is using its referenced image {image.id[7:19]}"
            )
        goes = [name]
        repository = repository_of(name)
        if "@" not in name and not any(repository_of(tag) == repository for tag in tags_of(image) if tag != name):
            goes += [digest for digest in digests_of(image) if repository_of(digest) == repository]
        if users or set(goes) != {*image.references}:
            return self._untag(image, goes, context)
        return self._delete(image, context)

    def _remove_by_id(self, image: Image, force: bool, context: Context) -> Outcome:
        short = image.id[7:19]
        users = self._core.log.containers_of_image(image.id)
        alive = [user for user in users if (state := self._core.log.get("container", user)) and state.up]
        if alive:
            raise Conflict(
                f"conflict: unable to delete {short} (cannot be forced) - image is being used by running container "
                f"{alive[0][:12]}"
            )
        if users and not force:
            raise Conflict(
                f"conflict: unable to delete {short} (must be forced) - image is being used by stopped container "
                f"{users[0][:12]}"
            )
        if not force and image.references and not _is_single(image):
            raise Conflict(
                f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
            )
        return self._untag(image, image.references, context) if users else self._delete(image, context)

    def _untag(self, image: Image, names: Sequence[str], context: Context) -> Outcome:
        wanted = self._blobs.of_image(image)
        for name in names:
            self._core.recorder.decide("image", image.id, UntagImage(name), context)
        if any("@" in name for name in names):  # what it was pushed as may be kept for that name alone
            self._blobs.release(wanted)
        return [{"Untagged": _familiar(name)} for name in names]

    def _delete(self, image: Image, context: Context) -> Outcome:
        intent = self._core.recorder.decide("image", image.id, RemoveImage(), context)[-1]
        removed = self.finish(image, caused_by(context, intent))
        return [
            *({"Untagged": _familiar(name)} for name in sorted(image.references, key=lambda name: "@" in name)),
            {"Deleted": image.id},
            *({"Deleted": chain_id} for chain_id in removed),
        ]

    def finish(self, image: Image, context: Context) -> list[str]:
        """The effect and the outcome of an open removal; may be done again after a crash. Answers with the chain IDs
        of the layers that went. A layer that resists is on record as such, without an image, and goes at the next
        start; the image is gone all the same."""
        wanted = self._blobs.of_image(image)
        for chain_id in image.chain_ids:
            if (layer := self._core.log.get("layer", chain_id)) is not None:
                wanted.add(layer.blob_digest)
        try:
            removed = self._layers.release(image.chain_ids, image.id, context)
            self._blobs.release(wanted)
        except Exception:
            self._core.recorder.record("image", image.id, ImageRemoved(image.id), context)
            raise
        self._core.recorder.record("image", image.id, ImageRemoved(image.id), context)
        return removed

    # --- prune ---

    def prune(self, filters: Filters, context: Context) -> tuple[Outcome, int]:
        """Remove what no container uses: images without a tag, with ``dangling=false`` every one; and what pulls that
        failed have left; and copies of layers. Answers with Docker's list and the bytes that the files took."""
        outcome: Outcome = []
        freed = 0
        selection, every = Selection.of(filters), asks(filters, "dangling") is False
        for image in self._core.log.all("image"):
            if not self._may_go(image, selection, every):
                continue
            with self._core.recorder.exclusive(f"image/{image.id}"):
                state = self._core.log.get("image", image.id)
                if state is None or not self._may_go(state, selection, every):
                    continue
                sizes = {chain_id: self._layers.size_bytes([chain_id]) for chain_id in state.chain_ids}
                try:
                    removed = self._delete(state, context)
                except Conflict:
                    continue  # it is being pushed
            freed += sum(sizes.get(entry.get("Deleted", ""), 0) for entry in removed)
            outcome += removed
        freed += self._remaps.prune(context)
        count = sum("Deleted" in entry for entry in outcome)
        self._core.recorder.decide("prune", "image", RecordPrune("image", count, freed), context)
        return outcome, freed

    def _may_go(self, image: Image, selection: Selection, every: bool) -> bool:
        if image.status is Status.FAILED:
            return not (selection.labels or selection.without or selection.until_us)
        if image.status is not Status.PRESENT or tags_of(image) and not every:
            return False
        if self._core.log.containers_of_image(image.id):
            return False
        made_us = self._images.made_us(image)
        return selection.allows(image.labels, made_us)


def _named(image: Image, reference: str) -> str:
    """The name of the image that the user typed; "" where it was an id."""
    try:
        name = stored_name(Reference.parse(reference))
    except InvalidArgument:
        return ""
    return name if name in image.references else ""


def _is_single(image: Image) -> bool:
    """Whether all names are of one repository, and at most one of them is a tag."""
    return len(tags_of(image)) <= 1 and len({repository_of(name) for name in image.references}) <= 1


def _familiar(name: str) -> str:
    return Reference.parse(name).familiar
