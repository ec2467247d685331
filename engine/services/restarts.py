"""Restart policies at work: who ended and is to run again is started again, also after the engine or host went down."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Callable

from engine.domain import restart_policy
from engine.domain.container import Container, ContainerRestartScheduled, Status
from engine.domain.errors import EngineError, describe
from engine.eventlog.log import Context
from engine.services.core import Core
from engine.services.lifecycle import Lifecycle
from engine.services.recorder import caused_by


class Restarts:
    """Schedules restarts on record, and carries them out when they are due."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle

    def ended(self, container_id: str, context: Context) -> None:
        """Ask the policy of a container that has just ended, or could not be started again. ``context`` says why."""
        context = replace(context, actor={"door": "restart policy"})
        with self._core.recorder.exclusive(f"container/{container_id}"):
            state = self._core.log.get("container", container_id)
            if state is None or not restart_policy.restarts_after_end(state):
                return
            delay_us = restart_policy.delay_us(state)
            event = ContainerRestartScheduled(container_id, delay_us, self._core.clock.now_us() + delay_us)
            recorded = self._core.recorder.record("container", container_id, event, context)
        if recorded is not None:
            self._wait(event, delay_us, caused_by(context, recorded))

    def resume(self, context: Context) -> None:
        """After the engine's start: keep what was promised before it went down."""
        context = replace(context, actor={"door": "restart policy"})
        for state in self._core.log.all("container"):
            if state.status is Status.RESTARTING:
                left_us = min(state.restart_due_at_us - self._core.clock.now_us(), state.restart_delay_us)
                event = ContainerRestartScheduled(state.id, state.restart_delay_us, state.restart_due_at_us)
                self._wait(event, left_us, context)
            elif state.status is Status.EXITED and state.started_at_us:
                self._resume_ended(state, context)

    def _resume_ended(self, state: Container, context: Context) -> None:
        if restart_policy.restarts_after_end(state):
            self.ended(state.id, context)
        elif state.stopped_by_user and restart_policy.restarts_with_engine(state):
            start = self._starter(state.id, lambda: self._lifecycle.start(state.id, context), context)
            self._core.timers.later(0, f"start {state.id[:12]}", start)

    def _wait(self, event: ContainerRestartScheduled, delay_us: int, context: Context) -> None:
        """``event`` is on record; another one for the same container replaces it."""

        def start() -> None:
            state = self._core.log.get("container", event.container_id)
            if state is not None and state.restart_due_at_us == event.due_at_us:
                self._lifecycle.start(event.container_id, context, scheduled=True)

        name = f"restart {event.container_id[:12]}"
        self._core.timers.later(delay_us / 1_000_000, name, self._starter(event.container_id, start, context))

    def _starter(self, container_id: str, start: Callable[[], None], context: Context) -> Callable[[], None]:
        """A failed start is on record; the policy is asked again, as after an end."""

        def call() -> None:
            try:
                start()
            except (OSError, EngineError) as error:
                print(f"docket: restart of container {container_id}: {describe(error)}", file=sys.stderr, flush=True)
                self.ended(container_id, context)

        return call
