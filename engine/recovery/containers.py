"""Containers at start: adopt those whose shim lives, end those whose shim is gone, settle every open intent."""

from __future__ import annotations

import threading
from typing import Any, Collection

from engine.domain.container import (
    Container,
    ContainerExited,
    ContainerKillFailed,
    ContainerOomKilled,
    ContainerPauseFailed,
    ContainerStarted,
    ContainerStartFailed,
    ContainerStopFailed,
    ContainerUnpaused,
    ContainerUnpauseFailed,
    Status,
)
from engine.domain.errors import EngineError, NotFound, describe
from engine.domain.exec import Exec, ExecExited, ExecStarted, ExecStartFailed
from engine.eventlog.log import Context
from engine.services.core import Core
from engine.services.lifecycle import ENDLESS_S, Lifecycle
from engine.services.monitor import UNKNOWN_EXIT_CODE, Monitor
from engine.services.updates import Updates
from engine.services.waits import Waiter

INTERRUPTED = "the engine ended before the outcome was known"


class ContainerRecovery:
    """One pass over all containers, before the API listens."""

    def __init__(self, core: Core, lifecycle: Lifecycle, monitor: Monitor, context: Context, rebooted: bool) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._monitor = monitor
        self._context = context
        self._rebooted = rebooted
        self._updates = Updates(core)

    def run(self) -> None:
        """Settle every container and exec."""
        for container in self._core.log.all("container"):
            try:
                self._settle(container)
            except Exception as error:  # one that can't be settled must not keep the others from it
                self._lifecycle.tell_trouble(container.id, "recovery", describe(error), self._context)

    def _settle(self, container: Container) -> None:
        match container.status:
            case Status.STARTING | Status.RUNNING | Status.PAUSED | Status.STOPPING:
                self._settle_alive(container)
            case Status.REMOVING:
                self._finish_removal(container)
            case _:
                self._settle_late_outcomes(container)
                self._remove_leftover(container)

    # --- containers that had a process ---

    def _settle_alive(self, container: Container) -> None:
        folder = self._core.store.container(container.id)
        records = self._core.runtime.adopt(container.id, str(folder)) if folder.exists() else []
        self._take_in(container, records)
        adopted = bool(records) and records[-1].get("type") == "adopted"
        if adopted:
            self._settle_running(container.id, records[-1].get("starting", ()))
        else:
            self._settle_gone(container.id)

    def _take_in(self, container: Container, records: list[dict[str, Any]]) -> None:
        """What the shim wrote down while nobody listened, in its order."""
        for record in records:
            match record["type"]:
                case "started":
                    event = ContainerStarted(
                        container.id, record["pid"], record["started_at_us"], record["evidence"], record["warnings"]
                    )
                    self._core.recorder.record("container", container.id, event, self._context)
                case "exec_started":
                    started = ExecStarted(record["exec_id"], container.id, record["pid"], record["started_at_us"])
                    self._core.recorder.record("exec", record["exec_id"], started, self._context)
                case "exec_exited":
                    exited = ExecExited(
                        record["exec_id"], container.id, record["exit_code"], record["finished_at_us"]
                    )
                    self._core.recorder.record("exec", record["exec_id"], exited, self._context)
                case "oom":
                    oom = ContainerOomKilled(container.id, record["kills"])
                    self._core.recorder.record("container", container.id, oom, self._context)
                case "exited":
                    ended = ContainerExited(
                        container.id, record["exit_code"], record["finished_at_us"], record["oom_killed"]
                    )
                    self._monitor.exited(ended, self._context)

    def _settle_running(self, container_id: str, starting: Collection[str]) -> None:
        """The shim lives: what was under way when the engine ended is finished or undone. The execs that are
        ``starting`` still have their outcome from the shim."""
        state = self._core.log.get("container", container_id)
        if state is None:
            return
        if "kill" in state.intents:
            self._record(state, ContainerKillFailed(state.id, INTERRUPTED))
        if "pause" in state.intents:
            self._core.runtime.resume(state.id)
            self._record(state, ContainerPauseFailed(state.id, INTERRUPTED))
        if "unpause" in state.intents:
            self._core.runtime.resume(state.id)
            self._record(state, ContainerUnpaused(state.id))
        self._finish_update(state)
        for exec_id in self._core.log.execs_of_container(state.id):
            execution = self._core.log.get("exec", exec_id)
            if execution is not None and execution.status == "starting" and exec_id not in starting:
                self._fail_exec(execution, INTERRUPTED)
        if state.status is Status.STOPPING:
            threading.Thread(target=self._resume_stop, args=(state,), name=f"stop {state.id[:12]}", daemon=True).start()

    def _resume_stop(self, state: Container) -> None:
        with Waiter(self._core.log, self._core.clock, state.id, "not-running") as waiter:
            patience_s = ENDLESS_S if state.stop_timeout_s < 0 else state.stop_timeout_s
            try:
                self._core.runtime.signal(state.id, state.stop_signal)
                self._lifecycle.finish_stop(state.id, waiter, patience_s, self._context)
            except (NotFound, ProcessLookupError):
                return  # it has just ended, and its end is on its way
            except (OSError, EngineError) as error:  # the outcome of the stop, unless that is on record already
                self._record(state, ContainerStopFailed(state.id, describe(error)))

    def _settle_gone(self, container_id: str) -> None:
        """No shim: nothing of the container may be left, and the log says honestly what is not known."""
        state = self._core.log.get("container", container_id)
        if state is None:
            return
        self._monitor.kill_the_rest(container_id)
        self._lifecycle.sweep(container_id, self._context)
        cause, reason = ("reboot", "the host was restarted") if self._rebooted else (
            "shim lost", "the container's shim died while the engine was down: what was left was killed"
        )  # fmt: skip
        if state.status is Status.STARTING:
            self._record(state, ContainerStartFailed(state.id, "", f"{INTERRUPTED} ({cause})", 128))
            if state.auto_remove:
                self._remove(state)
        elif state.alive:
            exited = ContainerExited(
                state.id, UNKNOWN_EXIT_CODE, self._core.clock.now_us(), cause=cause, reason=reason
            )
            self._monitor.exited(exited, self._context)
        self._monitor.end_execs(container_id, cause, self._context)
        if (after := self._core.log.get("container", container_id)) is not None:
            self._settle_late_outcomes(after)

    # --- containers at rest ---

    def _settle_late_outcomes(self, state: Container) -> None:
        if "kill" in state.intents:
            self._record(state, ContainerKillFailed(state.id, INTERRUPTED))
        if "pause" in state.intents:
            self._record(state, ContainerPauseFailed(state.id, INTERRUPTED))
        if "unpause" in state.intents:
            self._record(state, ContainerUnpauseFailed(state.id, INTERRUPTED))
        self._finish_update(state)
        self._monitor.end_execs(state.id, "container exited", self._context)

    def _finish_update(self, state: Container) -> None:
        """Limits are written again, all of them: which had been, nobody knows."""
        if "update" not in state.intents:
            return
        try:
            self._updates.resume(state, self._context)
        except (OSError, EngineError):
            return  # the failure is on record

    def _remove_leftover(self, state: Container) -> None:
        """``--rm`` is a promise of the engine, kept also when it ended between the exit and the removal."""
        if state.auto_remove and state.status is Status.EXITED:
            self._remove(state)

    def _remove(self, state: Container) -> None:
        try:
            self._lifecycle.remove(state.id, volumes=True, context=self._context)
        except (OSError, EngineError):
            return  # the failure is on record: the container is dead, and can be removed by hand

    def _finish_removal(self, state: Container) -> None:
        try:
            self._lifecycle.finish_removal(state, state.remove_volumes, self._context)
        except (OSError, EngineError):
            return  # on record

    def _fail_exec(self, state: Exec, reason: str) -> None:
        event = ExecStartFailed(state.id, state.container_id, "", reason, 128)
        self._core.recorder.record("exec", state.id, event, self._context)

    def _record(self, state: Container, event: Any) -> None:
        self._core.recorder.record("container", state.id, event, self._context)
