"""Running through the code of shim, launcher and init once before the first fork, in the spawner.

Python rewrites the byte code of a function in place when it has been called a few times, and a page that is written
after a fork is copied. What the spawner has run through is settled: its children share it, which saves each of them
hundreds of kilobytes and the launch a good part of its time. Nothing here has an effect outside of this process: files
and mounts are made in a file system in memory that is mounted nowhere.
"""

from __future__ import annotations

import gc
import os
import socket
import sys

from engine.kernel import capabilities, cgroups, mounts
from engine.kernel.steps import unarmed
from engine.runtime import (
    command, devices, evidence, init, messages, mount_options, overlay, rootfs, shim, targets, users,
)  # fmt: skip
from engine.runtime.control import Connection
from engine.runtime.json_log import JsonLog
from engine.runtime.loop import Loop
from engine.runtime.setup import Operation, Setup, new_namespaces, refuse_unknown
from engine.runtime.stdio import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_TIMES = 12
"""CPython 3.11 settles a function's code at its eighth call or so, and each of its instructions a little later."""

_PLAN = {
    "spec": {
        "process": {
            "args": ["true"], "env": ["PATH=/bin", "A=b"], "cwd": "/",
            "capabilities": {"bounding": ["CAP_CHOWN"]}, "rlimits": [],
        },
        "mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/dev", "type": "tmpfs"}],
        "linux": {
            "namespaces": [{"type": "pid"}], "devices": [{"path": "/dev/null"}], "maskedPaths": ["/x"],
            "readonlyPaths": ["/x"],
        },
    },
    "user": "", "groups": [],
}  # fmt: skip


_MOUNTS: list[dict[str, Any]] = [
    {"destination": "/x", "type": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/x", "type": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"]},
    {"destination": "/x", "type": "bind", "source": "/", "options": ["rbind", "ro", "rprivate"]},
]


def rehearse() -> None:
    """Call what a launch calls, on dummies. What fails on this machine is not rehearsed, and that is all."""
    held = _descriptors()
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with unarmed():
        for part in (_messages, _streams, _plans, lambda: _files(root), _evidence, lambda: _command(root), _mounts,
                     _shim):  # fmt: skip
            _repeat(part)
    gc.collect()  # what closes its descriptor when it goes has done so
    for fd in _descriptors() - held:
        os.close(fd)


def _repeat(part: Callable[[], None]) -> None:
    for _ in range(_TIMES):
        try:
            part()
        except OSError:
            return  # a machine without that file, that cgroup, that program
        except Exception as error:  # a defect here must not keep containers from starting
            print(f"docket: rehearsal: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return


def _descriptors() -> set[int]:
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    """The listing has had a descriptor of its own."""
    try:
        os.get_inheritable(fd)
    except OSError:
        return False
    return True


def _scratch() -> int:
    """A file system in memory that is mounted nowhere."""
    context = mounts.fsopen("tmpfs")
    try:
        mounts.fsconfig_string(context, "source", "tmpfs")
        mounts.fsconfig_create(context, "tmpfs")
        return mounts.fsmount(context)
    finally:
        os.close(context)


def _mounts() -> None:
    setup = Setup({"spec": {**_PLAN["spec"], "mounts": _MOUNTS}})
    setup.root_fd = _scratch()
    try:
        rootfs.OpenBindSources().execute(setup)
        operations: list[Operation] = [rootfs.Mount(index, entry) for index, entry in enumerate(_MOUNTS)]
        null = {"path": "/null", "type": "c", "major": 1, "minor": 3}
        operations += [devices.DeviceNode(null), devices.DeviceLinks(), rootfs.ReadonlyPath("/x")]
        for operation in operations:
            try:
                operation.execute(setup)
            except OSError:
                continue  # old kernels attach nothing to what is mounted nowhere
    finally:
        for fd in (setup.root_fd, setup.proc_fd, *setup.sources.values()):
            if fd >= 0:
                os.close(fd)


def _shim() -> None:
    scratch = _scratch()
    try:
        shim.rehearse(f"/proc/self/fd/{scratch}")
    finally:
        os.close(scratch)


def _messages() -> None:
    ours, theirs = messages.pair()
    with ours, theirs:
        messages.send(ours, {"type": "ready", "warnings": []}, [ours.fileno()])
        _, fds = messages.receive(theirs) or ({}, [])
        os.close(fds[0])
        loop = Loop()
        connection = Connection(loop, ours, lambda *request: None, lambda gone: None)
        connection.send({"type": "news"})
        messages.receive(theirs)
        messages.send(theirs, {"id": 1, "op": "hello"})
        loop.turn()
        connection.close()


def _streams() -> None:
    loop = Loop()
    stdio = Stdio(loop, "/", tty=False, open_stdin=True, stdin_once=True, log=JsonLog(os.devnull))
    ours, theirs = socket.socketpair()
    stdio.attach(theirs.detach(), {"stdin": True, "stdout": True, "stderr": True, "framed": True})
    os.write(stdio.for_child[1], b"output\n")
    ours.send(b"input")
    stdio.open()
    loop.turn()
    stdio.finish()
    ours.close()


def _plans() -> None:
    refuse_unknown(_PLAN["spec"])
    new_namespaces(_PLAN["spec"])
    setup = Setup(_PLAN)
    for operation in init.operations(setup):
        operation.describe(setup)
    overlay.takes_layers_one_by_one()  # and remember it
    mount_options.parse(["nosuid", "noexec", "nodev", "mode=755", "ro", "rprivate", "rbind"])
    capabilities.to_mask(["CAP_CHOWN"])
    capabilities.limit_bounding((1 << 64) - 1)  # to everything: nothing is given up
    capabilities.set_sets(*capabilities.get_sets())


def _files(root: int) -> None:
    users.resolve(root, "0:0")
    os.close(targets.open_folder(root, "/"))
    found = targets.open_existing(root, "/proc")
    if found is not None:
        os.close(found)


def _evidence() -> None:
    evidence.read(os.getpid(), cgroups.Cgroup("docket/rehearsal"))


def _command(root: int) -> None:
    setup = Setup(_PLAN)
    setup.root_fd = root
    command.FindCommand(["sh"], {"PATH": "/usr/bin:/bin"}).execute(setup)
