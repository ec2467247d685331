"""Execs: one more process in a running container."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.errors import Conflict, InvalidArgument, NotFound, describe
from engine.domain.exec import CreateExec, Exec, ExecCreated, ExecStarted, ExecStartFailed, StartExec
from engine.eventlog.log import Context, Document
from engine.runtime.attachment import Attachment
from engine.runtime.link import Leaving
from engine.services import links, request_shapes
from engine.services.core import Core, resolve_container
from engine.services.launch_plan import build_exec_plan, hostname_of
from engine.services.recorder import caused_by
from engine.services.views import ExecView

COMMAND_NOT_FOUND, CANNOT_EXECUTE = 127, 126
"""What an exec ends with that never ran, as in Docker and in shells."""

_DEFAULTS: Mapping[str, Any] = {
    "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "Tty": False, "Env": [], "Cmd": [],
    "User": "", "WorkingDir": "", "DetachKeys": "", "Privileged": False,
}  # fmt: skip


def start_failed(exec_id: str, container_id: str, error: Exception) -> ExecStartFailed:
    """The outcome of a start that came to nothing."""
    exit_code = COMMAND_NOT_FOUND if getattr(error, "exit_code", 0) == COMMAND_NOT_FOUND else CANNOT_EXECUTE
    return ExecStartFailed(exec_id, container_id, getattr(error, "step", ""), describe(error), exit_code)


class Execs:
    """Create, start, inspect, resize."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(self, reference: str, body: Mapping[str, Any], context: Context) -> str:
        """Answer with the exec's id. Raises Conflict where the container doesn't run."""
        container = resolve_container(self._core.log, reference)
        request_shapes.check(body, request_shapes.EXEC)
        chosen = {key: body.get(key) or default for key, default in _DEFAULTS.items()}
        if not chosen["Cmd"]:
            raise InvalidArgument("No exec command specified")
        if chosen["WorkingDir"] and not chosen["WorkingDir"].startswith("/"):
            raise InvalidArgument(f"the working directory '{chosen['WorkingDir']}' is invalid, it must be absolute")
        text = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        document = Document("exec-config", text.encode())
        exec_id = self._core.randomness.hex(64)
        created = ExecCreated(
            exec_id, container.id, document.digest, list(chosen["Cmd"]), self._core.clock.now_us(),
            privileged=chosen["Privileged"], tty=chosen["Tty"], user=chosen["User"],
        )  # fmt: skip
        self._core.recorder.decide("exec", exec_id, CreateExec(created, container.public_status), context, [document])
        return exec_id

    def start(self, exec_id: str, attachment: Attachment | None, context: Context) -> None:
        """Run it; the attachment's descriptor is passed on. Raises NotFound, Conflict or LaunchFailed."""
        with self._core.recorder.exclusive(f"exec/{exec_id}"):
            try:
                state = self._get(exec_id)
                container = resolve_container(self._core.log, state.container_id)
                if container.public_status == "paused":
                    raise Conflict(f"container {container.id} is paused, unpause the container before exec")
                plan = self._plan(state, container)
                intent = self._core.recorder.decide("exec", state.id, StartExec(), context)[-1]
            except BaseException:
                if attachment is not None:
                    os.close(attachment.fd)
                raise
            self._launch(state.id, container.id, plan, attachment, caused_by(context, intent))

    def _plan(self, state: Exec, container: Container) -> dict[str, Any]:
        settings = self._core.settings_of(container)
        body = self._core.settings_of(state)
        config, host = settings["Config"], settings["HostConfig"]
        linked = list(links.of(self._core, host))
        config = {**config, "Env": [*links.variables(container, linked), *config["Env"]]}
        return build_exec_plan(state.id, body, config, host, hostname_of(container.id, config, host))

    def _launch(
        self, exec_id: str, container_id: str, plan: dict[str, Any], attachment: Attachment | None, outcome: Context
    ) -> None:
        try:
            launched = self._core.runtime.exec(container_id, plan, attachment)
        except Leaving:
            raise  # the shim goes on with it: the outcome is what the next daemon hears
        except Exception as error:  # a defect as well: the intent must get its outcome
            self._core.recorder.record("exec", exec_id, start_failed(exec_id, container_id, error), outcome)
            raise
        started = ExecStarted(exec_id, container_id, launched["pid"], launched["started_at_us"])
        self._core.recorder.record("exec", exec_id, started, outcome)

    def get(self, exec_id: str) -> ExecView:
        """Raises NotFound."""
        state = self._get(exec_id)
        return ExecView(state, self._core.settings_of(state))

    def _get(self, exec_id: str) -> Exec:
        state = self._core.log.get("exec", exec_id)
        if state is None:
            candidates = self._core.log.by_prefix("exec", exec_id, limit=2) if exec_id else []
            if len(candidates) != 1:
                raise NotFound(f"No such exec instance: {exec_id}")
            state = candidates[0]
        return state

    def resize(self, exec_id: str, rows: int, cols: int) -> None:
        """The terminal's size in characters."""
        state = self._get(exec_id)
        self._core.runtime.resize(state.container_id, state.id, rows, cols)
