"""An exec's life: one more process in a running container: created, starting, running, exited, failed."""

from __future__ import annotations

from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    FAILED = "failed"


class ExecCreated(Event):
    """``config_digest`` names the document with environment, user, working directory and streams."""

    TYPE: ClassVar[str] = "exec.created"
    exec_id: str
    container_id: str
    config_digest: str
    command: list[str]
    created_at_us: int
    privileged: bool = False
    tty: bool = False
    user: str = ""


class ExecStarting(Event):
    """Intent: a process is about to be put into the container."""

    TYPE: ClassVar[str] = "exec.starting"
    OPENS: ClassVar[str] = "start"
    exec_id: str
    container_id: str


class ExecStarted(Event):
    TYPE: ClassVar[str] = "exec.started"
    CLOSES: ClassVar[str] = "start"
    exec_id: str
    container_id: str
    pid: int
    started_at_us: int


class ExecStartFailed(Event):
    TYPE: ClassVar[str] = "exec.start_failed"
    CLOSES: ClassVar[str] = "start"
    exec_id: str
    container_id: str
    step: str
    reason: str
    exit_code: int


class ExecExited(Event):
    """``cause`` is ``exit``, or why nobody could see it end: ``container exited``, ``shim lost``, ``reboot``."""

    TYPE: ClassVar[str] = "exec.exited"
    exec_id: str
    container_id: str
    exit_code: int
    finished_at_us: int
    cause: str = "exit"


class ExecDetached(Event):
    """Somebody at its terminal left it by the detach keys, and it runs on."""

    TYPE: ClassVar[str] = "exec.detached"
    exec_id: str
    container_id: str


EVENTS: tuple[type[Event], ...] = (ExecCreated, ExecStarting, ExecStarted, ExecStartFailed, ExecExited, ExecDetached)

TRANSITIONS: Table[Status] = {
    (None, ExecCreated): Status.CREATED,
    (Status.CREATED, ExecStarting): Status.STARTING,
    (Status.STARTING, ExecStarted): Status.RUNNING,
    (Status.STARTING, ExecStartFailed): Status.FAILED,
    (Status.RUNNING, ExecExited): Status.EXITED,
    (Status.RUNNING, ExecDetached): Status.RUNNING,
    (Status.EXITED, ExecDetached): Status.EXITED,
}


class Exec(Record):
    """The fold of an exec's stream."""

    id: str
    container_id: str
    status: Status
    config_digest: str
    command: list[str]
    created_at_us: int
    privileged: bool
    tty: bool
    user: str
    intents: tuple[str, ...] = ()
    pid: int = 0
    started_at_us: int = 0
    finished_at_us: int = 0
    exit_code: int | None = None
    error: str = ""


def evolve(state: Exec | None, event: Event) -> Exec:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    if state is None:
        assert isinstance(event, ExecCreated)
        return Exec(
            id=event.exec_id, container_id=event.container_id, status=Status.CREATED,
            config_digest=event.config_digest, command=event.command, created_at_us=event.created_at_us,
            privileged=event.privileged, tty=event.tty, user=event.user,
        )  # fmt: skip
    facts: dict[str, Any] = {}
    match event:
        case ExecStarted(pid=pid, started_at_us=started):
            facts = {"pid": pid, "started_at_us": started}
        case ExecStartFailed(reason=reason, exit_code=exit_code):
            facts = {"error": reason, "exit_code": exit_code}
        case ExecExited(exit_code=exit_code, finished_at_us=finished):
            facts = {"exit_code": exit_code, "finished_at_us": finished, "pid": 0}
    return changed(state, {"status": status, "intents": next_intents(state.intents, event), **facts})


class CreateExec(Record):
    """``container_status`` is Docker's name of the status that the container is in now."""

    created: ExecCreated
    container_status: str


class StartExec(Record):
    pass


def decide(state: Exec | None, command: CreateExec | StartExec) -> list[Event]:
    """Answer a command with events. Raises NotFound or Conflict."""
    match command:
        case CreateExec(created=created, container_status=container_status):
            if state is not None:
                raise Conflict(f"exec {state.id} exists already")
            if container_status == "paused":
                raise Conflict(f"container {created.container_id} is paused, unpause the container before exec")
            if container_status != "running":
                raise Conflict(f"container {created.container_id} is not running")
            return [created]
        case StartExec():
            if state is None:
                raise NotFound("no such exec instance")
            if state.status is not Status.CREATED:
                raise Conflict(f"exec {state.id} has already run")
            return [ExecStarting(state.id, state.container_id)]


def is_possible(state: Exec | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
