"""Probes containers that have a health check, and puts on record when their health changes.

A probe is no transition, its outcome may be one: probes leave nothing in the log, and their last results are kept in
memory for ``inspect``. The first change after an engine's restart is again on record, since what is known is folded
from the log.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from engine.domain.container import ALIVE, Container, ContainerHealthChanged, Status
from engine.domain.errors import EngineError, describe
from engine.domain.health import STARTING, UNHEALTHY, Health, HealthCheck, after_probe, next_probe_s
from engine.eventlog.log import Context
from engine.runtime.failures import LaunchFailed, Paused
from engine.services import health_config
from engine.services.core import Core
from engine.services.launch_plan import build_exec_plan, hostname_of
from engine.services.recorder import caused_by

KEPT_RESULTS = 5
_PROBE: Mapping[str, Any] = {"Env": [], "User": "", "WorkingDir": "", "Tty": False, "AttachStdin": False}


@dataclass(frozen=True, slots=True)
class Result:
    """One probe. Times are microseconds since the epoch; ``exit_code`` is -1 where there was no end to see."""

    started_at_us: int
    finished_at_us: int
    exit_code: int
    output: str


@dataclass(slots=True)
class _Watch:
    """The probing of one run of a container, which ``started_at_us`` tells from its other runs."""

    check: HealthCheck
    plan: dict[str, Any]
    started_at_us: int
    health: Health
    results: deque[Result] = field(default_factory=lambda: deque(maxlen=KEPT_RESULTS))


class HealthChecks:
    """``act(action, container id, context)`` does what a health check asks for when it fails; compose sets it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._watches: dict[str, _Watch] = {}
        self._guard = threading.Lock()
        self.act: Callable[[str, str, Context], None] = lambda action, container_id, context: None

    def watch(self, container_id: str) -> None:
        """Begin to probe a container that runs; nothing happens where it has no health check."""
        state = self._core.log.get("container", container_id)
        if state is None or not state.health_check or not state.alive:
            return
        settings = self._core.settings_of(state)
        config, host = settings["Config"], settings["HostConfig"]
        check = health_config.read(config)
        if check is None:
            return
        exec_id = self._core.randomness.hex(64)
        body = {**_PROBE, "Cmd": list(check.command)}
        plan = build_exec_plan(exec_id, body, config, host, hostname_of(container_id, config, host))
        watch = _Watch(check, plan, state.started_at_us, Health(state.health or STARTING, state.failing_streak))
        with self._guard:
            self._watches[container_id] = watch
        self._schedule(container_id, watch)

    def results(self, container_id: str) -> tuple[int, tuple[Result, ...]]:
        """The streak of failures and the last results, oldest first, as far as this engine has seen them."""
        with self._guard:
            watch = self._watches.get(container_id)
            return (watch.health.failing_streak, tuple(watch.results)) if watch is not None else (0, ())

    def forget(self, container_id: str) -> None:
        """The container is gone."""
        with self._guard:
            self._watches.pop(container_id, None)

    def _schedule(self, container_id: str, watch: _Watch) -> None:
        delay_s = next_probe_s(watch.health, watch.check, self._up_s(watch))
        self._core.timers.later(delay_s, f"health {container_id[:12]}", lambda: self._turn(container_id, watch))

    def _up_s(self, watch: _Watch) -> float:
        return (self._core.clock.now_us() - watch.started_at_us) / 1_000_000

    def _turn(self, container_id: str, watch: _Watch) -> None:
        state = self._current(container_id, watch)
        if state is None:
            return  # this run of it has ended
        if state.status is not Status.PAUSED:
            result = self._probe(container_id, watch)
            if (state := self._current(container_id, watch)) is None:
                return
            if result is not None:
                self._judge(state, watch, result)
        self._schedule(container_id, watch)

    def _current(self, container_id: str, watch: _Watch) -> Container | None:
        """The container, as long as it is in the run that is being watched."""
        state = self._core.log.get("container", container_id)
        with self._guard:
            current = self._watches.get(container_id) is watch
        if not current or state is None or state.status not in ALIVE or state.started_at_us != watch.started_at_us:
            return None
        return state

    def _probe(self, container_id: str, watch: _Watch) -> Result | None:
        """None where it was paused just now."""
        begun = self._core.clock.now_us()
        try:
            answer = self._core.runtime.probe(container_id, watch.plan, watch.check.timeout_s)
        except Paused:
            return None
        except LaunchFailed as error:
            return Result(begun, self._core.clock.now_us(), error.exit_code, str(error))
        except (OSError, EngineError) as error:
            return Result(begun, self._core.clock.now_us(), -1, describe(error))
        if answer["timed_out"]:
            words = f"Health check exceeded timeout ({watch.check.timeout_s:g}s)"
            output = f"{words}: {answer['output']}" if answer["output"] else words
            return Result(begun, answer["finished_at_us"], -1, output)
        return Result(begun, answer["finished_at_us"], answer["exit_code"], answer["output"])

    def _judge(self, state: Container, watch: _Watch, result: Result) -> None:
        health = after_probe(watch.health, watch.check, result.exit_code == 0, self._up_s(watch))
        with self._guard:
            changed = health.status != watch.health.status
            watch.health = health
            watch.results.append(result)
        if not changed:
            return
        context = Context({"door": "health check"}, f"health-{watch.plan['exec_id'][:16]}", "")
        event = ContainerHealthChanged(
            state.id, health.status, health.failing_streak, result.exit_code, result.output, result.finished_at_us
        )
        recorded = self._core.recorder.record("container", state.id, event, context)
        if recorded is not None and health.status == UNHEALTHY and watch.check.on_failure != "none":
            self._act(watch.check.on_failure, state.id, caused_by(context, recorded))

    def _act(self, action: str, container_id: str, context: Context) -> None:
        try:
            self.act(action, container_id, context)
        except (OSError, EngineError) as error:
            words = f"docket: {action} of unhealthy container {container_id}: {describe(error)}"
            print(words, file=sys.stderr, flush=True)
