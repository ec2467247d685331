"""What starts and ends containers: an intent in the log, the effect by the runtime, one outcome in the log."""

from __future__ import annotations

import fcntl
import os
import signal as signals
import time
from pathlib import Path
from typing import Callable

from engine.domain.container import (
    Container,
    ContainerKilled,
    ContainerKillFailed,
    ContainerPaused,
    ContainerPauseFailed,
    ContainerRemoved,
    ContainerRemoveFailed,
    ContainerStarted,
    ContainerStartFailed,
    ContainerStopFailed,
    ContainerTroubled,
    ContainerUnpaused,
    ContainerUnpauseFailed,
    Status,
)
from engine.domain.container_commands import (
    KillContainer, PauseContainer, RemoveContainer, StartContainer, StopContainer, UnpauseContainer,
)  # fmt: skip
from engine.domain.errors import Conflict, EngineError, NotFound, NotModified, describe
from engine.domain.prune import RecordPrune
from engine.eventlog.log import Context
from engine.kernel.cgroups import Cgroup
from engine.kernel.steps import step
from engine.runtime.failures import LaunchFailed
from engine.services import layer_limits, trees
from engine.services.container_config import parse_signal
from engine.services.containers import Containers
from engine.services.core import Core, resolve_container
from engine.services.endpoints import Endpoints
from engine.services.health import HealthChecks
from engine.services.launch_plan import build_plan, fresh_volumes
from engine.services.recorder import caused_by
from engine.services.remaps import Remaps
from engine.services.selection import Filters, Selection
from engine.services.trash import Trash
from engine.services.volumes import Volumes
from engine.services.waits import Waiter

KILL_PATIENCE_S = 10.0
"""How long a SIGKILL may take to end a container before the engine says that it can't."""
SHIM_PATIENCE_S = 10.0
"""How long a shim may take to leave after it reported the end of its container."""
ENDLESS_S = 10 * 365 * 86_400.0


class Lifecycle:
    """Start, stop, kill, pause, restart, remove."""

    def __init__(
        self, core: Core, containers: Containers, volumes: Volumes, health: HealthChecks, trash: Trash,
        endpoints: Endpoints, remaps: Remaps,
    ) -> None:  # fmt: skip
        self._endpoints = endpoints
        self._remaps = remaps
        self.has_started: Callable[[str], None] = lambda container_id: None
        """Told of every start; put in place by the composition."""
        self._core = core
        self._trash = trash
        self._health = health
        self._containers = containers
        self._volumes = volumes

    # --- start ---

    def start(self, reference: str, context: Context, *, scheduled: bool = False) -> None:
        """Raises NotModified where it runs already, LaunchFailed (with the client's exit status), Conflict.

        ``scheduled``: by the restart policy; nothing happens where the container does not wait for that any more.
        """
        container = resolve_container(self._core.log, reference)
        with self._core.recorder.exclusive(f"container/{container.id}"):
            command = StartContainer(scheduled, self._containers.waiting.attaching(container.id, context))
            intents = self._core.recorder.decide("container", container.id, command, context)
            if not intents:
                return
            outcome = caused_by(context, intents[-1])
            try:
                self._launch(container, outcome)
                return
            except LaunchFailed as error:
                failure, failed = error, ContainerStartFailed(container.id, error.step, str(error), error.exit_code)
            except Exception as error:  # a defect as well: the intent must get its outcome
                failure = error
                failed = ContainerStartFailed(container.id, getattr(error, "step", ""), describe(error), 128)
            self._core.recorder.record("container", container.id, failed, outcome)
            self._containers.waiting.drop(container.id)
            if container.auto_remove:
                self._remove(container, True, outcome)
        raise failure

    def _launch(self, container: Container, context: Context) -> None:
        folder = self._core.store.container(container.id)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = acquire_shim_lock(folder)
        try:
            settings = self._core.settings_of(container)
            network = self._endpoints.begin(container, settings, context)
            try:
                plan = build_plan(self._core, container, settings, network)
                warnings = self._remaps.apply(plan, container, context)
                held = [sock.fileno() for sock in network.held.sockets]
                fresh = fresh_volumes(self._core, container, settings)
                with self._volumes.filling(container.id, fresh) as plan["fill"]:
                    waiting = self._containers.waiting.take(container.id)
                    launched = self._core.runtime.launch(plan, lock, waiting, held)
            except BaseException as error:
                self._endpoints.failed(network, describe(error))
                raise
        finally:
            os.close(lock)
        network.held.let_go()
        started = ContainerStarted(
            container.id, launched["pid"], launched["started_at_us"], launched["evidence"],
            [*warnings, *launched["warnings"], *network.warnings],
        )  # fmt: skip
        facts = network.facts(launched["evidence"])
        try:
            self._core.recorder.record("container", container.id, started, context, before=facts)
        except BaseException as error:
            self._take_back(container.id)
            self._endpoints.failed(network, describe(error))
            raise
        if container.health_check:
            self._health.watch(container.id)
        self.has_started(container.id)

    def _take_back(self, container_id: str) -> None:
        """What runs and is not on record must not run."""
        try:
            self._core.runtime.signal(container_id, signals.SIGKILL)
        except (NotFound, ProcessLookupError):
            pass  # it has ended by itself
        os.close(acquire_shim_lock(self._core.store.container(container_id)))

    # --- stop and kill ---

    def stop(
        self, reference: str, timeout_s: int | None, signal: str | None, context: Context, *, restarting: bool = False
    ) -> None:
        """The stop signal, then SIGKILL after ``timeout_s`` seconds (None: the container's own, -1: never)."""
        container = resolve_container(self._core.log, reference)
        number, patience = self._stop_settings(container, timeout_s, signal)
        with Waiter(self._core.log, self._core.clock, container.id, "not-running") as waiter:
            with self._core.recorder.exclusive(f"container/{container.id}"):
                command = StopContainer(number, patience, restarting)
                intent = self._core.recorder.decide("container", container.id, command, context)
                if intent:
                    context = caused_by(context, intent[-1])
                    self._send_to_stop(container.id, number, context)
            self.finish_stop(container.id, waiter, ENDLESS_S if patience < 0 else patience, context)

    def finish_stop(self, container_id: str, waiter: Waiter, patience_s: float, context: Context) -> None:
        """Wait for the end, with SIGKILL when patience runs out. Raises EngineError where even that has no effect."""
        if waiter.result(patience_s) is not None:
            return
        with self._core.recorder.exclusive(f"container/{container_id}"):
            state = self._core.log.get("container", container_id)
            if state is not None and state.status is Status.STOPPING:  # else it ended just now, and may run again
                self._send_to_stop(container_id, signals.SIGKILL, context)
        if waiter.result(KILL_PATIENCE_S) is None:
            reason = f"container {container_id} did not exit within {KILL_PATIENCE_S:.0f} s of SIGKILL"
            self._core.recorder.record("container", container_id, ContainerStopFailed(container_id, reason), context)
            raise EngineError(reason)

    def _stop_settings(self, container: Container, timeout_s: int | None, signal: str | None) -> tuple[int, int]:
        config = self._core.settings_of(container)["Config"]
        number = parse_signal(signal or config.get("StopSignal") or "SIGTERM")
        configured = config.get("StopTimeout")
        return number, timeout_s if timeout_s is not None else 10 if configured is None else configured

    def _send_to_stop(self, container_id: str, signal: int, context: Context) -> None:
        """A signal that can't be sent is the outcome of the stop."""
        try:
            self._send(container_id, signal)
        except Exception as error:
            failed = ContainerStopFailed(container_id, describe(error))
            self._core.recorder.record("container", container_id, failed, context)
            raise

    def _send(self, container_id: str, signal: int) -> None:
        """Signal what may just be ending by itself: then the end is on its way to the log."""
        state = self._core.log.get("container", container_id)
        if state is None or not state.alive:
            return
        try:
            self._core.runtime.signal(container_id, signal)
            if state.status is Status.PAUSED or signal == signals.SIGKILL:
                self._core.runtime.resume(container_id)  # frozen processes can't take the signal
        except (NotFound, ProcessLookupError):
            return

    def kill(self, reference: str, signal: str, context: Context) -> None:
        """Send a signal; SIGKILL is waited for, as Docker does. Raises Conflict where nothing runs."""
        container = resolve_container(self._core.log, reference)
        number = parse_signal(signal or "SIGKILL")
        with Waiter(self._core.log, self._core.clock, container.id, "not-running") as waiter:
            failure = self._kill(container.id, number, context)
            is_ending = isinstance(failure, (NotFound, ProcessLookupError))  # the record of it is on its way
            if failure is not None and not is_ending:
                raise failure
            if (number == signals.SIGKILL or is_ending) and waiter.result(KILL_PATIENCE_S) is None:
                words = f"container {container.id} did not exit within {KILL_PATIENCE_S:.0f} s of SIGKILL"
                raise failure or EngineError(words)
            if is_ending and number != signals.SIGKILL:
                raise Conflict(f"container {container.id} is not running")

    def _kill(self, container_id: str, number: int, context: Context) -> Exception | None:
        """Answers with what kept the signal from being sent; that is on record then."""
        with self._core.recorder.exclusive(f"container/{container_id}"):
            intent = self._core.recorder.decide("container", container_id, KillContainer(number), context)[-1]
            outcome: ContainerKilled | ContainerKillFailed = ContainerKilled(container_id, number)
            failure: Exception | None = None
            state = self._core.log.get("container", container_id)
            try:
                self._core.runtime.signal(container_id, number)
                if number == signals.SIGKILL and state is not None and state.status is Status.PAUSED:
                    self._core.runtime.resume(container_id)
            except Exception as error:
                failure, outcome = error, ContainerKillFailed(container_id, describe(error))
            self._core.recorder.record("container", container_id, outcome, caused_by(context, intent))
        return failure

    def restart(self, reference: str, timeout_s: int | None, signal: str | None, context: Context) -> None:
        """Stop where it runs, then start: one correlation joins both."""
        container = resolve_container(self._core.log, reference)
        try:
            self.stop(container.id, timeout_s, signal, context, restarting=True)
        except NotModified:
            pass  # it was not running: a restart starts it all the same
        self.start(container.id, context)

    def act_on_failing_health(self, action: str, reference: str, context: Context) -> None:
        """Do what a health check asks for: restart, stop or kill."""
        match action:
            case "restart":
                self.restart(reference, None, None, context)
            case "stop":
                self.stop(reference, None, None, context)
            case "kill":
                self.kill(reference, "SIGKILL", context)

    # --- pause ---

    def pause(self, reference: str, context: Context) -> None:
        """Freeze. Raises Conflict where it doesn't run or is frozen already."""
        freeze = self._core.runtime.pause
        self._freeze_or_thaw(reference, PauseContainer(), freeze, ContainerPaused, ContainerPauseFailed, context)

    def unpause(self, reference: str, context: Context) -> None:
        """Thaw. Raises Conflict where it is not frozen."""
        thaw = self._core.runtime.resume
        self._freeze_or_thaw(reference, UnpauseContainer(), thaw, ContainerUnpaused, ContainerUnpauseFailed, context)

    def _freeze_or_thaw(
        self, reference: str, command: PauseContainer | UnpauseContainer, effect: Callable[[str], None],
        done: type[ContainerPaused | ContainerUnpaused], failed: type[ContainerPauseFailed | ContainerUnpauseFailed],
        context: Context,
    ) -> None:  # fmt: skip
        container_id = resolve_container(self._core.log, reference).id
        with self._core.recorder.exclusive(f"container/{container_id}"):
            intent = self._core.recorder.decide("container", container_id, command, context)[-1]
            outcome = caused_by(context, intent)
            try:
                effect(container_id)
            except Exception as error:
                failure = failed(container_id, describe(error))
                self._core.recorder.record("container", container_id, failure, outcome)
                raise
            self._core.recorder.record("container", container_id, done(container_id), outcome)

    # --- remove ---

    def prune(self, filters: Filters, context: Context) -> tuple[list[str], int]:
        """Remove every container that doesn't run. Answers with ids and the bytes of their writable layers."""
        removed, freed = [], 0
        selection = Selection.of(filters)
        for container in self._core.log.all("container"):
            at_rest = container.status in (Status.CREATED, Status.EXITED, Status.DEAD)
            if not at_rest or not selection.allows(container.labels, container.created_at_us):
                continue
            if self._is_of_a_running_build(container):
                continue
            size = trees.size_bytes(self._core.runtime, self._core.store.container(container.id) / "upper")
            try:
                self.remove(container.id, context=context)
            except (Conflict, NotFound):
                continue  # somebody was quicker
            removed.append(container.id)
            freed += size
        self._core.recorder.decide("prune", "container", RecordPrune("container", len(removed), freed), context)
        return removed, freed

    def _is_of_a_running_build(self, container: Container) -> bool:
        """Such a one stands still because its layer is being made of it, or it is about to start."""
        build = self._core.log.get("build", container.build_id) if container.build_id else None
        return build is not None and build.status == "running"

    def remove(self, reference: str, *, force: bool = False, volumes: bool = False, context: Context) -> None:
        """Raises Conflict where it runs and ``force`` is not given."""
        container = resolve_container(self._core.log, reference)
        while True:
            with self._core.recorder.exclusive(f"container/{container.id}"):
                current = self._core.log.get("container", container.id)
                if current is None:
                    if container.auto_remove:
                        return  # the engine was quicker
                    raise NotFound(f"No such container: {reference}")
                if force and current.status is Status.RESTARTING:
                    self._core.recorder.decide("container", container.id, StopContainer(signals.SIGKILL, 0), context)
                    continue
                if not (force and current.alive):
                    self._remove(current, volumes, context)
                    return
            try:
                self.kill(container.id, "SIGKILL", context)
            except (Conflict, NotFound):
                continue  # it ended by itself meanwhile

    def _remove(self, container: Container, volumes: bool, context: Context) -> None:
        intent = self._core.recorder.decide("container", container.id, RemoveContainer(volumes), context)[-1]
        self.finish_removal(container, volumes, caused_by(context, intent))

    def sweep(self, container_id: str, context: Context) -> None:
        """Remove what a shim left of the cgroups. A failure is on record, and it is tried again at the removal."""
        try:
            self._remove_cgroups(container_id)
        except (OSError, EngineError) as error:
            self.tell_trouble(container_id, "cgroups", describe(error), context)

    def _remove_cgroups(self, container_id: str) -> None:
        path = self._core.cgroup_path_of(container_id)
        if Cgroup(path).exists():
            self._core.runtime.run_job("container.sweep", {"cgroup_path": path})

    def tell_trouble(self, container_id: str, during: str, reason: str, context: Context) -> None:
        """Put on record what could not be put in order, and has no intent of its own to be the outcome of."""
        self._core.recorder.record("container", container_id, ContainerTroubled(container_id, during, reason), context)

    def finish_removal(self, container: Container, volumes: bool, context: Context) -> None:
        """The effect and the outcome of an open removal; may be done again after a crash."""
        self._containers.waiting.drop(container.id)
        try:
            self._remove_cgroups(container.id)
            self._throw_away(self._core.store.container(container.id))
            layer_limits.lift(self._core, container)
            self._remove_volumes(container, volumes, context)
        except Exception as error:
            failed = ContainerRemoveFailed(container.id, describe(error))
            self._core.recorder.record("container", container.id, failed, context)
            raise
        self._core.recorder.record("container", container.id, ContainerRemoved(container.id), context)
        self._health.forget(container.id)

    def _remove_volumes(self, container: Container, volumes: bool, context: Context) -> None:
        """Before the container's end is on record: after a crash its removal is done again, and theirs with it."""
        for volume in container.anonymous_volumes if volumes else ():
            try:
                self._volumes.remove(volume, force=True, going=container.id, context=context)
            except Conflict:
                continue  # another container mounts it by name

    def _throw_away(self, folder: Path) -> None:
        if not folder.exists():
            return
        lock = acquire_shim_lock(folder)
        try:
            with step("container.remove"):
                self._trash.throw(folder)
        finally:
            os.close(lock)


def acquire_shim_lock(folder: Path) -> int:
    """A descriptor that holds the container's liveness lock: no shim of an earlier start lives any more.

    A shim reports the end of its container just before it leaves, so a short wait is normal. Raises Conflict.
    """
    fd = os.open(folder / "shim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + SHIM_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise Conflict(f"the shim of container {folder.name[:12]} has not left yet: try again") from None
            time.sleep(0.0005)
