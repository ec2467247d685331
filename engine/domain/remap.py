"""A copy of a layer whose owners on disk are the host's numbers of a user namespace: copying, present, failed, removed.

There are such copies only where the layers' file system can't be mounted with mapped owners. One serves all containers
with the same ranges; its id is the digest of the layer's chain ID and the ranges. It goes with its layer at the latest.
"""

from __future__ import annotations

from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    COPYING = "copying"
    PRESENT = "present"
    FAILED = "failed"
    REMOVED = "removed"


class RemapCopying(Event):
    """Intent: a tree is about to be written. The maps are those of user_namespaces(7), as text."""

    TYPE: ClassVar[str] = "remap.copying"
    OPENS: ClassVar[str] = "copy"
    remap_id: str
    chain_id: str
    uid_map: str
    gid_map: str


class RemapCopied(Event):
    """The tree is whole and synced."""

    TYPE: ClassVar[str] = "remap.copied"
    CLOSES: ClassVar[str] = "copy"
    remap_id: str


class RemapCopyFailed(Event):
    TYPE: ClassVar[str] = "remap.copy_failed"
    CLOSES: ClassVar[str] = "copy"
    remap_id: str
    reason: str


class RemapRemoved(Event):
    """Nobody gets it any more; its files are thrown away after this. ``reason``: ``layer``, which is about to go;
    ``prune``; or ``missing``, where somebody else has taken the files."""

    TYPE: ClassVar[str] = "remap.removed"
    remap_id: str
    reason: str


EVENTS: tuple[type[Event], ...] = (RemapCopying, RemapCopied, RemapCopyFailed, RemapRemoved)

TRANSITIONS: Table[Status] = {
    **{(status, RemapCopying): Status.COPYING for status in (None, Status.FAILED, Status.REMOVED)},
    (Status.COPYING, RemapCopied): Status.PRESENT,
    (Status.COPYING, RemapCopyFailed): Status.FAILED,
    **{(status, RemapRemoved): Status.REMOVED for status in (Status.PRESENT, Status.FAILED)},
}


class Remap(Record):
    """The fold of a copy's stream."""

    id: str
    status: Status
    chain_id: str
    uid_map: str
    gid_map: str
    error: str = ""
    intents: tuple[str, ...] = ()


def evolve(state: Remap | None, event: Event) -> Remap:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    intents = next_intents(state.intents if state else (), event)
    if isinstance(event, RemapCopying) and state is None:  # else it is of the same layer and ranges, as its id says
        return Remap(event.remap_id, status, event.chain_id, event.uid_map, event.gid_map, intents=intents)
    assert state is not None
    error = event.reason if isinstance(event, RemapCopyFailed) else ""
    return changed(state, {"status": status, "intents": intents, "error": error})


class CopyLayer(Record):
    copying: RemapCopying


class RemoveRemap(Record):
    """``used_by`` are the containers that run on it."""

    reason: str
    used_by: tuple[str, ...] = ()


Command = CopyLayer | RemoveRemap


def decide(state: Remap | None, command: Command) -> list[Event]:
    """Answer a command with events ([]: it is there already). Raises NotFound or Conflict."""
    match command:
        case CopyLayer(copying=copying):
            if state is not None and state.status is Status.COPYING:
                raise Conflict(f"the copy {state.id} is being made")
            return [] if state is not None and state.status is Status.PRESENT else [copying]
        case RemoveRemap(reason=reason, used_by=used_by):
            if state is None or state.status is Status.REMOVED:
                raise NotFound("no such copy of a layer")
            if used_by or state.status is Status.COPYING:
                raise Conflict(f"the copy {state.id} is in use")
            return [RemapRemoved(state.id, reason)]


def is_possible(state: Remap | None, event: Any) -> bool:
    """Whether a fact reported from below still has its place."""
    if event.CLOSES and (state is None or event.CLOSES not in state.intents):
        return False
    return (state.status if state else None, type(event)) in TRANSITIONS
