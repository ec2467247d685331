"""The events of a container's stream: intents, outcomes and facts. ``container`` folds them."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.machine import Event


class ContainerCreated(Event):
    """Name, image and configuration are fixed. ``config_digest`` names the stored document with the whole
    configuration (Docker's Config and HostConfig); ``volumes`` are the named and anonymous volumes it mounts.
    ``restart_limit`` is how often ``on-failure`` may restart it in a row (0: without end). A container of a build has
    the build's id, and its root is ``chain_ids`` in place of its image's layers; then the image may be "". Of one whose
    writable layer has a limit ``project`` is what its files count for in the file system's quotas."""

    TYPE: ClassVar[str] = "container.created"
    container_id: str
    name: str
    image_id: str
    image: str
    config_digest: str
    command: list[str]
    created_at_us: int
    labels: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    anonymous_volumes: list[str] = field(default_factory=list)
    auto_remove: bool = False
    restart_policy: str = "no"
    restart_limit: int = 0
    health_check: bool = False
    chain_ids: list[str] = field(default_factory=list)
    build_id: str = ""
    project: int = 0


class ContainerStarting(Event):
    """Intent: processes, mounts and cgroups are about to be made."""

    TYPE: ClassVar[str] = "container.starting"
    OPENS: ClassVar[str] = "start"
    container_id: str


class ContainerStarted(Event):
    """The command runs. ``pid`` is the host's; ``evidence`` is the isolation read back from the kernel."""

    TYPE: ClassVar[str] = "container.started"
    CLOSES: ClassVar[str] = "start"
    container_id: str
    pid: int
    started_at_us: int
    evidence: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class ContainerStartFailed(Event):
    """``exit_code`` is what a client exits with: 127 command not found, 126 not executable, else 128."""

    TYPE: ClassVar[str] = "container.start_failed"
    CLOSES: ClassVar[str] = "start"
    container_id: str
    step: str
    reason: str
    exit_code: int


class ContainerExited(Event):
    """The first process ended. ``cause`` is ``exit``, or why nobody could see it end: ``shim lost``, ``reboot``."""

    TYPE: ClassVar[str] = "container.exited"
    container_id: str
    exit_code: int
    finished_at_us: int
    oom_killed: bool = False
    cause: str = "exit"
    reason: str = ""


class ContainerRestartScheduled(Event):
    """The restart policy starts it again at ``due_at_us``, ``delay_us`` after this was decided."""

    TYPE: ClassVar[str] = "container.restart_scheduled"
    container_id: str
    delay_us: int
    due_at_us: int


class ContainerRestartCancelled(Event):
    """Somebody stopped it while it waited for its restart: it stays down."""

    TYPE: ClassVar[str] = "container.restart_cancelled"
    container_id: str


class ContainerOomKilled(Event):
    """The kernel killed processes of the container for memory; ``kills`` is the count since its start."""

    TYPE: ClassVar[str] = "container.oom_killed"
    container_id: str
    kills: int


class ContainerHealthChanged(Event):
    """Its health became another, by the probe that ended at ``checked_at_us`` and said ``output``."""

    TYPE: ClassVar[str] = "container.health_changed"
    container_id: str
    health: str
    failing_streak: int
    exit_code: int
    output: str
    checked_at_us: int


class ContainerFilesAccessed(Event):
    """Somebody reads or writes files of the container from outside: ``access`` is ``read``, ``write`` or ``export``."""

    TYPE: ClassVar[str] = "container.files_accessed"
    container_id: str
    access: str
    path: str


class ContainerAttached(Event):
    """A client is given standard streams of the container: ``streams`` are of stdin, stdout and stderr."""

    TYPE: ClassVar[str] = "container.attached"
    container_id: str
    streams: list[str]


class ContainerDetached(Event):
    """Somebody at its terminal left it by the detach keys, and it runs on."""

    TYPE: ClassVar[str] = "container.detached"
    container_id: str


class ContainerStopping(Event):
    """Intent: ``signal`` is sent, and SIGKILL after ``timeout_s`` seconds (-1: never). ContainerExited closes it.
    ``restarting``: a start follows at once, so that ``--rm`` does not remove the container in between."""

    TYPE: ClassVar[str] = "container.stopping"
    OPENS: ClassVar[str] = "stop"
    container_id: str
    signal: int
    timeout_s: int
    restarting: bool = False


class ContainerStopFailed(Event):
    TYPE: ClassVar[str] = "container.stop_failed"
    CLOSES: ClassVar[str] = "stop"
    container_id: str
    reason: str


class ContainerKilling(Event):
    """Intent: a signal is about to be sent to the first process."""

    TYPE: ClassVar[str] = "container.killing"
    OPENS: ClassVar[str] = "kill"
    container_id: str
    signal: int


class ContainerKilled(Event):
    """The signal was delivered; whether the container ends by it, ContainerExited tells."""

    TYPE: ClassVar[str] = "container.killed"
    CLOSES: ClassVar[str] = "kill"
    container_id: str
    signal: int


class ContainerKillFailed(Event):
    TYPE: ClassVar[str] = "container.kill_failed"
    CLOSES: ClassVar[str] = "kill"
    container_id: str
    reason: str


class ContainerPausing(Event):
    """Intent: the container's cgroup is about to be frozen."""

    TYPE: ClassVar[str] = "container.pausing"
    OPENS: ClassVar[str] = "pause"
    container_id: str


class ContainerPaused(Event):
    TYPE: ClassVar[str] = "container.paused"
    CLOSES: ClassVar[str] = "pause"
    container_id: str


class ContainerPauseFailed(Event):
    TYPE: ClassVar[str] = "container.pause_failed"
    CLOSES: ClassVar[str] = "pause"
    container_id: str
    reason: str


class ContainerUnpausing(Event):
    """Intent: the container's cgroup is about to be thawed."""

    TYPE: ClassVar[str] = "container.unpausing"
    OPENS: ClassVar[str] = "unpause"
    container_id: str


class ContainerUnpaused(Event):
    TYPE: ClassVar[str] = "container.unpaused"
    CLOSES: ClassVar[str] = "unpause"
    container_id: str


class ContainerUnpauseFailed(Event):
    TYPE: ClassVar[str] = "container.unpause_failed"
    CLOSES: ClassVar[str] = "unpause"
    container_id: str
    reason: str


class ContainerRenamed(Event):
    TYPE: ClassVar[str] = "container.renamed"
    container_id: str
    name: str
    old_name: str


class ContainerRemoving(Event):
    """Intent: the writable layer, the log and every kernel object that is left are about to go."""

    TYPE: ClassVar[str] = "container.removing"
    OPENS: ClassVar[str] = "remove"
    container_id: str
    remove_volumes: bool = False


class ContainerRemoved(Event):
    TYPE: ClassVar[str] = "container.removed"
    CLOSES: ClassVar[str] = "remove"
    container_id: str


class ContainerRemoveFailed(Event):
    TYPE: ClassVar[str] = "container.remove_failed"
    CLOSES: ClassVar[str] = "remove"
    container_id: str
    reason: str


class ContainerUpdating(Event):
    """Intent: the limits are about to be changed. ``config_digest`` names the whole new configuration."""

    TYPE: ClassVar[str] = "container.updating"
    OPENS: ClassVar[str] = "update"
    container_id: str
    config_digest: str


class ContainerUpdated(Event):
    """The new configuration holds. ``limits`` is what the kernel says of a running container now."""

    TYPE: ClassVar[str] = "container.updated"
    CLOSES: ClassVar[str] = "update"
    container_id: str
    config_digest: str
    restart_policy: str
    restart_limit: int
    limits: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class ContainerUpdateFailed(Event):
    TYPE: ClassVar[str] = "container.update_failed"
    CLOSES: ClassVar[str] = "update"
    container_id: str
    reason: str


class ContainerTroubled(Event):
    """Something could not be put in order, and nobody waits for an answer that would say so. ``during``: "recovery"
    (its shim lives and can't be reached), "cgroups" (what they hold doesn't go), "log" (output is missing in it),
    "shim" (a defect of its ended a connection, or lost what came by one; or it lives and can't be reached any more)."""

    TYPE: ClassVar[str] = "container.troubled"
    container_id: str
    during: str
    reason: str


EVENTS: tuple[type[Event], ...] = (
    ContainerCreated, ContainerStarting, ContainerStarted, ContainerStartFailed, ContainerExited,
    ContainerRestartScheduled, ContainerRestartCancelled, ContainerOomKilled, ContainerHealthChanged,
    ContainerFilesAccessed, ContainerAttached, ContainerDetached,
    ContainerStopping, ContainerStopFailed, ContainerKilling, ContainerKilled, ContainerKillFailed,
    ContainerPausing, ContainerPaused, ContainerPauseFailed, ContainerUnpausing, ContainerUnpaused,
    ContainerUnpauseFailed, ContainerRenamed, ContainerRemoving, ContainerRemoved, ContainerRemoveFailed,
    ContainerUpdating, ContainerUpdated, ContainerUpdateFailed, ContainerTroubled,
)  # fmt: skip
