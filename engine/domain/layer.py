"""A layer's life: fetched, unpacking, stored, removing, removed. Its id is its chain ID (OCI image specification).

A large blob is unpacked while it is being fetched: then it is fetched in the middle of its unpacking. After a failure
or a removal the same content may come again, so both lead back to unpacking.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    FETCHED = "fetched"
    UNPACKING = "unpacking"
    STORED = "stored"
    FAILED = "failed"
    REMOVING = "removing"
    REMOVED = "removed"


class LayerFetched(Event):
    """A registry gave the layer's blob. ``received_bytes`` came over the network for it (less than its size where an
    earlier attempt had left something), ``source`` is the address that gave it, ``reference`` for whose sake."""

    TYPE: ClassVar[str] = "layer.fetched"
    chain_id: str
    blob_digest: str
    size_bytes: int
    received_bytes: int
    source: str
    reference: str


class LayerUnpacking(Event):
    """Intent: a tree is about to be written. ``parent`` is the chain ID below ("" for a base layer); ``source`` says
    where the bytes come from (``import``, ``load``, a registry's reference), ``blob_digest`` which blob holds them."""

    TYPE: ClassVar[str] = "layer.unpacking"
    OPENS: ClassVar[str] = "unpack"
    chain_id: str
    diff_id: str
    parent: str
    source: str
    blob_digest: str = ""


class LayerStored(Event):
    """The tree is whole and synced. ``size_bytes`` is the sum of its regular files; ``warnings`` tell in what it is not
    what the archive says."""

    TYPE: ClassVar[str] = "layer.stored"
    CLOSES: ClassVar[str] = "unpack"
    chain_id: str
    size_bytes: int
    entries: int
    warnings: list[str] = field(default_factory=list)


class LayerUnpackFailed(Event):
    TYPE: ClassVar[str] = "layer.unpack_failed"
    CLOSES: ClassVar[str] = "unpack"
    chain_id: str
    reason: str


class LayerDamaged(Event):
    """A look at the store found something else than what was stored."""

    TYPE: ClassVar[str] = "layer.damaged"
    chain_id: str
    reason: str


class LayerRemoving(Event):
    """Intent: the tree is about to go; no image refers to it any more."""

    TYPE: ClassVar[str] = "layer.removing"
    OPENS: ClassVar[str] = "remove"
    chain_id: str


class LayerRemoved(Event):
    TYPE: ClassVar[str] = "layer.removed"
    CLOSES: ClassVar[str] = "remove"
    chain_id: str


class LayerRemoveFailed(Event):
    TYPE: ClassVar[str] = "layer.remove_failed"
    CLOSES: ClassVar[str] = "remove"
    chain_id: str
    reason: str


EVENTS: tuple[type[Event], ...] = (
    LayerFetched, LayerUnpacking, LayerStored, LayerUnpackFailed, LayerDamaged, LayerRemoving, LayerRemoved,
    LayerRemoveFailed,
)  # fmt: skip

TRANSITIONS: Table[Status] = {
    **{(status, LayerFetched): Status.FETCHED for status in (None, Status.FAILED, Status.REMOVED)},
    **{
        (status, LayerUnpacking): Status.UNPACKING
        for status in (None, Status.FETCHED, Status.FAILED, Status.REMOVED)
    },
    (Status.UNPACKING, LayerFetched): Status.UNPACKING,
    (Status.STORED, LayerDamaged): Status.FAILED,
    (Status.UNPACKING, LayerStored): Status.STORED,
    (Status.UNPACKING, LayerUnpackFailed): Status.FAILED,
    **{(status, LayerRemoving): Status.REMOVING for status in (Status.FETCHED, Status.STORED, Status.FAILED)},
    (Status.REMOVING, LayerRemoved): Status.REMOVED,
    (Status.REMOVING, LayerRemoveFailed): Status.FAILED,
}


class Layer(Record):
    """The fold of a layer's stream."""

    id: str
    status: Status
    diff_id: str
    parent: str
    source: str
    blob_digest: str
    size_bytes: int = 0
    entries: int = 0
    error: str = ""
    intents: tuple[str, ...] = ()


def evolve(state: Layer | None, event: Event) -> Layer:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    intents = next_intents(state.intents if state else (), event)
    if isinstance(event, LayerFetched) and status is not Status.UNPACKING:
        return Layer(event.chain_id, status, "", "", event.reference, event.blob_digest, intents=intents)
    if isinstance(event, LayerUnpacking):
        return Layer(
            event.chain_id, status, event.diff_id, event.parent, event.source, event.blob_digest, intents=intents
        )
    assert state is not None
    facts: dict[str, Any] = {}
    match event:
        case LayerStored(size_bytes=size_bytes, entries=entries):
            facts = {"size_bytes": size_bytes, "entries": entries, "error": ""}
        case LayerUnpackFailed(reason=reason) | LayerRemoveFailed(reason=reason) | LayerDamaged(reason=reason):
            facts = {"error": reason}
    return changed(state, {"status": status, "intents": intents, **facts})


class UnpackLayer(Record):
    """``fetched`` is how the blob came, where a registry gave it."""

    chain_id: str
    diff_id: str
    parent: str
    source: str
    blob_digest: str
    fetched: LayerFetched | None = None


class RemoveLayer(Record):
    """``used_by`` are the streams of what still refers to the layer: ``image/<id>``."""

    used_by: tuple[str, ...] = ()


def decide(state: Layer | None, command: UnpackLayer | RemoveLayer) -> list[Event]:
    """Answer a command with events. Raises NotFound or Conflict. A stored layer is not unpacked again: []."""
    match command:
        case UnpackLayer():
            if state is not None and state.status is Status.STORED:
                return []
            if state is not None and state.status in (Status.UNPACKING, Status.REMOVING):
                raise Conflict(f"layer {state.id} is {state.status}")
            unpacking = LayerUnpacking(
                command.chain_id, command.diff_id, command.parent, command.source, command.blob_digest
            )
            is_new = command.fetched is not None and (state is None or state.status is not Status.FETCHED)
            return [command.fetched, unpacking] if command.fetched and is_new else [unpacking]
        case RemoveLayer(used_by=used_by):
            if state is None or state.status is Status.REMOVED:
                raise NotFound("no such layer")
            if used_by:
                raise Conflict(f"layer {state.id} is in use by {' '.join(used_by[0].split('/', 1))}")
            if state.status in (Status.UNPACKING, Status.REMOVING):
                raise Conflict(f"layer {state.id} is {state.status}")
            return [LayerRemoving(state.id)]


def is_possible(state: Layer | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    if event.CLOSES and (state is None or event.CLOSES not in state.intents):
        return False
    return (state.status if state else None, type(event)) in TRANSITIONS
