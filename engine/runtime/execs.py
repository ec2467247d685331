"""The shim's execs, from the request to the record of the end; beside the main loop, so that nothing waits for them."""

from __future__ import annotations

import errno
import os
import select
import socket
import time

import _signal as signal

from engine.runtime import exec_process, messages
from engine.runtime.capture import Capture
from engine.runtime.exec_process import Target
from engine.runtime.control import Connection, Control
from engine.runtime.journal import Journal
from engine.runtime.launch import died
from engine.runtime.loop import IN, Loop
from engine.runtime.setup import Json, failure
from engine.runtime.stdio import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


SEEN_S = 10.0
"""How long the clients of an ended exec wait for a daemon, while there is one, to put its end on record."""


_LOOK_S = 1.0
"""How often a set-up that takes long is looked after."""
_SETUP_S = 20.0
"""How long one may take. A daemon waits longer than that (link.ANSWER_S): it must never call an exec failed that may
start still."""
PROBE_OUTPUT_BYTES = 4096
"""How much of what a probe says is kept, as Docker has it."""


class _Asker:
    """The request that is answered."""

    __slots__ = ("connection", "request_id")

    def __init__(self, connection: Connection, request_id: int) -> None:
        self.connection, self.request_id = connection, request_id

    def answer(self, facts: Json) -> None:
        self.connection.send({"reply": self.request_id, **facts})


class _Exec:
    """One exec. ``running`` once its command was executed; without an ``asker`` where the daemon that asked for it has
    left. ``probe`` is the output of a command whose end is the answer to its request, and nothing else: it is in no
    journal."""

    def __init__(
        self, exec_id: str, pid: int, handshake: socket.socket, stdio: Stdio, asker: _Asker,
        probe: Capture | None = None,
    ) -> None:  # fmt: skip
        self.id = exec_id
        self.asker: _Asker | None = asker
        self.probe = probe
        self.timed_out = False
        self.pid = pid
        self.handshake = handshake
        self.stdio = stdio
        self.went = False
        self.running = False
        self.started_at_us = 0
        self.exit_code: int | None = None


class Execs:
    """All execs of one container."""

    def __init__(
        self, loop: Loop, directory: str, journal: Journal, control: Control, target: Target
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._journal = journal
        self._control = control
        self._target = target
        self._by_pid: dict[int, _Exec] = {}
        self._unseen: dict[str, Stdio] = {}
        control.when_alone = self._nobody_sees

    def start(
        self, connection: Connection, request_id: int, plan: Json, client: Json | None, fds: list[int]
    ) -> None:
        """Begin one; the request is answered when the command has been executed, or can't be."""
        stdio = Stdio(
            self._loop, self._directory, tty=bool(plan.get("tty")), open_stdin=bool(plan.get("open_stdin")),
            stdin_once=True, captured=client is not None,
            on_detached=lambda: self._control.tell_all({"type": "exec_detached", "exec_id": plan["exec_id"]}),
        )  # fmt: skip
        try:
            if client is not None:
                stdio.attach(fds.pop(), client)
            pid, handshake = exec_process.start(plan, self._target, stdio.for_child)
        except BaseException:
            stdio.abandon()
            raise
        self._await_handshake(_Exec(plan["exec_id"], pid, handshake, stdio, _Asker(connection, request_id)))

    def probe(self, connection: Connection, request_id: int, plan: Json, timeout_s: float) -> None:
        """Run a command to its end, or kill it after ``timeout_s``; the answer says how that went."""
        output = Capture(PROBE_OUTPUT_BYTES)
        stdio = Stdio(self._loop, self._directory, tty=False, open_stdin=False, stdin_once=True, log=output)
        try:
            pid, handshake = exec_process.start(plan, self._target, stdio.for_child)
        except BaseException:
            stdio.abandon()
            raise
        execution = _Exec(plan["exec_id"], pid, handshake, stdio, _Asker(connection, request_id), output)
        self._await_handshake(execution)
        self._loop.later(timeout_s, lambda: self._time_is_up(execution))

    def _time_is_up(self, execution: _Exec) -> None:
        if self._by_pid.get(execution.pid) is execution and execution.exit_code is None:
            execution.timed_out = True
            os.kill(execution.pid, signal.SIGKILL)  # our child, and not reaped yet: the number is its own

    def _await_handshake(self, execution: _Exec) -> None:
        self._by_pid[execution.pid] = execution
        self._loop.watch(
            execution.handshake.fileno(), IN, lambda events: self._answered(execution),
            lambda: self._refuse(execution, died("the process")),
        )  # fmt: skip
        self._look_later(execution, time.monotonic() + _SETUP_S)

    def hand_over(self) -> list[str]:
        """The ids of those that are being set up, for a daemon that has come: whoever asked for them has left, so
        what becomes of them is news."""
        starting = [one for one in self._by_pid.values() if not one.running and one.probe is None]
        for execution in starting:
            execution.asker = None
        return [execution.id for execution in starting]

    def _look_later(self, execution: _Exec, until_s: float) -> None:
        self._loop.later(_LOOK_S, lambda: self._look(execution, until_s))

    def _look(self, execution: _Exec, until_s: float) -> None:
        """Give up one that isn't set up yet where the container is frozen, for as long as somebody likes, or where it
        takes too long. It is killed, so that it is true that it didn't start."""
        if self._by_pid.get(execution.pid) is not execution or execution.running or execution.exit_code is not None:
            return
        if not _is_silent(execution.handshake):  # its next word is here, perhaps that the command was executed
            self._look_later(execution, until_s)
            return
        if self._target.cgroup.is_frozen():
            reason = OSError(errno.EBUSY, "the container is paused")
        elif time.monotonic() > until_s:
            reason = OSError(errno.ETIMEDOUT, f"the process was not set up within {_SETUP_S:.0f} s")
        else:
            self._look_later(execution, until_s)
            return
        os.kill(execution.pid, signal.SIGKILL)  # our child, and not reaped yet: the number is its own
        self._refuse(execution, failure(reason))

    def _answered(self, execution: _Exec) -> None:
        """The child's next word: ready, a failure, or the end of file by which execve(2) closes its end."""
        try:
            received = messages.receive(execution.handshake)
            message, fds = received if received is not None else (None, [])
            if message is not None and message["type"] == "ready":
                execution.stdio.open(fds[0] if fds else -1)
        except OSError as error:  # no descriptor is left
            self._refuse(execution, failure(error))
            return
        if message is not None and message["type"] == "ready":
            execution.went = True
            execution.started_at_us = time.time_ns() // 1000
            try:
                messages.send(execution.handshake, {"type": "go"})
            except OSError:
                return  # it was killed just now: the end of file comes next, and its exit status
            return
        if message is None and execution.went:
            self._started(execution)
            return
        self._refuse(execution, message or died("the process"))

    def _refuse(self, execution: _Exec, error: Json) -> None:
        self._drop(execution)
        if execution.asker is not None:
            execution.asker.answer({"error": error})
        else:
            self._control.tell_all({"type": "exec_failed", "exec_id": execution.id, "error": error})

    def _started(self, execution: _Exec) -> None:
        self._close_handshake(execution)
        execution.running = True
        if execution.probe is not None:
            if execution.exit_code is not None:
                self._record_end(execution)
            return
        facts: dict[str, Any] = {"pid": execution.pid, "started_at_us": execution.started_at_us}
        record = {"type": "exec_started", "exec_id": execution.id, **facts}
        self._note(record, durable=False)
        if execution.asker is not None:
            execution.asker.answer(facts)
        else:
            self._control.tell_all(record)
        if execution.exit_code is not None:
            self._record_end(execution)

    def _drop(self, execution: _Exec) -> None:
        """It never came to be; its process is reaped by number when it ends."""
        self._close_handshake(execution)
        execution.stdio.abandon()
        self._by_pid.pop(execution.pid, None)

    def _close_handshake(self, execution: _Exec) -> None:
        self._loop.forget(execution.handshake.fileno())
        execution.handshake.close()

    def ended(self, pid: int, exit_code: int) -> None:
        """A child of the shim was reaped; perhaps it is an exec's, perhaps an orphan of the container."""
        execution = self._by_pid.get(pid)
        if execution is None:
            return
        execution.exit_code = exit_code
        if execution.running:
            self._record_end(execution)

    def all_ended(self) -> None:
        """The container is gone, and its execs with it: they are recorded before it is."""
        for execution in list(self._by_pid.values()):
            if execution.running:
                execution.exit_code = 137 if execution.exit_code is None else execution.exit_code
                self._record_end(execution)
            elif execution.asker is None:
                self._refuse(execution, failure(ProcessLookupError(errno.ESRCH, "the container has ended")))
            else:
                self._drop(execution)  # who asked sees its connection end

    @property
    def waits_to_be_seen(self) -> bool:
        """Whether clients are still held back until a daemon has put the end of their exec on record."""
        return bool(self._unseen)

    def _record_end(self, execution: _Exec) -> None:
        del self._by_pid[execution.pid]
        if execution.probe is not None:
            self._answer_probe(execution, execution.probe)
            return
        record: dict[str, Any] = {
            "type": "exec_exited", "exec_id": execution.id, "exit_code": execution.exit_code,
            "finished_at_us": time.time_ns() // 1000,
        }  # fmt: skip
        self._note(record, durable=True)
        self._unseen[execution.id] = execution.stdio
        if self._control.tell_all(record):
            self._loop.later(SEEN_S, lambda: self.seen(execution.id))
        else:
            self.seen(execution.id)

    def _note(self, record: dict[str, Any], *, durable: bool) -> None:
        """A full disk must end neither the shim nor the container: then the daemon alone is told."""
        try:
            self._journal.append(record, durable=durable)
        except OSError as error:
            record["unrecorded"] = failure(error)["message"]

    @staticmethod
    def _answer_probe(execution: _Exec, output: Capture) -> None:
        execution.stdio.finish()
        assert execution.asker is not None
        execution.asker.answer({
            "exit_code": execution.exit_code, "output": output.text, "timed_out": execution.timed_out,
            "started_at_us": execution.started_at_us, "finished_at_us": time.time_ns() // 1000,
        })  # fmt: skip

    def seen(self, exec_id: str) -> None:
        """The end is on record: now its clients may see the end of the stream, and ask for the exit code."""
        if (stdio := self._unseen.pop(exec_id, None)) is not None:
            stdio.finish()

    def _nobody_sees(self) -> None:
        for exec_id in list(self._unseen):
            self.seen(exec_id)

    def stdio_of(self, exec_id: str) -> Stdio:
        """Raises OSError where no such exec runs."""
        for execution in self._by_pid.values():
            if execution.id == exec_id:
                return execution.stdio
        raise ProcessLookupError(3, f"no exec {exec_id} runs")


def _is_silent(handshake: socket.socket) -> bool:
    poll = select.poll()
    poll.register(handshake.fileno(), select.POLLIN)
    return not poll.poll(0)
