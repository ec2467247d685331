"""An image's life: present, removing, removed. Its id is the digest of its configuration (``sha256:...``).

References (``docker.io/library/base:latest``) move between images: the move is an untagging here and a tagging there
in one transaction, so that a reference names at most one image at any moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Table, next_intents, next_status


class Status(StrEnum):
    PRESENT = "present"
    REMOVING = "removing"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ImageCreated(Event):
    """The image is whole: its configuration is the document ``image_id``, its layers are stored.

    ``chain_ids`` run from the base upwards; ``origin`` says how it came (``import``, ``load``, ``pull``, ``build``,
    ``commit``) and ``source`` from where; ``size_bytes`` is the sum over its layers' files.
    """

    TYPE: ClassVar[str] = "image.created"
    image_id: str
    chain_ids: list[str]
    size_bytes: int
    created_at_us: int
    origin: str
    source: str = ""
    manifest_digest: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageTagged(Event):
    TYPE: ClassVar[str] = "image.tagged"
    image_id: str
    reference: str


@dataclass(frozen=True, slots=True)
class ImageUntagged(Event):
    """``moved_to`` is the image that has taken the reference over ("": it names nothing any more)."""

    TYPE: ClassVar[str] = "image.untagged"
    image_id: str
    reference: str
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class ImageRemoving(Event):
    """Intent: the configuration's blob and the layers that nobody else uses are about to go."""

    TYPE: ClassVar[str] = "image.removing"
    OPENS: ClassVar[str] = "remove"
    image_id: str


@dataclass(frozen=True, slots=True)
class ImageRemoved(Event):
    TYPE: ClassVar[str] = "image.removed"
    CLOSES: ClassVar[str] = "remove"
    image_id: str


EVENTS: tuple[type[Event], ...] = (ImageCreated, ImageTagged, ImageUntagged, ImageRemoving, ImageRemoved)

TRANSITIONS: Table = {
    **{(status, ImageCreated): Status.PRESENT for status in (None, Status.REMOVED)},
    (Status.PRESENT, ImageTagged): Status.PRESENT,
    (Status.PRESENT, ImageUntagged): Status.PRESENT,
    (Status.PRESENT, ImageRemoving): Status.REMOVING,
    (Status.REMOVING, ImageRemoved): Status.REMOVED,
}


@dataclass(frozen=True, slots=True)
class Image:
    """The fold of an image's stream. ``references`` are normalized and sorted."""

    id: str
    status: Status
    chain_ids: list[str]
    size_bytes: int
    created_at_us: int
    origin: str
    source: str
    manifest_digest: str
    labels: dict[str, str]
    references: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()


def evolve(state: Image | None, event: Event) -> Image:
    """Fold one event. Raises InvalidTransition."""
    status = Status(next_status(TRANSITIONS, state.status if state else None, event, None))
    if isinstance(event, ImageCreated):
        return Image(
            id=event.image_id, status=status, chain_ids=event.chain_ids, size_bytes=event.size_bytes,
            created_at_us=event.created_at_us, origin=event.origin, source=event.source,
            manifest_digest=event.manifest_digest, labels=event.labels,
        )  # fmt: skip
    assert state is not None
    facts: dict[str, Any] = {}
    match event:
        case ImageTagged(reference=reference):
            facts = {"references": tuple(sorted({*state.references, reference}))}
        case ImageUntagged(reference=reference):
            facts = {"references": tuple(name for name in state.references if name != reference)}
    return replace(state, status=status, intents=next_intents(state.intents, event), **facts)


@dataclass(frozen=True, slots=True)
class CreateImage:
    created: ImageCreated


@dataclass(frozen=True, slots=True)
class TagImage:
    reference: str


@dataclass(frozen=True, slots=True)
class UntagImage:
    reference: str
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class RemoveImage:
    """``used_by`` are the ids of containers made from the image, running or not."""

    used_by: tuple[str, ...] = ()


def decide(state: Image | None, command: CreateImage | TagImage | UntagImage | RemoveImage) -> list[Event]:
    """Answer a command with events ([]: it is so already). Raises NotFound or Conflict."""
    if isinstance(command, CreateImage):
        if state is None or state.status is Status.REMOVED:
            return [command.created]
        if state.status is Status.PRESENT:
            return []
        raise Conflict(f"image {state.id} is being removed")
    if state is None or state.status is Status.REMOVED:
        raise NotFound("no such image")
    if state.status is Status.REMOVING:
        raise Conflict(f"image {state.id} is being removed")
    match command:
        case TagImage(reference=reference):
            return [] if reference in state.references else [ImageTagged(state.id, reference)]
        case UntagImage(reference=reference, moved_to=moved_to):
            if reference not in state.references:
                raise NotFound(f"image {state.id} has no reference {reference!r}")
            return [ImageUntagged(state.id, reference, moved_to)]
        case RemoveImage(used_by=used_by):
            if used_by:
                raise Conflict(f"image {state.id} is in use by container {used_by[0][:12]}")
            untagged: list[Event] = [ImageUntagged(state.id, reference) for reference in state.references]
            return [*untagged, ImageRemoving(state.id)]


def is_possible(state: Image | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
