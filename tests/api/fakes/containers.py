"""Containers and execs without a kernel: what starts answers what the machine of the domain allows."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator, Mapping

from engine.domain import container as containers, container_commands as commands
from engine.domain import exec as execs
from engine.domain import prune as prunes
from engine.domain.errors import Conflict, InvalidArgument, NotFound, NotModified
from engine.domain.machine import Event
from engine.eventlog.log import Context
from engine.runtime.attachment import Attachment
from support.waiting import eventually

from .images import IMAGE_ID
from .log import Log


@dataclass
class ContainerView:
    state: containers.Container
    config: dict[str, Any]
    host_config: dict[str, Any]
    directory: Path
    mounts: list[dict[str, Any]] = field(default_factory=list)
    exec_ids: tuple[str, ...] = ()
    evidence: dict[str, Any] | None = None
    endpoints: tuple[Any, ...] = ()
    link_names: tuple[str, ...] = ()

    @property
    def image_name(self) -> str:
        return self.state.image

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.state.id}-json.log"

    def size(self) -> tuple[int, int]:
        return 5, 1005


class Waiter:
    """Waits on the log as the real one does."""

    def __init__(self, log: Log, container_id: str) -> None:
        self._log, self._id = log, container_id
        self.closed = False

    def result(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        def ended() -> bool:
            state = self._log.states["container"].get(self._id)
            return state is None or state.status == "exited"

        if not self._log.wait_for(ended, timeout_s or 60):
            return None
        state = self._log.states["container"].get(self._id)
        return {"StatusCode": state.exit_code if state else 0}

    def close(self) -> None:
        self.closed = True


class Containers:
    def __init__(self, log: Log, folder: Path) -> None:
        self._log, self._folder = log, folder
        self.bodies: dict[str, dict[str, Any]] = {}
        self.output: list[tuple[str, bytes]] = [("stdout", b"out\n"), ("stderr", b"err\n")]
        self.attachments: list[Attachment] = []
        self.attach_error: Exception | None = None
        self.waiters: list[Waiter] = []
        self.resized: list[tuple[str, int, int]] = []
        self.log_questions: list[dict[str, Any]] = []
        self.log_ends: list[str] = []

    def create(self, body: dict[str, Any], name: str | None, context: Context) -> tuple[str, list[str]]:
        if body.get("Image") not in ("base", "base:latest", IMAGE_ID):
            raise NotFound(f"No such image: {body.get('Image')}")
        number = 1 + len(self.bodies)
        name = name or f"name{number}"
        if any(state.name == name for state in self._log.states["container"].values()):
            raise Conflict(f'Conflict. The container name "/{name}" is already in use')
        container_id = f"{number:02x}" * 32
        self.bodies[container_id] = body
        binds = (body.get("HostConfig") or {}).get("Binds") or []
        created = containers.ContainerCreated(
            container_id, name, IMAGE_ID, body["Image"], "sha256:config", body.get("Cmd") or ["sh"], self._log.now_us,
            body.get("Labels") or {}, [bind.split(":")[0] for bind in binds],
        )  # fmt: skip
        self._log.append("container", container_id, created, context)
        return container_id, ["a warning"]

    def _view(self, state: containers.Container) -> ContainerView:
        body = self.bodies[state.id]
        log = {"Type": "json-file", "Config": {}}
        host = {"NetworkMode": "none", "LogConfig": log, **(body.get("HostConfig") or {})}
        config = {key: value for key, value in body.items() if key != "HostConfig"}
        mounts = [
            {"Type": "volume", "Name": name, "Source": f"/v/{name}/_data", "Destination": "/data", "Driver": "local",
             "Mode": "z", "RW": True, "Propagation": ""}
            for name in state.volumes
        ]  # fmt: skip
        return ContainerView(state, config, host, self._folder / state.id, mounts)

    def get(self, ref: str, *, as_of: str | None = None) -> ContainerView:
        return self._view(self._log.find("container", ref, "container"))

    def list(self, *, as_of: str | None = None, only_up: bool = False) -> list[ContainerView]:
        if as_of == "#0":
            return []
        return [self._view(state) for state in self._log.states["container"].values() if state.up or not only_up]

    def rename(self, ref: str, name: str, context: Context) -> None:
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        state = self.get(ref).state
        self._log.append("container", state.id, containers.ContainerRenamed(state.id, name, state.name), context)

    def wait(self, ref: str, condition: str) -> Waiter:
        if condition not in ("not-running", "next-exit", "removed"):
            raise InvalidArgument(f"invalid condition: {condition!r}")
        self.waiters.append(Waiter(self._log, self.get(ref).state.id))
        return self.waiters[-1]

    def logs(self, ref: str, *, stop: threading.Event | None = None, **question: Any) -> Iterator[tuple[str, bytes]]:
        self.log_questions.append(question)
        return self._lines(question, stop)

    def _lines(self, question: dict[str, Any], stop: threading.Event | None) -> Iterator[tuple[str, bytes]]:
        try:
            for stream, data in self.output:
                if question[stream]:
                    yield stream, data
            if question["follow"] and stop is not None:
                stop.wait()
        finally:
            self.log_ends.append("ended")

    def attach(
        self, ref: str, attachment: Attachment, context: Context, *, logs: bool = False, announce: Any = None
    ) -> None:
        if announce is not None:
            announce()
        if self.attach_error is not None:
            os.close(attachment.fd)
            raise self.attach_error
        self.attachments.append(attachment)

    def resize(self, ref: str, rows: int, columns: int) -> None:
        self.resized.append((ref, rows, columns))

    def top(self, ref: str, ps_args: str) -> tuple[list[str], list[list[str]]]:
        return ["PID", "CMD"], [["1", f"sh {ps_args}"]]


class Lifecycle:
    def __init__(self, log: Log, found: Containers) -> None:
        self._log, self._containers = log, found

    def _do(self, ref: str, command: Any, context: Context, *outcomes: Callable[[str], Event]) -> None:
        state = self._containers.get(ref).state
        for event in [*commands.decide(state, command), *(outcome(state.id) for outcome in outcomes)]:
            self._log.append("container", state.id, event, context)

    def start(self, ref: str, context: Context) -> None:
        now_us = self._log.now_us
        self._do(ref, commands.StartContainer(), context, lambda i: containers.ContainerStarted(i, 4242, now_us))
        if self._containers.get(ref).state.command == ["greet"]:
            self._greet(ref)

    def _greet(self, ref: str) -> None:
        """A container that says its lines to whoever attached, and ends. Its client, which was told that it is
        attached, may be here before the thread that attaches it is done."""
        eventually(lambda: self._containers.attachments)
        while self._containers.attachments:
            attachment = self._containers.attachments.pop()
            for stream, data in self._containers.output:
                number = b"\2" if stream == "stderr" else b"\1"
                os.write(attachment.fd, number + b"\0\0\0" + len(data).to_bytes(4, "big") + data)
            os.close(attachment.fd)
        self.end(ref, 5)

    def end(self, ref: str, exit_code: int, context: Context | None = None) -> None:
        """The container's own end."""
        state = self._containers.get(ref).state
        event = containers.ContainerExited(state.id, exit_code, self._log.now_us)
        self._log.append("container", state.id, event, context or Context({"door": "shim"}, "shim", "shim"))

    def stop(self, ref: str, timeout_s: int | None, signal: str | None, context: Context) -> None:
        self._stop(ref, timeout_s, context)

    def _stop(self, ref: str, timeout_s: int | None, context: Context, *, restarting: bool = False) -> None:
        command = commands.StopContainer(15, 10 if timeout_s is None else timeout_s, restarting)
        self._do(ref, command, context, lambda i: containers.ContainerExited(i, 143, self._log.now_us))

    def restart(self, ref: str, timeout_s: int | None, signal: str | None, context: Context) -> None:
        with suppress(NotModified):
            self._stop(ref, timeout_s, context, restarting=True)
        self.start(ref, context)

    def kill(self, ref: str, signal: str, context: Context) -> None:
        self._do(ref, commands.KillContainer(9), context, lambda i: containers.ContainerKilled(i, 9))

    def pause(self, ref: str, context: Context) -> None:
        self._do(ref, commands.PauseContainer(), context, containers.ContainerPaused)

    def unpause(self, ref: str, context: Context) -> None:
        self._do(ref, commands.UnpauseContainer(), context, containers.ContainerUnpaused)

    def remove(self, ref: str, *, force: bool, volumes: bool, context: Context) -> None:
        if force and self._containers.get(ref).state.alive:
            self.end(ref, 137)
        self._do(ref, commands.RemoveContainer(volumes), context, containers.ContainerRemoved)

    def prune(self, filters: Mapping[str, list[str]], context: Context) -> tuple[list[str], int]:
        gone = [view.state.id for view in self._containers.list() if not view.state.alive]
        for container_id in gone:
            self.remove(container_id, force=False, volumes=False, context=context)
        for event in prunes.decide(None, prunes.RecordPrune("container", len(gone), 5 * len(gone))):
            self._log.append("prune", "container", event, context)
        return gone, 5 * len(gone)


class Execs:
    """An exec prints a line and exits at once."""

    def __init__(self, log: Log, found: Containers) -> None:
        self._log, self._containers = log, found
        self.bodies: dict[str, dict[str, Any]] = {}
        self.resized: list[tuple[str, int, int]] = []
        self.start_error: Exception | None = None

    def create(self, ref: str, body: dict[str, Any], context: Context) -> str:
        state = self._containers.get(ref).state
        exec_id = f"e{len(self.bodies):x}" * 32
        created = execs.ExecCreated(
            exec_id, state.id, "sha256:exec", body["Cmd"], self._log.now_us, tty=bool(body.get("Tty"))
        )
        for event in execs.decide(None, execs.CreateExec(created, state.public_status)):
            self._log.append("exec", exec_id, event, context)
        self.bodies[exec_id] = body
        return exec_id

    def get(self, exec_id: str) -> Any:
        state = self._log.find("exec", exec_id, "exec instance")
        return SimpleNamespace(state=state, config=self.bodies[state.id])

    def start(self, exec_id: str, attachment: Attachment | None, context: Context) -> None:
        state = self.get(exec_id).state
        if self.start_error is not None:
            if attachment is not None:
                os.close(attachment.fd)
            raise self.start_error
        container_id = state.container_id
        for event in (
            *execs.decide(state, execs.StartExec()),
            execs.ExecStarted(exec_id, container_id, 77, self._log.now_us),
        ):
            self._log.append("exec", exec_id, event, context)
        if attachment is not None:
            text = b"early:" + attachment.early if attachment.early else b"hi\n"
            os.write(attachment.fd, b"\1\0\0\0" + len(text).to_bytes(4, "big") + text if attachment.framed else text)
            os.close(attachment.fd)
        self._log.append("exec", exec_id, execs.ExecExited(exec_id, container_id, 0, self._log.now_us), context)

    def resize(self, exec_id: str, rows: int, columns: int) -> None:
        self.resized.append((exec_id, rows, columns))
