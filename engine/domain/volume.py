"""A volume's life: creating, present, removing, removed. Its id is its name.

After a failure or a removal a volume of the same name may be made again.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import PREVIOUS, Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    CREATING = "creating"
    PRESENT = "present"
    FAILED = "failed"
    REMOVING = "removing"
    REMOVED = "removed"


class VolumeCreating(Event):
    """Intent: the volume's folder is about to be made."""

    TYPE: ClassVar[str] = "volume.creating"
    OPENS: ClassVar[str] = "create"
    name: str
    created_at_us: int
    driver: str = "local"
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False


class VolumeCreated(Event):
    TYPE: ClassVar[str] = "volume.created"
    CLOSES: ClassVar[str] = "create"
    name: str


class VolumeCreateFailed(Event):
    TYPE: ClassVar[str] = "volume.create_failed"
    CLOSES: ClassVar[str] = "create"
    name: str
    reason: str


class VolumeRemoving(Event):
    """Intent: the volume's folder, and the data in it, are about to go."""

    TYPE: ClassVar[str] = "volume.removing"
    OPENS: ClassVar[str] = "remove"
    name: str


class VolumeRemoved(Event):
    TYPE: ClassVar[str] = "volume.removed"
    CLOSES: ClassVar[str] = "remove"
    name: str


class VolumeRemoveFailed(Event):
    TYPE: ClassVar[str] = "volume.remove_failed"
    CLOSES: ClassVar[str] = "remove"
    name: str
    reason: str


EVENTS: tuple[type[Event], ...] = (
    VolumeCreating, VolumeCreated, VolumeCreateFailed, VolumeRemoving, VolumeRemoved, VolumeRemoveFailed,
)  # fmt: skip

TRANSITIONS: Table[Status] = {
    **{(status, VolumeCreating): Status.CREATING for status in (None, Status.FAILED, Status.REMOVED)},
    (Status.CREATING, VolumeCreated): Status.PRESENT,
    (Status.CREATING, VolumeCreateFailed): Status.FAILED,
    **{(status, VolumeRemoving): Status.REMOVING for status in (Status.PRESENT, Status.FAILED)},
    (Status.REMOVING, VolumeRemoved): Status.REMOVED,
    (Status.REMOVING, VolumeRemoveFailed): PREVIOUS,
}


class Volume(Record):
    """The fold of a volume's stream."""

    id: str
    status: Status
    created_at_us: int
    driver: str
    labels: dict[str, str]
    options: dict[str, str]
    anonymous: bool
    error: str = ""
    resting: Status | None = None
    intents: tuple[str, ...] = ()


def evolve(state: Volume | None, event: Event) -> Volume:
    """Fold one event. Raises InvalidTransition."""
    before = state.status if state else None
    status = next_status(TRANSITIONS, before, event, state.resting if state else None)
    intents = next_intents(state.intents if state else (), event)
    if isinstance(event, VolumeCreating):
        return Volume(
            event.name, status, event.created_at_us, event.driver, event.labels, event.options, event.anonymous,
            intents=intents,
        )  # fmt: skip
    assert state is not None
    facts: dict[str, Any] = {"resting": before if isinstance(event, VolumeRemoving) else None}
    if isinstance(event, VolumeCreateFailed | VolumeRemoveFailed):
        facts["error"] = event.reason
    return changed(state, {"status": status, "intents": intents, **facts})


class CreateVolume(Record):
    creating: VolumeCreating


class RemoveVolume(Record):
    """``used_by`` are the ids of containers that mount the volume, running or not."""

    used_by: tuple[str, ...] = ()


def decide(state: Volume | None, command: CreateVolume | RemoveVolume) -> list[Event]:
    """Answer a command with events ([]: it is so already). Raises NotFound or Conflict."""
    match command:
        case CreateVolume(creating=creating):
            if state is not None and state.status is Status.PRESENT:
                if state.options != creating.options and creating.options:
                    raise Conflict(f'volume "{state.id}" exists already with other options')
                return []
            if state is not None and state.status in (Status.CREATING, Status.REMOVING):
                raise Conflict(f'volume "{state.id}" is {state.status}')
            return [creating]
        case RemoveVolume(used_by=used_by):
            if state is None or state.status is Status.REMOVED:
                raise NotFound("no such volume")
            if used_by:
                raise Conflict(f"remove {state.id}: volume is in use - [{', '.join(used_by)}]")
            if state.status in (Status.CREATING, Status.REMOVING):
                raise Conflict(f'volume "{state.id}" is {state.status}')
            return [VolumeRemoving(state.id)]


def is_possible(state: Volume | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
