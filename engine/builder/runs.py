"""RUN: a container like any other, made from the layers of the step before, whose writable layer becomes the next."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any, Callable, Mapping

from engine.domain.errors import Conflict, EngineError, NotFound
from engine.eventlog.log import Context
from engine.runtime.attachment import Attachment
from engine.services.containers import Containers
from engine.services.core import Core
from engine.services.lifecycle import Lifecycle
from engine.services.waits import Waiter

_PIECE_BYTES = 65536
_POLL_S = 0.25


class RunFailed(EngineError):
    """The command ended with another status than 0."""

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(f"The command '{command}' returned a non-zero code: {exit_code}")
        self.exit_code = exit_code


class Runner:
    """Runs one command after the other, each in a container of its own."""

    def __init__(self, core: Core, containers: Containers, lifecycle: Lifecycle) -> None:
        self._core = core
        self._containers = containers
        self._lifecycle = lifecycle

    def create(
        self, config: Mapping[str, Any], host: Mapping[str, Any], *, chain_ids: list[str], image: str, build_id: str,
        context: Context,
    ) -> str:  # fmt: skip
        """Make the container. Answers with its id; whoever made it removes it."""
        body = {**config, "HostConfig": {**host, "LogConfig": {"Type": "none", "Config": {}}}}
        return self._containers.create_for_build(body, chain_ids, image, build_id, context)

    def run(
        self, container_id: str, command: str, output: Callable[[bytes], None], stop: threading.Event, context: Context
    ) -> None:
        """Start, pass on what is written, wait for the end. Raises RunFailed; what start raises; and Conflict where
        ``stop`` was set, when nothing of it runs any more."""
        own, theirs = socket.socketpair()
        with own:
            attachment = Attachment(theirs.detach(), stdin=False, stdout=True, stderr=True, framed=False)
            self._containers.attach(container_id, attachment, context)
            with Waiter(self._core.log, self._core.clock, container_id, "next-exit") as waiter:
                self._lifecycle.start(container_id, context)
                self._pass_on(container_id, own, output, stop, context)
                exit_code = self._ended(container_id, waiter, stop, context)
        if stop.is_set():
            raise Conflict("the build was stopped")
        if exit_code:
            raise RunFailed(command, exit_code)

    def _pass_on(
        self, container_id: str, own: socket.socket, output: Callable[[bytes], None], stop: threading.Event,
        context: Context,
    ) -> None:  # fmt: skip
        own.settimeout(_POLL_S)
        while not stop.is_set():
            try:
                piece = own.recv(_PIECE_BYTES)
            except TimeoutError:
                continue
            if not piece:
                return
            output(piece)

    def _ended(self, container_id: str, waiter: Waiter, stop: threading.Event, context: Context) -> int:
        while (answer := waiter.result(_POLL_S)) is None:
            if stop.is_set():
                self.kill(container_id, context)
        return int(answer["StatusCode"])

    def kill(self, container_id: str, context: Context) -> None:
        try:
            self._lifecycle.kill(container_id, "SIGKILL", context)
        except (Conflict, NotFound):
            return  # it ended by itself

    def commit(self, container_id: str, content: str, stubs: list[str], latest_s: int | None) -> dict[str, Any]:
        """The blob of what the container has changed: see ``layer.commit``."""
        container = self._core.log.get("container", container_id)
        assert container is not None
        lower = [str(self._core.store.layer(chain_id)) for chain_id in reversed(container.chain_ids)]
        upper = str(self._core.store.container(container_id) / "upper")
        if not os.path.isdir(upper):
            return {"digest": "", "size_bytes": 0, "entries": 0}
        job = {"upper": upper, "lower": lower, "content": content, "stubs": stubs, "latest_s": latest_s}
        return self._core.runtime.run_job("layer.commit", job)

    def remove(self, container_id: str, context: Context) -> None:
        """Whatever state it is in."""
        try:
            self._lifecycle.remove(container_id, force=True, volumes=True, context=context)
        except NotFound:
            return
