"""What the runtime reports from below, on the record: ends, out-of-memory kills, ends of execs, lost shims."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from engine.domain.container import ContainerDetached, ContainerExited, ContainerOomKilled
from engine.domain.endpoint import Endpoint
from engine.domain.errors import EngineError, describe
from engine.domain.exec import ExecDetached, ExecExited, ExecStarted, ExecStartFailed
from engine.domain.machine import Event
from engine.eventlog.log import Context
from engine.runtime.failures import exec_failed
from engine.services.core import Core
from engine.services.endpoints import Endpoints
from engine.services.execs import start_failed
from engine.services.lifecycle import Lifecycle
from engine.services.ports import boot_id
from engine.services.recorder import caused_by
from engine.services.restarts import Restarts

UNKNOWN_EXIT_CODE = 255
"""For an end that nobody saw, as Docker has it."""
_CAUSES_OF_ENDS = (
    "container.stopping", "container.killing", "container.started", "container.starting", "exec.started",
)  # fmt: skip


class Monitor:
    """Takes in facts. Each may come twice, or after recovery has settled it: then it changes nothing."""

    def __init__(self, core: Core, lifecycle: Lifecycle, restarts: Restarts, endpoints: Endpoints) -> None:
        self._core = core
        self._endpoints = endpoints
        self._lifecycle = lifecycle
        self._restarts = restarts

    def handle(self, container_id: str, message: Mapping[str, Any]) -> None:
        """The runtime's ``on_message``: in order for a container, side by side for several."""
        match message["type"]:
            case "exited":
                exited = ContainerExited(
                    container_id, message["exit_code"], message["finished_at_us"], message["oom_killed"]
                )
                if message.get("leftover"):
                    self._lifecycle.sweep(container_id, self.context(container_id))
                self.exited(exited, self.context(container_id))
            case "oom":
                oom = ContainerOomKilled(container_id, message["kills"])
                with self._core.recorder.exclusive(f"container/{container_id}"):
                    self._core.recorder.record("container", container_id, oom, self.context(container_id))
            case "log_failed":
                self._lifecycle.tell_trouble(container_id, "log", message["message"], self.context(container_id))
            case "defect":
                self._lifecycle.tell_trouble(container_id, "shim", message["message"], self.context(container_id))
            case "detached":
                context = self.context(container_id, causes=("container.attached",))
                self._core.recorder.record("container", container_id, ContainerDetached(container_id), context)
            case "exec_detached":
                event = ExecDetached(message["exec_id"], container_id)
                context = self.context(container_id, f"exec/{event.exec_id}")
                self._core.recorder.record("exec", event.exec_id, event, context)
            case "exec_started":
                self._exec_came_of(ExecStarted(
                    message["exec_id"], container_id, message["pid"], message["started_at_us"]
                ))
            case "exec_failed":
                error = exec_failed(container_id, message["error"])
                self._exec_came_of(start_failed(message["exec_id"], container_id, error))
            case "exec_exited":
                self._exec_exited(container_id, message)
            case "lost":
                self.lost(container_id, "shim lost", "the container's shim died: what was left was killed")

    def exited(self, event: ContainerExited, context: Context) -> None:
        """Record the end, close what it ends with it; remove or restart the container where that was asked for."""
        container_id = event.container_id
        with self._core.recorder.exclusive(f"container/{container_id}"):
            attached = self._endpoints.attached(container_id)
            facts = self._endpoints.ending(container_id) if attached else ()
            recorded = self._core.recorder.record("container", container_id, event, context, facts)
            if recorded is not None and attached:
                self._take_off(container_id, attached, context)
            seen = event.cause == "exit"
            self.end_execs(container_id, "container exited" if seen else event.cause, context, starting=not seen)
        state = self._core.log.get("container", container_id)
        if recorded is None or state is None or state.restarting:
            return
        if state.auto_remove:
            self._auto_remove(container_id, recorded.seq, context.correlation)
        elif state.restart_policy != "no":
            self._restarts.ended(container_id, caused_by(context, recorded))

    def _take_off(self, container_id: str, attached: Sequence[Endpoint], context: Context) -> None:
        """A failure is on record, and keeps neither its restart nor its removal from coming."""
        try:
            self._endpoints.gone(attached)
        except (OSError, EngineError) as error:
            self._lifecycle.tell_trouble(container_id, "network", describe(error), context)

    def lost(self, container_id: str, cause: str, reason: str) -> None:
        """Nobody holds the container any more: kill what is left of it, then say so."""
        with self._core.recorder.exclusive(f"container/{container_id}"):
            self.kill_the_rest(container_id)
            exited = ContainerExited(
                container_id, UNKNOWN_EXIT_CODE, self._core.clock.now_us(), cause=cause, reason=reason
            )
        context = self.context(container_id)
        self._lifecycle.sweep(container_id, context)
        self.exited(exited, context)

    def kill_the_rest(self, container_id: str) -> None:
        """Kill every process in the container's cgroups: only then may the log call it exited. Where an ordinary user
        has none, its pid namespace tells them. Raises EngineError, OSError."""
        path = self._core.cgroup_path_of(container_id)
        self._core.runtime.run_job("container.kill", {"cgroup_path": path})
        started = self._core.log.last_event(f"container/{container_id}", ["container.started"])
        if self._core.rootless is not None and started is not None and started.boot_id == boot_id():
            self._core.runtime.kill_first(started.data["pid"], started.data["evidence"]["namespaces"]["pid"])

    def _exec_came_of(self, outcome: ExecStarted | ExecStartFailed) -> None:
        """Of a start that an earlier daemon had asked for."""
        context = self.context(outcome.container_id, f"exec/{outcome.exec_id}", ("exec.starting",))
        self._core.recorder.record("exec", outcome.exec_id, outcome, context)

    def _exec_exited(self, container_id: str, message: Mapping[str, Any]) -> None:
        exec_id = message["exec_id"]
        event = ExecExited(exec_id, container_id, message["exit_code"], message["finished_at_us"])
        with self._core.recorder.exclusive(f"exec/{exec_id}"):  # not before the start's outcome is on record
            self._core.recorder.record("exec", exec_id, event, self.context(container_id, f"exec/{exec_id}"))

    def end_execs(self, container_id: str, cause: str, context: Context, *, starting: bool = True) -> None:
        """An exec can't outlive its container's first process (pid_namespaces(7)). Of one that is ``starting`` whoever
        asked for it may know more than this, as long as he lives."""
        for exec_id in self._core.log.execs_of_container(container_id):
            state = self._core.log.get("exec", exec_id)
            event: Event | None = None
            if state is not None and state.status == "running":
                event = ExecExited(exec_id, container_id, 137, self._core.clock.now_us(), cause)
            elif state is not None and state.status == "starting" and starting:
                event = ExecStartFailed(exec_id, container_id, "", cause, 128)
            if event is not None:
                self._core.recorder.record("exec", exec_id, event, context)

    def _auto_remove(self, container_id: str, cause_seq: int, correlation: str) -> None:
        context = Context({"door": "auto-remove"}, correlation, f"event:{cause_seq}")
        try:
            self._lifecycle.remove(container_id, volumes=True, context=context)
        except EngineError:
            return  # a client removed it first, or the failure is on record: the container is dead and can be removed

    def context(self, container_id: str, stream: str = "", causes: Sequence[str] = _CAUSES_OF_ENDS) -> Context:
        """Reported by the shim; caused by the stop or kill that is open or was last, else by the start."""
        last = self._core.log.last_event(stream or f"container/{container_id}", causes)
        if last is None:
            return Context({"door": "shim"}, "", "")
        return Context({"door": "shim"}, last.correlation, f"event:{last.seq}")
