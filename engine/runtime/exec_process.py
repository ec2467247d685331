"""One more process in a running container: cloned into its pid namespace, which then enters the other ones."""

from __future__ import annotations

import os
import socket
from typing import NoReturn, Sequence

from engine.kernel import capabilities
from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import CLONE_NEWPID, CLONE_NEWUSER, FLAGS, setns
from engine.kernel.steps import step
from engine.runtime import command, credentials, devices, identity, init, messages, scheduling, userns
from engine.runtime.launch import clone_in
from engine.runtime.setup import Json, Operation, Setup


class JoinNamespaces(Operation):
    """setns(2) with the first process's pidfd: all at once, or none. The root becomes the container's."""

    step = "exec.join"

    def __init__(self, pid_fd: int, kinds: set[str]) -> None:
        self._pid_fd = pid_fd
        self._flags = 0
        for kind in kinds - {"pid"}:
            self._flags |= FLAGS[kind]

    def execute(self, setup: Setup) -> None:
        setns(self._pid_fd, self._flags)
        os.close(self._pid_fd)
        if self._flags & CLONE_NEWUSER:
            userns.become_root()
        setup.root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def operations(plan: Json, pid_fd: int, kinds: set[str]) -> list[Operation]:
    """All that is done to an exec's process, in this order."""
    names = plan.get("capabilities") or []
    if plan.get("privileged"):
        names = capabilities.to_names(capabilities.grantable())
    sets = plan.get("capability_sets") or {name: names for name in ("bounding", "effective", "permitted")}
    return [
        identity.OomScore(),
        scheduling.Scheduling(plan),
        *([] if plan.get("same_keyring") else [identity.Keyring()]),
        JoinNamespaces(pid_fd, kinds),
        *([devices.Terminal(console=False)] if plan.get("tty") else []),
        credentials.ResolveUser(plan.get("user") or "", plan.get("groups") or []),
        credentials.WorkingDirectory(plan.get("cwd") or "/", create=False),
        *([scheduling.Personality(plan["personality"])] if plan.get("personality") else []),
        *init.last_operations(
            sets, plan.get("rlimits") or [], bool(plan.get("no_new_privileges")), plan.get("seccomp")
        ),
        command.FindCommand(plan["args"], command.environment_of(plan["env"], "")),
    ]


class Target:
    """The container that execs go into. ``pid`` is its first process, ``pid_fd`` its pidfd; ``kinds`` are the
    namespaces that it has of its own, ``root`` are the host's numbers of its root, ``own_pid_namespace`` is a
    descriptor of the caller's."""

    __slots__ = ("cgroup", "pid", "pid_fd", "kinds", "root", "own_pid_namespace")

    def __init__(
        self, cgroup: Cgroup, pid: int, pid_fd: int, kinds: set[str], root: tuple[int, int] = (0, 0)
    ) -> None:
        self.cgroup = cgroup
        self.pid = pid
        self.pid_fd = pid_fd
        self.kinds = kinds
        self.root = root
        self.own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


def start(
    plan: Json, target: Target, stdio: Sequence[int], keep: Sequence[int] = ()
) -> tuple[int, socket.socket]:
    """Clone the process: its pid, and our end of the handshake. The command gets the descriptors to ``keep``.

    The caller's own setns(2) of the pid namespace concerns its next children only, and is taken back at once.
    """
    userns.own_pipes(stdio, target.root)
    own, childs = messages.pair()
    pid = -1
    with step("exec.join"):
        try:
            if "pid" in target.kinds:
                setns(target.pid_fd, CLONE_NEWPID)
            try:
                pid, born_in_it = clone_in(target.cgroup, 0)
            finally:
                if pid != 0 and "pid" in target.kinds:  # the child can't go back up, and must not try
                    setns(target.own_pid_namespace, CLONE_NEWPID)
        except OSError:
            own.close()
            childs.close()
            raise
    if pid == 0:
        own.close()
        _run(plan, target, born_in_it, childs, stdio, keep)
    childs.close()
    return pid, own


def _run(
    plan: Json, target: Target, born_in_it: bool, handshake: socket.socket, stdio: Sequence[int], keep: Sequence[int]
) -> NoReturn:
    try:
        init.prepare(handshake, stdio, keep=(target.pid_fd, *keep))
        setup = Setup(plan)
        setup.process = plan
        enter = init.EnterCgroup(target.cgroup, skip_unified=born_in_it, beside=target.pid)
        init.converse(handshake, setup, lambda: [enter, *operations(plan, target.pid_fd, target.kinds)])
    finally:
        os._exit(1)
