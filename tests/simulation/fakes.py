"""A kernel, a clock and dice that a seed decides. What they hold survives a crash of the engine, as real ones do."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from pathlib import Path
from typing import Any, Callable, Sequence

from engine.domain.errors import NotFound, Unavailable
from engine.images.jobs import compress_layer
from engine.runtime.attachment import Attachment
from engine.runtime.failures import LaunchFailed


class Crash(BaseException):
    """The engine's process is gone at this point; not an error that anything may catch."""


class SeededClock:
    """Advances a little with every look, and jumps back now and then as clocks do."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._now_us = 1_700_000_000_000_000
        self._monotonic_s = 0.0

    def now_us(self) -> int:
        self._now_us += self._dice.choice((1, 10, 1_000, 5_000_000, -2_000_000))
        return self._now_us

    def monotonic_s(self) -> float:
        self._monotonic_s += 0.001
        return self._monotonic_s


class SeededRandomness:
    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def hex(self, length: int) -> str:
        return f"{self._dice.getrandbits(length * 4):0{length}x}"

    def below(self, limit: int) -> int:
        return self._dice.randrange(limit)


class FakeTimers:
    """What was to happen later happens when the dice say so."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._calls: list[Callable[[], None]] = []

    def later(self, delay_s: float, name: str, call: Callable[[], None]) -> None:
        self._calls.append(call)

    def fire(self) -> None:
        if self._calls:
            self._calls.pop(self._dice.randrange(len(self._calls)))()


class FakeContainer:
    """What a shim holds: the liveness lock, the journal, whether the process runs."""

    def __init__(self, lock_fd: int, directory: str) -> None:
        self.lock_fd = os.dup(lock_fd)
        self.directory = directory
        self.journal: list[dict[str, Any]] = []
        self.alive = False
        self.frozen = False
        self.pending_kill = False
        self.execs: set[str] = set()

    def let_go(self) -> None:
        self.alive = False
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1


class FakeRuntime:
    """Containers without a kernel. ``crash`` is asked at every effect, before it and after it."""

    def __init__(self, dice: random.Random, clock: SeededClock) -> None:
        self.dice = dice
        self.clock = clock
        self.containers: dict[str, FakeContainer] = {}
        self.on_message: Callable[[str, dict[str, Any]], None] = lambda container_id, message: None
        self.on_crash: Callable[[], None] = lambda: None
        self.crash_probability = 0.0
        self.threads: list[threading.Thread] = []
        self.connected = True

    def _perhaps_crash(self) -> None:
        if self.dice.random() < self.crash_probability:
            self.connected = False
            self.on_crash()  # whichever thread it is: the engine's process takes all others with it
            raise Crash

    # --- what the services call ---

    def launch(
        self, plan: dict[str, Any], lock_fd: int, attachments: Sequence[Attachment] = (), held: Sequence[int] = ()
    ) -> dict[str, Any]:
        self._perhaps_crash()
        if self.dice.random() < 0.1:
            raise LaunchFailed("exec: no such file", step="exec.start", errno=2, exit_code=127)
        container = FakeContainer(lock_fd, plan["directory"])
        self.containers[plan["container_id"]] = container
        container.alive = True
        facts = {
            "pid": self.dice.randrange(2, 99_999), "started_at_us": self.clock.now_us(),
            "evidence": {"namespaces": {"pid": self.dice.randrange(10**9)}}, "warnings": [],
        }  # fmt: skip
        container.journal.append({"type": "started", **facts})
        self._perhaps_crash()
        return facts

    def adopt(self, container_id: str, directory: str) -> list[dict[str, Any]]:
        container = self.containers.get(container_id)
        if container is None:
            return []
        return [*container.journal, *([{"type": "adopted"}] if container.alive else [])]

    def serve_names(self, container_id: str) -> None:
        """Nothing looks names up here."""

    def hold_ports(self, container_id: str, held: Sequence[int], listeners: Sequence[dict[str, Any]]) -> None:
        """Nothing comes in here."""

    def release_ports(self, container_id: str) -> None:
        """See ``hold_ports``."""

    def signal(self, container_id: str, signal: int) -> None:
        self._perhaps_crash()
        container = self._living(container_id)
        if signal == 9 or self.dice.random() < 0.5:
            if container.frozen:
                container.pending_kill = True
            else:
                self.end(container_id, 128 + signal)
        self._perhaps_crash()

    def pause(self, container_id: str) -> None:
        self._perhaps_crash()
        self._living(container_id).frozen = True
        self._perhaps_crash()

    def resume(self, container_id: str) -> None:
        self._perhaps_crash()
        container = self._living(container_id)
        container.frozen = False
        if container.pending_kill:
            self.end(container_id, 137)
        self._perhaps_crash()

    def resize(self, container_id: str, exec_id: str | None, rows: int, cols: int) -> None:
        self._living(container_id)

    def attach(self, container_id: str, attachment: Attachment) -> None:
        self._living(container_id)

    def exec(self, container_id: str, plan: dict[str, Any], attachment: Attachment | None) -> dict[str, Any]:
        self._perhaps_crash()
        container = self._living(container_id)
        facts = {"pid": self.dice.randrange(2, 99_999), "started_at_us": self.clock.now_us()}
        container.execs.add(plan["exec_id"])
        container.journal.append({"type": "exec_started", "exec_id": plan["exec_id"], **facts})
        self._perhaps_crash()
        return facts

    def probe(self, container_id: str, plan: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self._living(container_id)
        now_us = self.clock.now_us()
        return {
            "exit_code": self.dice.choice((0, 0, 1)), "output": "said", "timed_out": self.dice.random() < 0.1,
            "started_at_us": now_us, "finished_at_us": now_us,
        }  # fmt: skip

    def run_job(self, name: str, arguments: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        self._perhaps_crash()
        result = getattr(self, "_job_" + name.replace(".", "_"))(arguments)
        self._perhaps_crash()
        return result

    # --- jobs ---

    def _job_layer_digest(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"diff_id": "sha256:" + hashlib.sha256(Path(arguments["blob"]).read_bytes()).hexdigest()}

    def _job_layer_unpack(self, arguments: dict[str, Any]) -> dict[str, Any]:
        target = Path(arguments["target"])
        temporary = target.parent / f"tmp-{target.name}"
        temporary.mkdir(exist_ok=True)
        unpacked = {"diff_id": arguments["diff_id"], "size_bytes": 7, "entries": 1, "warnings": []}
        return {**unpacked, "temporary": str(temporary)}

    def _job_layers_place(self, arguments: dict[str, Any]) -> dict[str, Any]:
        for temporary, target in arguments["layers"]:
            os.rename(temporary, target)
        return {}

    def _job_layer_compress(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return compress_layer(arguments, [])

    def _job_tree_remove(self, arguments: dict[str, Any]) -> dict[str, Any]:
        path = Path(arguments["path"])
        for folder, folders, files in os.walk(path, topdown=False):
            for file in files:
                os.unlink(os.path.join(folder, file))
            for child in folders:
                os.rmdir(os.path.join(folder, child))
        if path.exists():
            path.rmdir()
        return {}

    def _job_container_kill(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._job_container_sweep(arguments)

    def _job_container_sweep(self, arguments: dict[str, Any]) -> dict[str, Any]:
        container = self.containers.get(arguments["cgroup_path"].rpartition("/")[2])
        if container is not None:
            container.let_go()
        return {}

    # --- what happens by itself ---

    def end(self, container_id: str, exit_code: int) -> None:
        """The first process ends: the shim writes it down, then tells whoever listens."""
        container = self.containers[container_id]
        message = {
            "type": "exited", "exit_code": exit_code, "finished_at_us": self.clock.now_us(), "oom_killed": False,
        }  # fmt: skip
        container.journal.append(message)
        container.let_go()
        self._tell(container_id, message)

    def end_exec(self, container_id: str, exec_id: str, exit_code: int) -> None:
        container = self.containers[container_id]
        container.execs.discard(exec_id)
        message = {
            "type": "exec_exited", "exec_id": exec_id, "exit_code": exit_code, "finished_at_us": self.clock.now_us(),
        }  # fmt: skip
        container.journal.append(message)
        self._tell(container_id, message)

    def lose_shim(self, container_id: str) -> None:
        """kill -9 of a shim."""
        self.containers[container_id].let_go()
        self._tell(container_id, {"type": "lost"})

    def reboot(self) -> None:
        """Every process ends, and nobody writes that down."""
        for container in self.containers.values():
            container.let_go()

    def _living(self, container_id: str) -> FakeContainer:
        container = self.containers.get(container_id)
        if container is None or not container.alive:
            raise NotFound(f"no shim of container {container_id} answers")
        return container

    def _tell(self, container_id: str, message: dict[str, Any]) -> None:
        """On a thread of its own, as the supervisor does; lost while no engine listens."""
        if not self.connected:
            return
        thread = threading.Thread(target=self._deliver, args=(container_id, message), daemon=True)
        thread.start()
        self.threads.append(thread)

    def _deliver(self, container_id: str, message: dict[str, Any]) -> None:
        try:
            self.on_message(container_id, message)
        except (Crash, Unavailable):
            pass  # this thread, or another one of the same process

    def settle(self) -> None:
        """Wait until all that was told has been taken in."""
        while self.threads:
            self.threads.pop().join(30)
