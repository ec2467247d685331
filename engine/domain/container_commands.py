"""What is asked of a container, and the events or the refusal that it answers with."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Callable, Mapping

from engine.domain.container import TRANSITIONS, Container, Status
from engine.domain.container_events import (
    ContainerAttached,
    ContainerCreated,
    ContainerFilesAccessed,
    ContainerKilling,
    ContainerPausing,
    ContainerRemoving,
    ContainerRenamed,
    ContainerRestartCancelled,
    ContainerStarting,
    ContainerStopping,
    ContainerUnpausing,
    ContainerUpdating,
)
from engine.domain.errors import Conflict, InvalidArgument, NotFound, NotModified
from engine.domain.machine import Event
from engine.domain.record import Record


class CreateContainer(Record):
    created: ContainerCreated


class StartContainer(Record):
    """``scheduled``: by the restart policy, which somebody may have been quicker than. ``attached``: the streams of
    each client of the same actor that waits for the start."""

    scheduled: bool = False
    attached: tuple[tuple[str, ...], ...] = ()


class AttachClient(Record):
    streams: tuple[str, ...]


class StopContainer(Record):
    signal: int
    timeout_s: int
    restarting: bool = False


class KillContainer(Record):
    signal: int


class PauseContainer(Record):
    pass


class UnpauseContainer(Record):
    pass


class FileAccess(StrEnum):
    READ = "read"
    WRITE = "write"
    EXPORT = "export"


class AccessFiles(Record):
    access: FileAccess
    path: str


class RenameContainer(Record):
    name: str


class UpdateContainer(Record):
    config_digest: str


class RemoveContainer(Record):
    remove_volumes: bool = False


Command = (
    CreateContainer | StartContainer | StopContainer | KillContainer | PauseContainer | UnpauseContainer
    | RenameContainer | RemoveContainer | UpdateContainer | AttachClient
)  # fmt: skip


def _decide_start(state: Container, command: StartContainer) -> list[Event]:
    if command.scheduled and state.status is not Status.RESTARTING:
        return []
    if state.status is Status.PAUSED:
        raise Conflict("cannot start a paused container, try unpause instead")
    if state.status in (Status.RUNNING, Status.STARTING):
        raise NotModified(f"container {state.id} is already started")
    if state.status is Status.STOPPING:
        raise Conflict(f"container {state.id} is being stopped: wait until it has exited")
    if state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict("container is marked for removal and cannot be started")
    return [*(ContainerAttached(state.id, [*streams]) for streams in command.attached), ContainerStarting(state.id)]


def _decide_stop(state: Container, command: StopContainer) -> list[Event]:
    if state.status is Status.STOPPING:
        return []  # the same stop is under way: the caller waits for it
    if state.status is Status.STARTING:
        raise Conflict(f"container {state.id} is starting: wait until it runs")
    if state.status is Status.RESTARTING:
        return [ContainerRestartCancelled(state.id)]
    if not state.alive:
        raise NotModified(f"container {state.id} is already stopped")
    return [ContainerStopping(state.id, command.signal, command.timeout_s, command.restarting)]


def _decide_kill(state: Container, command: KillContainer) -> list[Event]:
    if not 1 <= command.signal <= 64:
        raise InvalidArgument(f"invalid signal: {command.signal}")
    if not state.alive:
        raise Conflict(f"container {state.id} is not running")
    if "kill" in state.intents:
        raise Conflict(f"a signal is being sent to container {state.id} already")
    return [ContainerKilling(state.id, command.signal)]


def _decide_pause(state: Container, command: PauseContainer) -> list[Event]:
    if state.status is Status.PAUSED:
        raise Conflict(f"container {state.id} is already paused")
    if state.status is not Status.RUNNING:
        raise Conflict(f"container {state.id} is not running")
    if "pause" in state.intents:
        raise Conflict(f"container {state.id} is being paused already")
    return [ContainerPausing(state.id)]


def _decide_unpause(state: Container, command: UnpauseContainer) -> list[Event]:
    if state.status is not Status.PAUSED:
        raise Conflict(f"container {state.id} is not paused")
    if "unpause" in state.intents:
        raise Conflict(f"container {state.id} is being unpaused already")
    return [ContainerUnpausing(state.id)]


def _decide_rename(state: Container, command: RenameContainer) -> list[Event]:
    if command.name == state.name:
        raise InvalidArgument("renaming a container with the same name as its current name")
    if (state.status, ContainerRenamed) not in TRANSITIONS:
        raise Conflict(f"container {state.id} is {state.status}: it can't be renamed now")
    return [ContainerRenamed(state.id, command.name, state.name)]


def _decide_update(state: Container, command: UpdateContainer) -> list[Event]:
    if (state.status, ContainerUpdating) not in TRANSITIONS:
        raise Conflict(f"container {state.id} is {state.status}: it can't be updated now")
    if "update" in state.intents:
        raise Conflict(f"container {state.id} is being updated already")
    return [ContainerUpdating(state.id, command.config_digest)]


def _decide_remove(state: Container, command: RemoveContainer) -> list[Event]:
    if state.status is Status.REMOVING:
        raise Conflict(f"removal of container {state.id} is already in progress")
    if state.status is Status.PAUSED:
        raise Conflict(f'cannot remove container "{state.name}": container is paused and must be unpaused first')
    if state.alive or state.status in (Status.STARTING, Status.RESTARTING):
        doing = "restarting" if state.status is Status.RESTARTING else "running"
        raise Conflict(
            f'cannot remove container "{state.name}": container is {doing}: '
            "stop the container before removing or force remove"
        )
    return [ContainerRemoving(state.id, command.remove_volumes)]


def _decide_access(state: Container, command: AccessFiles) -> list[Event]:
    if (state.status, ContainerFilesAccessed) not in TRANSITIONS:
        raise Conflict(f"container {state.id} is {state.status}: its files are going")
    return [ContainerFilesAccessed(state.id, str(command.access), command.path)]


def _decide_attach(state: Container, command: AttachClient) -> list[Event]:
    if (state.status, ContainerAttached) not in TRANSITIONS:
        raise Conflict(f"container {state.id} is {state.status}: nobody can attach to it")
    return [ContainerAttached(state.id, [*command.streams])]


DECIDERS: Mapping[type, Callable[[Container, Any], list[Event]]] = {
    StartContainer: _decide_start,
    StopContainer: _decide_stop,
    KillContainer: _decide_kill,
    PauseContainer: _decide_pause,
    UnpauseContainer: _decide_unpause,
    RenameContainer: _decide_rename,
    AccessFiles: _decide_access,
    AttachClient: _decide_attach,
    RemoveContainer: _decide_remove,
    UpdateContainer: _decide_update,
}


def decide(state: Container | None, command: Command) -> list[Event]:
    """Answer a command with events. Raises NotFound, Conflict, NotModified or InvalidArgument."""
    if isinstance(command, CreateContainer):
        if state is not None:
            raise Conflict(f"container {state.id} exists already")
        return [command.created]
    if state is None or state.status is Status.REMOVED:
        raise NotFound("no such container")
    return DECIDERS[type(command)](state, command)
