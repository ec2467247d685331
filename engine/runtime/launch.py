"""Launching: the launcher's side of the handshake with an init. See ``init`` for the child's."""

from __future__ import annotations

import os
import select
import time

from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import (
    CLONE_NEWCGROUP, CLONE_NEWTIME, CLONE_PARENT, FLAGS, clone, clone_near_cgroup, unshare_time,
)  # fmt: skip
from engine.kernel.steps import step
from engine.runtime import evidence, go_between, init, joining, messages, userns
from engine.runtime.setup import Json, has_user_namespace, joined_namespaces, new_namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import NoReturn, Sequence


SECCOMP_MODE_FILTER = 2
"""What /proc/PID/status says of a process under a filter (proc_pid_status(5))."""


class SetupFailed(Exception):
    """The child reported, or its end tells, why there will be no process. ``report`` is the message for the daemon."""

    def __init__(self, report: Json) -> None:
        super().__init__(report["message"])
        self.report = report


class Aborted(Exception):
    """The daemon is gone before the command was executed: nothing is to be left of this launch."""


class Launched:
    """``terminal_fd`` is the master of the terminal, or -1."""

    __slots__ = ("pid", "started_at_us", "evidence", "warnings", "terminal_fd")

    def __init__(self, pid: int, started_at_us: int, evidence: Json, warnings: list[str], terminal_fd: int) -> None:
        self.pid, self.started_at_us, self.evidence = pid, started_at_us, evidence
        self.warnings, self.terminal_fd = warnings, terminal_fd


class Watcher:
    """What a launcher does of its own during a launch. What it raises ends the launch."""

    def cloned(self, pid: int) -> list[Json]:
        """The init's namespaces are there, and it sets itself up. The network interfaces that were made in them."""
        return []

    def hooks(self, pid: int) -> Json:
        """Hooks of the moment before the root changes are due. The state that the init's own hooks get."""
        return {}

    def seccomp_listener(self, pid: int, fd: int) -> None:
        """The init's descriptor number of the listener of its seccomp filter. It goes on without an answer."""

    def ready(self, pid: int, evidence: Json, terminal_fd: int) -> None:
        """All is set up; the command is executed next, or when somebody says so."""


class Launch:
    """One attempt. Whoever called cleans up after a failure.

    ``as_sibling``: the init becomes a child of the caller's parent. ``listener`` is a listening socket: then the
    command is executed only when somebody connects to it. The command gets the descriptors to ``keep``. ``watcher``
    is told what happens on the way.
    """

    def __init__(
        self, plan: Json, cgroup: Cgroup, stdio: Sequence[int], daemon: socket.socket, *, as_sibling: bool = True,
        listener: int = -1, watcher: Watcher | None = None, keep: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self._as_sibling = as_sibling
        self._listener = listener
        self._watcher = watcher or Watcher()
        self._keep = keep
        self._plan = plan
        self._cgroup = cgroup
        self._stdio = stdio
        self._daemon = daemon
        self.pid = -1

    def run(self) -> Launched:
        """Raises SetupFailed, Aborted, OSError (with its step)."""
        own, childs = messages.pair()
        try:
            self._clone(own, childs)
            childs.close()
            interfaces = self._accompany(own)
            ready, fds = self._expect_ready(own)
            with step("evidence.read"):
                found = evidence.read(self.pid, self._cgroup)
                found["binds"] = ready["binds"]
                if ready["apparmor"]:
                    found["apparmor"] = ready["apparmor"]
            name_profile(found, self._plan)
            if interfaces:
                found["interfaces"] = interfaces
            self._stop_if_daemon_is_gone()
            self._watcher.ready(self.pid, found, fds[0] if fds else -1)
            _tell(own, {"type": "go"}, [self._listener] if self._listener >= 0 else [])
            started_at_us = time.time_ns() // 1000
            if (answer := messages.receive(own)) is not None:
                raise SetupFailed(answer[0])
            return Launched(self.pid, started_at_us, found, ready["warnings"], fds[0] if fds else -1)
        finally:
            own.close()
            childs.close()

    def _accompany(self, own: socket.socket) -> list[Json]:
        """What others do while the init sets itself up: the network interfaces that were made."""
        try:
            if has_user_namespace(self._plan["spec"]):
                userns.prepare(self.pid, self._plan, self._cgroup, self._stdio, own)
            return self._watcher.cloned(self.pid)
        except OSError as error:
            raise first_cause(own, error) from error

    def _clone(self, own: socket.socket, childs: socket.socket) -> None:
        kinds = new_namespaces(self._plan["spec"])
        flags = 0
        for kind in kinds:
            flags |= FLAGS[kind]
        flags &= ~(CLONE_NEWCGROUP | CLONE_NEWTIME)  # made by the child, when it is in its cgroups; made before it
        if "time" in kinds:
            with step("namespace.time"):
                unshare_time(_time_offsets(self._plan["spec"]["linux"]))
        joined = joined_namespaces(self._plan["spec"])
        work = init.SetUp(self._plan, childs)
        if "user" in joined:
            self.pid = go_between.cloned(
                lambda: self._clone_inside(joined, flags, own, work), as_sibling=self._as_sibling
            )
            return
        if "pid" in joined:
            joining.enter("pid", joined["pid"])  # for our children: we have no other ones
        init.ask_once()
        with step("init.clone"):
            self.pid, born_in_it = clone_in(self._cgroup, flags | (CLONE_PARENT if self._as_sibling else 0))
        if self.pid == 0:
            self._be_init(work, born_in_it, own)

    def _clone_inside(self, joined: Json, flags: int, own: socket.socket, work: init.SetUp) -> int:
        """In the process in between: a new namespace belongs to the user namespace that its maker is in."""
        joining.enter_all(joined)
        with step("init.clone"):
            pid = clone(flags | CLONE_PARENT)
        if pid == 0:
            self._be_init(work, False, own)
        return pid

    def _be_init(self, work: init.SetUp, born_in_its_cgroup: bool, own: socket.socket) -> NoReturn:
        own.close()
        init.run(work, self._cgroup, born_in_its_cgroup, self._stdio, self._keep)

    def _expect_ready(self, own: socket.socket) -> tuple[Json, list[int]]:
        poll = select.poll()
        poll.register(own, select.POLLIN)
        poll.register(self._daemon, 0)
        while not any(fd == own.fileno() for fd, _ in poll.poll()):
            self._stop_if_daemon_is_gone()
        answer = messages.receive(own)
        if answer is None:
            raise SetupFailed(died("the container's first process"))
        message, fds = answer
        if message["type"] == "hooks":
            _tell(own, {"type": "hooked", "state": self._watcher.hooks(self.pid)})
            return self._expect_ready(own)
        if message["type"] == "listener":
            self._watcher.seccomp_listener(self.pid, message["fd"])
            return self._expect_ready(own)
        if message["type"] != "ready":
            raise SetupFailed(message)
        return message, fds

    def _stop_if_daemon_is_gone(self) -> None:
        stop_if_gone(self._daemon)


def name_profile(found: Json, plan: Json) -> None:
    """The kernel says that there is a filter; which one, whoever has had it installed knows."""
    if found["seccomp_mode"] == SECCOMP_MODE_FILTER:
        found["seccomp_profile"] = (plan.get("seccomp") or {}).get("digest", "")


def first_cause(own: socket.socket, error: OSError) -> OSError | SetupFailed:
    """Where the init has ended meanwhile, whoever looks for it in /proc runs into that: what it said is the reason."""
    if not select.select([own], [], [], 0)[0]:
        return error
    answer = messages.receive(own)
    if answer is None:
        return SetupFailed(died("the container's first process"))
    return SetupFailed(answer[0]) if answer[0]["type"] == "failed" else error


def stop_if_gone(daemon: socket.socket) -> None:
    """Raises Aborted where the daemon has closed its end."""
    poll = select.poll()
    poll.register(daemon, 0)
    if poll.poll(0):
        raise Aborted


def _time_offsets(linux: Json) -> dict[str, tuple[int, int]]:
    offsets = linux.get("timeOffsets") or {}
    return {clock: (offset.get("secs") or 0, offset.get("nanosecs") or 0) for clock, offset in offsets.items()}


def clone_in(cgroup: Cgroup, flags: int) -> tuple[int, bool]:
    """Clone into the v2 part of a cgroup; (pid or 0, whether the child needs not enter that part any more)."""
    folder = None if cgroup.unified_folder is None else cgroup.v2_fd()
    try:
        return clone_near_cgroup(flags, folder)
    finally:
        if folder is not None:
            os.close(folder)


def _tell(own: socket.socket, message: Json, fds: Sequence[int] = ()) -> None:
    """A child that is gone already has left its reason, or its end, to be read."""
    try:
        messages.send(own, message, fds)
    except (BrokenPipeError, ConnectionResetError):
        return


def died(who: str) -> Json:
    """The report about a child that ended without a word."""
    return {
        "type": "failed", "step": "init.clone", "errno": 0, "exit_code": 128,
        "message": f"{who} ended while it was being set up (was it killed?)",
    }  # fmt: skip
