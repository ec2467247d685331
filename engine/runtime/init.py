"""The container's first process, from clone(2) to execve(2): the child's side of the handshake."""

from __future__ import annotations

import os

from engine.kernel import sockets
from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import mapped_ids
from engine.kernel.process import close_all_but, set_dumpable
from engine.kernel.steps import step
from engine.runtime import (
    command, credentials, devices, hooks, identity, joining, messages, reaper, rootfs, scheduling,
    setup as setups, userns,
)  # fmt: skip
from engine.runtime.setup import Json, Operation, Setup

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Callable, NoReturn, Sequence


def operations(setup: Setup) -> list[Operation]:
    """All that is done to a container's first process, in this order."""
    process, linux = setup.process, setup.linux
    terminal = [devices.Terminal(console=True)] if (setup.plan.get("stdio") or {}).get("tty") else []
    own_cgroup_namespace = [identity.OwnCgroupNamespace()] if "cgroup" in setup.new_namespaces else []
    has_own_dev = any(entry["destination"] == "/dev" and entry.get("type") != "bind" for entry in setup.mounts)
    nodes: list[Operation] = [devices.DeviceNode(device) for device in linux.get("devices") or []]
    is_mapped = setup.has_user_namespace  # then the launcher has prepared what takes the host's root
    joined = {} if "user" in setup.joined_namespaces else setup.joined_namespaces  # else it was cloned in all of them
    return [
        *own_cgroup_namespace,
        *(joining.JoinNamespace(kind, one) for kind, one in joined.items() if kind not in ("pid", "mount")),
        *([] if is_mapped else [identity.OomScore(), scheduling.Scheduling(process)]),
        *([] if setup.plan.get("same_keyring") else [identity.Keyring()]),
        *(joining.JoinNamespace(kind, one) for kind, one in joined.items() if kind == "mount"),
        *([] if is_mapped else [rootfs.OpenBindSources()]),
        rootfs.CutPropagation(),
        userns.AttachRoot() if is_mapped else rootfs.MountRoot(),
        *(rootfs.Mount(index, entry) for index, entry in enumerate(setup.mounts)),
        *([*nodes, devices.DeviceLinks()] if has_own_dev else []),
        *terminal,
        *([identity.AppArmor(process["apparmorProfile"])] if process.get("apparmorProfile") else []),
        rootfs.PivotRoot(),
        identity.Hostname(),
        identity.Loopback(),
        identity.Sysctls(),
        *(rootfs.ReadonlyPath(path) for path in linux.get("readonlyPaths") or []),
        *(rootfs.MaskPath(path) for path in linux.get("maskedPaths") or []),
        credentials.ResolveUser(setup.plan),
        credentials.WorkingDirectory(process["cwd"], create=bool(setup.plan.get("create_workdir"))),
        rootfs.FinishRoot(),
        *([scheduling.Personality(linux["personality"])] if linux.get("personality") else []),
        *last_operations(
            process.get("capabilities") or {}, process.get("rlimits") or [], bool(process.get("noNewPrivileges")),
            setup.plan.get("seccomp"),
        ),
        identity.EndWithShim(),
        command.FindCommand(process["args"], command.environment_of(process["env"], "")),
    ]


def last_operations(
    sets: dict[str, list[str]], limits: list[Json], no_new_privileges: bool, seccomp_plan: Json | None
) -> list[Operation]:
    """Giving up powers, for the first process and for execs: each of these needs a power that the next one takes."""
    seccomp_filter = [credentials.SeccompFilter(seccomp_plan)] if seccomp_plan else []
    return [
        credentials.OwnStdio(),
        identity.Rlimits(limits),
        *(seccomp_filter if not no_new_privileges else []),
        credentials.LimitBounding(sets.get("bounding") or []),
        credentials.TakeUser(),
        credentials.SetCapabilities(sets),
        *([credentials.NoNewPrivileges(), *seccomp_filter] if no_new_privileges else []),
    ]


def ask_once() -> None:
    """What every init asks of the machine. What was asked before a fork the fork knows, too."""
    mapped_ids()
    credentials.grantable()


class EnterCgroup(Operation):
    """Before anything else is set up, so that no limit is missing for a moment. The trees are found by the host's
    paths, which are still in sight."""

    step = "cgroup.join"

    def __init__(self, cgroup: Cgroup, *, skip_unified: bool, beside: int | None = None) -> None:
        self._cgroup = cgroup
        self._skip_unified = skip_unified
        self._beside = beside

    def execute(self, setup: Setup) -> None:
        self._cgroup.enter(skip_unified=self._skip_unified, beside=self._beside)


class SetUp:
    """A first process's work, laid out by whoever clones it: what only the child touched would be copied page by page,
    which takes longer than the thinking."""

    def __init__(self, plan: Json, handshake: socket.socket) -> None:
        self.setup = Setup(plan)
        self.handshake = handshake
        asking = [AskForHooks(handshake)] if self.setup.spec.get("hooks") else []
        self.operations = _with_hooks(operations(self.setup), asking)


def run(
    work: SetUp, cgroup: Cgroup, born_in_it: bool, stdio: Sequence[int], keep: Sequence[int] = ()
) -> NoReturn:
    """The child of clone(2). ``stdio`` are the descriptors that become 0, 1 and 2 (a terminal replaces them); those to
    ``keep`` the command gets, too."""
    try:
        prepare(work.handshake, stdio, keep)
        os.umask(0)
        first: Operation = EnterCgroup(cgroup, skip_unified=born_in_it)
        if work.setup.has_user_namespace:
            first = userns.TakePrepared(work.handshake)
        converse(work.handshake, work.setup, lambda: [first, *work.operations])
    finally:
        os._exit(1)


def _with_hooks(planned: list[Operation], asking: Sequence[Operation]) -> list[Operation]:
    """Hooks come before the root changes."""
    last = (identity.AppArmor, rootfs.PivotRoot)  # what is for the command is not for hooks
    at = next(index for index, one in enumerate(planned) if isinstance(one, last))
    return [*planned[:at], *asking, *planned[at:]]


def prepare(handshake: socket.socket, stdio: Sequence[int], keep: Sequence[int] = ()) -> None:
    """Let go of everything of the shim's but the handshake."""
    set_dumpable(False)
    os.setsid()
    for fd, number in zip(stdio, (0, 1, 2), strict=True):
        os.dup2(fd, number)
    close_all_but((0, 1, 2, handshake.fileno(), *keep))


def converse(handshake: socket.socket, setup: Setup, plan_operations: Callable[[], list[Operation]]) -> NoReturn:
    """Operations, ready, go, execve; a failure anywhere is told, with its step."""
    try:
        setup.handshake_fd = handshake.fileno()
        setups.run(plan_operations(), setup)
        terminal = [setup.terminal_fd] if setup.terminal_fd >= 0 else []
        found = {"warnings": setup.warnings, "binds": setup.binds, "apparmor": setup.apparmor}
        messages.send(handshake, {"type": "ready", **found}, terminal)
        if (go := messages.receive(handshake)) is None:
            os._exit(1)  # the shim is gone
        if go[1]:
            handshake = _wait_for_start(handshake, go[1][0])
        with step("hooks.run"):
            hooks.run((setup.spec.get("hooks") or {}).get("startContainer"), setup.state, "startContainer")
        for fd in (setup.terminal_fd, setup.root_fd, setup.proc_fd, setup.cover_fd):
            if fd >= 0:
                os.close(fd)
        with step("exec.start"):
            if setup.plan.get("init"):
                reaper.fork_command(handshake)
            environment = command.environment_of(setup.process["env"], setup.user.home)
            umask = setup.plan.get("umask")
            command.execute(setup.command, setup.process["args"], environment, 0o022 if umask is None else umask)
    except Exception as error:
        messages.send(handshake, setups.failure(error))
    os._exit(1)


def _wait_for_start(handshake: messages.Socket, listener: int) -> messages.Socket:
    """A container of the OCI command line is created first and started by another process, which connects."""
    handshake.close()
    with sockets.UnixSocket(fileno=listener) as listening:
        while True:
            connection, _ = listening.accept()
            if messages.receive(connection) is not None:
                return connection
            connection.close()  # it ended before it had run its hooks


class AskForHooks(Operation):
    """The namespaces are there and the root is not taken yet: the moment of hooks, the launcher's first."""

    step = "hooks.run"

    def __init__(self, handshake: socket.socket) -> None:
        self._handshake = handshake

    def execute(self, setup: Setup) -> None:
        messages.send(self._handshake, {"type": "hooks"})
        if (answer := messages.receive(self._handshake)) is None:
            os._exit(1)  # one has failed, and the launcher tells
        setup.state = answer[0]["state"]
        hooks.run(setup.spec["hooks"].get("createContainer"), setup.state, "createContainer")
        setup.state = {**setup.state, "status": "created"}
