"""A build's life: running, finished or failed. Its id is random; what it made is in its events.

Each instruction that was carried out is one event, whether its layer was made or reused, and why.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class BuildStarted(Event):
    """Intent: a context is about to be received, and containers and layers to be made. ``references`` are the names
    that the image gets if all goes well; ``dockerfile`` is the file's path in the context, ``source`` the context's
    origin where it is not the client's. ``entitlements`` are what the client lets RUN ask for beyond the isolation of
    every container."""

    TYPE: ClassVar[str] = "build.started"
    OPENS: ClassVar[str] = "build"
    build_id: str
    references: list[str]
    dockerfile: str
    source: str
    target: str
    started_at_us: int
    entitlements: list[str] = field(default_factory=list)


class BuildContextReceived(Event):
    """The context is here. ``digest`` is that of the stream as it came, ``dockerfile_digest`` names the stored text."""

    TYPE: ClassVar[str] = "build.context_received"
    build_id: str
    digest: str
    size_bytes: int
    entries: int
    dockerfile_digest: str


class BuildStepDone(Event):
    """An instruction was carried out. ``outcome`` is ``made``, ``reused`` (from the cache) or ``set`` (configuration
    alone, or where a stage begins); ``reason`` says why the cache didn't serve, and of a stage's begin what it stands
    on. ``key`` is the digest of everything
    that the step depends on ("": nothing is cached), ``chain_id`` the file system's afterwards."""

    TYPE: ClassVar[str] = "build.step_done"
    build_id: str
    stage: str
    line: int
    instruction: str
    outcome: str
    reason: str
    key: str
    chain_id: str
    duration_us: int


class BuildFinished(Event):
    TYPE: ClassVar[str] = "build.finished"
    CLOSES: ClassVar[str] = "build"
    build_id: str
    image_id: str
    finished_at_us: int


class BuildFailed(Event):
    TYPE: ClassVar[str] = "build.failed"
    CLOSES: ClassVar[str] = "build"
    build_id: str
    reason: str
    finished_at_us: int


EVENTS: tuple[type[Event], ...] = (BuildStarted, BuildContextReceived, BuildStepDone, BuildFinished, BuildFailed)

TRANSITIONS: Table[Status] = {
    (None, BuildStarted): Status.RUNNING,
    (Status.RUNNING, BuildContextReceived): Status.RUNNING,
    (Status.RUNNING, BuildStepDone): Status.RUNNING,
    (Status.RUNNING, BuildFinished): Status.FINISHED,
    (Status.RUNNING, BuildFailed): Status.FAILED,
}


class Build(Record):
    """The fold of a build's stream. ``steps_made`` and ``steps_reused`` count."""

    id: str
    status: Status
    references: list[str]
    started_at_us: int
    context_digest: str = ""
    steps_made: int = 0
    steps_reused: int = 0
    image_id: str = ""
    error: str = ""
    finished_at_us: int = 0
    intents: tuple[str, ...] = field(default=())


def evolve(state: Build | None, event: Event) -> Build:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    intents = next_intents(state.intents if state else (), event)
    if isinstance(event, BuildStarted):
        return Build(event.build_id, status, event.references, event.started_at_us, intents=intents)
    assert state is not None
    facts: dict[str, Any] = {}
    match event:
        case BuildContextReceived(digest=digest):
            facts = {"context_digest": digest}
        case BuildStepDone(outcome="made"):
            facts = {"steps_made": state.steps_made + 1}
        case BuildStepDone(outcome="reused"):
            facts = {"steps_reused": state.steps_reused + 1}
        case BuildFinished():
            facts = {"image_id": event.image_id, "finished_at_us": event.finished_at_us}
        case BuildFailed():
            facts = {"error": event.reason, "finished_at_us": event.finished_at_us}
    return changed(state, {"status": status, "intents": intents, **facts})


class StartBuild(Record):
    started: BuildStarted


class TellBuild(Record):
    """Put facts of a running build on record."""

    events: tuple[BuildContextReceived | BuildStepDone, ...]


Command = StartBuild | TellBuild


def decide(state: Build | None, command: Command) -> list[Event]:
    """Answer a command with events. Raises NotFound or Conflict."""
    match command:
        case StartBuild(started=started):
            if state is not None:
                raise Conflict(f"build {state.id} exists already")
            return [started]
        case TellBuild(events=events):
            if state is None:
                raise NotFound("no such build")
            if state.status is not Status.RUNNING:
                raise Conflict(f"build {state.id} is {state.status}")
            return list(events)


def is_possible(state: Build | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    if event.CLOSES and (state is None or event.CLOSES not in state.intents):
        return False
    return (state.status if state else None, type(event)) in TRANSITIONS
