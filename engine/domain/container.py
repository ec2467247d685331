"""A container's life: created, starting, running, paused, stopping, exited, restarting, removing, removed, dead.

Clients see the seven statuses that Docker knows (``PUBLIC_STATUS``); the others are moments between an intent and
its outcome, which the log must be able to tell apart. What is asked of a container, and what it answers, is in
``container_commands``.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Mapping

from engine.domain.container_events import (
    EVENTS as EVENTS,
    ContainerAttached,
    ContainerCreated,
    ContainerDetached,
    ContainerExited,
    ContainerFilesAccessed,
    ContainerHealthChanged,
    ContainerKillFailed,
    ContainerKilled,
    ContainerKilling,
    ContainerOomKilled,
    ContainerPauseFailed,
    ContainerPaused,
    ContainerPausing,
    ContainerRemoveFailed,
    ContainerRemoved,
    ContainerRemoving,
    ContainerRenamed,
    ContainerRestartCancelled,
    ContainerRestartScheduled,
    ContainerStartFailed,
    ContainerStarted,
    ContainerStarting,
    ContainerStopFailed,
    ContainerTroubled,
    ContainerStopping,
    ContainerUnpauseFailed,
    ContainerUnpaused,
    ContainerUnpausing,
    ContainerUpdated,
    ContainerUpdateFailed,
    ContainerUpdating,
)
from engine.domain.health import STARTING
from engine.domain.machine import PREVIOUS, Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    EXITED = "exited"
    RESTARTING = "restarting"
    REMOVING = "removing"
    REMOVED = "removed"
    DEAD = "dead"


ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPING})
"""Statuses in which a process of the container exists."""

ENDED = (Status.EXITED, Status.RESTARTING)
"""Statuses of a container that ran."""

SETTLED_US = 10_000_000
"""Who has run for so long is not failing in a loop: its restarts begin with the shortest delay again."""

ENDING_SIGNALS = frozenset({2, 3, 9, 15})
"""SIGINT, SIGQUIT, SIGKILL, SIGTERM: who sends one wants the container down, and its restart policy keeps out of it."""


S = Status
TRANSITIONS: Table[Status] = {
    (None, ContainerCreated): S.CREATED,
    **{(status, ContainerStarting): S.STARTING for status in (S.CREATED, S.EXITED, S.RESTARTING)},
    (S.STARTING, ContainerStarted): S.RUNNING,
    (S.STARTING, ContainerStartFailed): PREVIOUS,
    **{(status, ContainerExited): S.EXITED for status in ALIVE},
    (S.EXITED, ContainerRestartScheduled): S.RESTARTING,
    (S.RESTARTING, ContainerRestartCancelled): S.EXITED,
    **{(status, event): status for status in ALIVE for event in (ContainerOomKilled, ContainerHealthChanged)},
    **{(status, ContainerStopping): S.STOPPING for status in (S.RUNNING, S.PAUSED)},
    (S.STOPPING, ContainerStopFailed): S.RUNNING,
    **{(status, ContainerKilling): status for status in ALIVE},
    # an outcome may arrive after the end that it brought about
    **{(status, event): status for status in (*ALIVE, *ENDED) for event in (ContainerKilled, ContainerKillFailed)},
    (S.RUNNING, ContainerPausing): S.RUNNING,
    (S.RUNNING, ContainerPaused): S.PAUSED,
    **{(status, ContainerPauseFailed): status for status in (S.RUNNING, S.STOPPING, *ENDED)},
    (S.PAUSED, ContainerUnpausing): S.PAUSED,
    (S.PAUSED, ContainerUnpaused): S.RUNNING,
    **{(status, ContainerUnpauseFailed): status for status in (S.PAUSED, S.STOPPING, *ENDED)},
    **{(status, ContainerRenamed): status for status in (S.CREATED, S.RUNNING, S.PAUSED, *ENDED)},
    **{(status, ContainerUpdating): status for status in (S.CREATED, S.RUNNING, S.PAUSED, *ENDED)},
    # it may have ended, or be in the middle of a stop, when the outcome comes
    **{
        (status, event): status
        for status in (S.CREATED, *ALIVE, *ENDED)
        for event in (ContainerUpdated, ContainerUpdateFailed)
    },
    **{(status, ContainerFilesAccessed): status for status in (S.CREATED, S.STARTING, *ALIVE, *ENDED)},
    **{(status, ContainerAttached): status for status in (S.CREATED, S.STARTING, *ALIVE, *ENDED)},
    **{(status, ContainerDetached): status for status in (S.STARTING, *ALIVE, *ENDED)},
    **{(status, ContainerRemoving): S.REMOVING for status in (S.CREATED, S.EXITED, S.DEAD)},
    (S.REMOVING, ContainerRemoved): S.REMOVED,
    (S.REMOVING, ContainerRemoveFailed): S.DEAD,
    **{(status, ContainerTroubled): status for status in S if status is not S.REMOVED},
}

PUBLIC_STATUS: Mapping[Status, str] = {
    S.CREATED: "created",
    S.STARTING: "created",
    S.RUNNING: "running",
    S.PAUSED: "paused",
    S.STOPPING: "running",
    S.EXITED: "exited",
    S.RESTARTING: "restarting",
    S.REMOVING: "removing",
    S.REMOVED: "removed",
    S.DEAD: "dead",
}
"""What Docker's clients are told. A start that is not the first is shown otherwise: see Container.public_status."""


class Container(Record):
    """The fold of a container's stream. Times are microseconds since the epoch, 0 where it never happened."""

    id: str
    name: str
    status: Status
    image_id: str
    image: str
    config_digest: str
    command: list[str]
    created_at_us: int
    labels: dict[str, str]
    volumes: list[str]
    anonymous_volumes: list[str]
    auto_remove: bool
    restart_policy: str = "no"
    restart_limit: int = 0
    health_check: bool = False
    chain_ids: list[str] = field(default_factory=list)
    build_id: str = ""
    project: int = 0
    intents: tuple[str, ...] = ()
    resting: Status | None = None
    pid: int = 0
    started_at_us: int = 0
    finished_at_us: int = 0
    exit_code: int = 0
    exit_cause: str = ""
    oom_killed: bool = False
    error: str = ""
    stop_signal: int = 0
    stop_timeout_s: int = 0
    stopped_by_user: bool = False
    restarting: bool = False
    restart_count: int = 0
    restart_delay_us: int = 0
    restart_due_at_us: int = 0
    health: str = ""
    failing_streak: int = 0
    remove_volumes: bool = False

    @property
    def alive(self) -> bool:
        return self.status in ALIVE

    @property
    def up(self) -> bool:
        """Alive, or down only until its restart policy starts it again."""
        return self.alive or self.status is Status.RESTARTING

    @property
    def public_status(self) -> str:
        if self.status is Status.STARTING and self.started_at_us:
            return "restarting" if self.restart_count else "exited"
        return PUBLIC_STATUS[self.status]


def _created(event: ContainerCreated) -> Container:
    return Container(
        id=event.container_id,
        name=event.name,
        status=Status.CREATED,
        image_id=event.image_id,
        image=event.image,
        config_digest=event.config_digest,
        command=event.command,
        created_at_us=event.created_at_us,
        labels=event.labels,
        volumes=event.volumes,
        anonymous_volumes=event.anonymous_volumes,
        auto_remove=event.auto_remove,
        restart_policy=event.restart_policy,
        restart_limit=event.restart_limit,
        health_check=event.health_check,
        chain_ids=event.chain_ids,
        build_id=event.build_id,
        project=event.project,
    )


def _facts(state: Container, event: Event) -> dict[str, Any]:
    """The fields that an event changes beside status and intents."""
    match event:
        case ContainerStarting():
            if state.status is Status.RESTARTING:
                return {"resting": Status.EXITED}
            return {"resting": state.status, "restart_count": 0, "restart_delay_us": 0}
        case ContainerStarted(pid=pid, started_at_us=started):
            return {
                "pid": pid, "started_at_us": started, "finished_at_us": 0, "exit_code": 0, "oom_killed": False,
                "error": "", "stopped_by_user": False, "restarting": False, "resting": None,
                "health": STARTING if state.health_check else "", "failing_streak": 0,
            }  # fmt: skip
        case ContainerStartFailed(reason=reason, exit_code=exit_code):
            return {"error": reason, "exit_code": exit_code, "restarting": False, "resting": None}
        case ContainerExited():
            settled = event.finished_at_us - state.started_at_us >= SETTLED_US
            return {
                "pid": 0, "exit_code": event.exit_code, "finished_at_us": event.finished_at_us,
                "exit_cause": event.cause, "restart_delay_us": 0 if settled else state.restart_delay_us,
                "oom_killed": state.oom_killed or event.oom_killed, "error": event.reason,
            }  # fmt: skip
        case ContainerHealthChanged(health=health, failing_streak=streak):
            return {"health": health, "failing_streak": streak}
        case ContainerRestartScheduled():
            return {
                "restart_count": state.restart_count + 1, "restart_delay_us": event.delay_us,
                "restart_due_at_us": event.due_at_us,
            }  # fmt: skip
        case ContainerRestartCancelled():
            return {"stopped_by_user": True}
        case ContainerOomKilled():
            return {"oom_killed": True}
        case ContainerStopping():
            return {
                "stop_signal": event.signal, "stop_timeout_s": event.timeout_s, "stopped_by_user": True,
                "restarting": event.restarting,
            }  # fmt: skip
        case ContainerStopFailed():
            return {"stopped_by_user": False, "restarting": False}
        case ContainerKilling(signal=number) if number in ENDING_SIGNALS:
            return {"stopped_by_user": True}
        case ContainerRenamed(name=name):
            return {"name": name}
        case ContainerUpdated():
            return {
                "config_digest": event.config_digest, "restart_policy": event.restart_policy,
                "restart_limit": event.restart_limit,
            }  # fmt: skip
        case ContainerRemoving(remove_volumes=remove_volumes):
            return {"remove_volumes": remove_volumes}
        case ContainerRemoveFailed(reason=reason):
            return {"error": reason}
    return {}


def evolve(state: Container | None, event: Event) -> Container:
    """Fold one event. Raises InvalidTransition where the table or an intent forbids it."""
    if state is None:
        next_status(TRANSITIONS, None, event, None)
        assert isinstance(event, ContainerCreated)
        return _created(event)
    status = next_status(TRANSITIONS, state.status, event, state.resting)
    intents = next_intents(state.intents, event)
    if isinstance(event, ContainerExited):  # the end of a container is the outcome of its stop
        intents = tuple(kind for kind in intents if kind != "stop")
    return changed(state, {"status": status, "intents": intents, **_facts(state, event)})


def is_possible(state: Container | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place (a report may arrive twice, or after recovery)."""
    if (state.status if state else None, type(event)) not in TRANSITIONS:
        return False
    return not (event.CLOSES and state is not None and event.CLOSES not in state.intents)
