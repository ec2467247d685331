"""An image's life: pulling, present, removing, removed. Its id is the digest of its configuration (``sha256:...``).

A pull that did not come to its end leaves the image ``failed``: nobody sees it, but it refers to the layers that have
come, so that they are accounted for, and used by the next attempt. Images that come whole (an archive) are created.

References (``docker.io/library/base:latest``) move between images: the move is an untagging here and a tagging there
in one transaction, so that a reference names at most one image at any moment.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    PULLING = "pulling"
    FAILED = "failed"
    PRESENT = "present"
    REMOVING = "removing"
    REMOVED = "removed"


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


class ImagePulling(Event):
    """Intent: layers are about to be fetched. ``reference`` was resolved to ``digest`` by the registry at ``source``;
    ``manifest_digest`` is the image's own manifest, another one where an index offered it for ``platform``."""

    TYPE: ClassVar[str] = "image.pulling"
    OPENS: ClassVar[str] = "pull"
    image_id: str
    chain_ids: list[str]
    reference: str
    digest: str
    manifest_digest: str
    source: str
    platform: str = ""


class ImagePulled(Event):
    """The image is whole: its layers are stored."""

    TYPE: ClassVar[str] = "image.pulled"
    CLOSES: ClassVar[str] = "pull"
    image_id: str
    size_bytes: int
    created_at_us: int
    labels: dict[str, str] = field(default_factory=dict)


class ImagePullFailed(Event):
    TYPE: ClassVar[str] = "image.pull_failed"
    CLOSES: ClassVar[str] = "pull"
    image_id: str
    reason: str


class ImageTagged(Event):
    """A name was given. Where a registry gave it, ``source`` is its address and ``repository_digest`` (``name@digest``,
    a reference of its own from now on) what the name meant there."""

    TYPE: ClassVar[str] = "image.tagged"
    image_id: str
    reference: str
    repository_digest: str = ""
    source: str = ""


class ImageUntagged(Event):
    """``moved_to`` is the image that has taken the reference over ("": it names nothing any more)."""

    TYPE: ClassVar[str] = "image.untagged"
    image_id: str
    reference: str
    moved_to: str = ""


class ImagePushing(Event):
    """Intent: blobs and a manifest are about to be sent to the registry that ``reference`` names."""

    TYPE: ClassVar[str] = "image.pushing"
    OPENS: ClassVar[str] = "push"
    image_id: str
    reference: str


class ImagePushed(Event):
    """The registry has the image as ``repository_digest``; of its blobs it had some, was told where to mount others
    from, and took the rest."""

    TYPE: ClassVar[str] = "image.pushed"
    CLOSES: ClassVar[str] = "push"
    image_id: str
    reference: str
    repository_digest: str
    size_bytes: int
    existing_blobs: int
    mounted_blobs: int
    uploaded_blobs: int


class ImagePushFailed(Event):
    TYPE: ClassVar[str] = "image.push_failed"
    CLOSES: ClassVar[str] = "push"
    image_id: str
    reference: str
    reason: str


class ImageSaved(Event):
    """Somebody was given the image as an archive."""

    TYPE: ClassVar[str] = "image.saved"
    image_id: str


class ImageRemoving(Event):
    """Intent: the configuration's blob and the layers that nobody else uses are about to go."""

    TYPE: ClassVar[str] = "image.removing"
    OPENS: ClassVar[str] = "remove"
    image_id: str


class ImageRemoved(Event):
    TYPE: ClassVar[str] = "image.removed"
    CLOSES: ClassVar[str] = "remove"
    image_id: str


EVENTS: tuple[type[Event], ...] = (
    ImageCreated, ImagePulling, ImagePulled, ImagePullFailed, ImageTagged, ImageUntagged, ImagePushing, ImagePushed,
    ImagePushFailed, ImageSaved, ImageRemoving, ImageRemoved,
)  # fmt: skip

TRANSITIONS: Table[Status] = {
    **{(status, ImageCreated): Status.PRESENT for status in (None, Status.FAILED, Status.REMOVED)},
    **{(status, ImagePulling): Status.PULLING for status in (None, Status.FAILED, Status.REMOVED)},
    (Status.PULLING, ImagePulled): Status.PRESENT,
    (Status.PULLING, ImagePullFailed): Status.FAILED,
    **{
        (Status.PRESENT, event): Status.PRESENT
        for event in (ImageTagged, ImageUntagged, ImagePushing, ImagePushed, ImagePushFailed, ImageSaved)
    },
    **{(status, ImageRemoving): Status.REMOVING for status in (Status.PRESENT, Status.FAILED)},
    (Status.REMOVING, ImageRemoved): Status.REMOVED,
}


class Image(Record):
    """The fold of an image's stream. ``references`` are normalized and sorted: tags, and repository digests."""

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
    error: str = ""
    intents: tuple[str, ...] = ()


def evolve(state: Image | None, event: Event) -> Image:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    if isinstance(event, ImageCreated | ImagePulling):
        return _begun(state, event, status)
    assert state is not None
    facts: dict[str, Any] = {}
    match event:
        case ImagePulled():
            facts = {
                "size_bytes": event.size_bytes, "created_at_us": event.created_at_us, "labels": event.labels,
                "error": "",
            }  # fmt: skip
        case ImagePullFailed(reason=reason):
            facts = {"error": reason}
        case ImageTagged(reference=reference, repository_digest=digest):
            facts = {"references": _with(state, reference, digest)}
        case ImagePushed(repository_digest=digest):
            facts = {"references": _with(state, digest)}
        case ImageUntagged(reference=reference):
            facts = {"references": tuple(name for name in state.references if name != reference)}
    return changed(state, {"status": status, "intents": next_intents(state.intents, event), **facts})


def _begun(state: Image | None, event: ImageCreated | ImagePulling, status: Status) -> Image:
    again = state is not None and state.status is Status.FAILED
    known: dict[str, Any] = {
        "id": event.image_id, "status": status, "source": event.source, "manifest_digest": event.manifest_digest,
        # an image's layers follow from its id: what it has referred to, it refers to
        "chain_ids": state.chain_ids if state is not None and again else event.chain_ids,
        "intents": next_intents((), event),
    }  # fmt: skip
    if isinstance(event, ImagePulling):
        return Image(**known, size_bytes=0, created_at_us=0, origin="pull", labels={})
    return Image(
        **known, size_bytes=event.size_bytes, created_at_us=event.created_at_us, origin=event.origin,
        labels=event.labels,
    )  # fmt: skip


def _with(state: Image, *references: str) -> tuple[str, ...]:
    return tuple(sorted({*state.references, *filter(None, references)}))


class CreateImage(Record):
    created: ImageCreated


class PullImage(Record):
    pulling: ImagePulling


class TagImage(Record):
    """``repository_digest`` and ``source`` as in ImageTagged."""

    reference: str
    repository_digest: str = ""
    source: str = ""


class UntagImage(Record):
    reference: str
    moved_to: str = ""


class PushImage(Record):
    reference: str


class SaveImage(Record):
    pass


class RemoveImage(Record):
    """``used_by`` are the ids of containers made from the image, running or not."""

    used_by: tuple[str, ...] = ()


Command = CreateImage | PullImage | TagImage | UntagImage | PushImage | SaveImage | RemoveImage


def decide(state: Image | None, command: Command) -> list[Event]:
    """Answer a command with events ([]: it is so already). Raises NotFound or Conflict."""
    if isinstance(command, CreateImage | PullImage):
        return _begin(state, command)
    if state is None or state.status is Status.REMOVED:
        raise NotFound("no such image")
    if state.status is Status.REMOVING:
        raise Conflict(f"image {state.id} is being removed")
    if isinstance(command, RemoveImage):
        return _remove(state, command)
    if state.status is not Status.PRESENT:
        raise NotFound("no such image")
    match command:
        case TagImage(reference=reference, repository_digest=digest, source=source):
            known = {reference, *filter(None, [digest])} <= {*state.references}
            return [] if known else [ImageTagged(state.id, reference, digest, source)]
        case UntagImage(reference=reference, moved_to=moved_to):
            if reference not in state.references:
                raise NotFound(f"image {state.id} has no reference {reference!r}")
            return [ImageUntagged(state.id, reference, moved_to)]
        case PushImage(reference=reference):
            if "push" in state.intents:
                raise Conflict(f"image {state.id} is being pushed")
            return [ImagePushing(state.id, reference)]
        case SaveImage():
            return [ImageSaved(state.id)]


def _begin(state: Image | None, command: CreateImage | PullImage) -> list[Event]:
    if state is None or state.status in (Status.REMOVED, Status.FAILED):
        return [command.created if isinstance(command, CreateImage) else command.pulling]
    if state.status is Status.PRESENT:
        return []
    if state.status is Status.PULLING and isinstance(command, PullImage):
        return []
    raise Conflict(f"image {state.id} is being {'pulled' if state.status is Status.PULLING else 'removed'}")


def _remove(state: Image, command: RemoveImage) -> list[Event]:
    if command.used_by:
        raise Conflict(f"image {state.id} is in use by container {command.used_by[0][:12]}")
    if state.status is Status.PULLING or "push" in state.intents:
        raise Conflict(f"image {state.id} is being {'pulled' if state.status is Status.PULLING else 'pushed'}")
    names = state.references if state.status is Status.PRESENT else ()
    return [*(ImageUntagged(state.id, reference) for reference in names), ImageRemoving(state.id)]


def is_possible(state: Image | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    if event.CLOSES and (state is None or event.CLOSES not in state.intents):
        return False
    return (state.status if state else None, type(event)) in TRANSITIONS
