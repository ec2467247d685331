"""One more process in a running container: cloned into its pid namespace, which then enters the other ones."""

from __future__ import annotations

import os

from engine.kernel import capabilities, namespaces
from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import CLONE_NEWPID, CLONE_NEWUSER, CLONE_PARENT, FLAGS, setns
from engine.kernel.steps import step
from engine.runtime import command, credentials, devices, go_between, identity, init, messages, scheduling, userns
from engine.runtime.launch import clone_in
from engine.runtime.setup import Json, Operation, Setup, load_nothing_more

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Callable, NoReturn, Sequence


class JoinNamespaces(Operation):
    """setns(2) with the first process's pidfd: all at once, or none. The root becomes the container's."""

    step = "exec.join"

    def __init__(self, pid_fd: int, kinds: set[str]) -> None:
        self._pid_fd = pid_fd
        self._flags = 0
        for kind in kinds - {"pid"}:
            self._flags |= FLAGS[kind]

    def execute(self, setup: Setup) -> None:
        load_nothing_more()
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
        *([identity.AppArmor(plan["apparmor_profile"])] if plan.get("apparmor_profile") else []),
        JoinNamespaces(pid_fd, kinds),
        *([devices.Terminal(console=False)] if plan.get("tty") else []),
        credentials.ResolveUser(plan),
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
    """Clone the process: its pid, and our end of the handshake. The command gets the descriptors to ``keep``."""
    userns.own_pipes(stdio, target.root)
    own, childs = messages.pair()

    def run(born_in_it: bool) -> NoReturn:
        own.close()
        _run(plan, target, born_in_it, childs, stdio, keep)

    with childs:
        try:
            with step("exec.join"):
                return _cloned(target, run), own
        except OSError:
            own.close()
            raise


def _cloned(target: Target, run: Callable[[bool], NoReturn]) -> int:
    """The pid of a child in the container's pid namespace. The caller's own setns(2) concerns its next children only,
    and is taken back at once."""
    if "pid" not in target.kinds:
        return _clone(target, 0, run)
    if namespaces.in_user_namespace():
        return _cloned_by_another(target, run)
    setns(target.pid_fd, CLONE_NEWPID)
    pid = -1
    try:
        pid, born_in_it = clone_in(target.cgroup, 0)
    finally:
        if pid != 0:  # the child can't go back up, and must not try
            setns(target.own_pid_namespace, CLONE_NEWPID)
    if pid == 0:
        run(born_in_it)
    return pid


def _clone(target: Target, flags: int, run: Callable[[bool], NoReturn]) -> int:
    pid, born_in_it = clone_in(target.cgroup, flags)
    if pid == 0:
        run(born_in_it)
    return pid


def _cloned_by_another(target: Target, run: Callable[[bool], NoReturn]) -> int:
    """From a user namespace nobody comes back to the host's pid namespace."""

    def make() -> int:
        setns(target.pid_fd, CLONE_NEWPID)
        return _clone(target, CLONE_PARENT, run)

    return go_between.cloned(make)


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
