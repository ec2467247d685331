"""Running through the code of shim, launcher and init once before the first fork, in the spawner.

Python rewrites the byte code of a function in place when it has been called a few times, and a page that is written
after a fork is copied. What the spawner has run through is settled: its children share it, which saves each of them
hundreds of kilobytes and the launch a good part of its time. Nothing here has an effect outside of this process.
"""

from __future__ import annotations

import os
import socket

from engine.kernel import capabilities, cgroups
from engine.runtime import command, evidence, init, messages, mount_options, overlay, targets, users
from engine.runtime.control import Connection
from engine.runtime.json_log import JsonLog
from engine.runtime.loop import Loop
from engine.runtime.setup import Setup, new_namespaces, refuse_unknown
from engine.runtime.stdio import Stdio

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


def rehearse() -> None:
    """Call what a launch calls, on dummies. What fails on this machine is not rehearsed, and that is all."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in (_messages, _streams, _plans, lambda: _files(root), _evidence, lambda: _command(root)):
            for _ in range(_TIMES):
                try:
                    part()
                except OSError:
                    break  # a machine without that file, that cgroup, that program
    finally:
        os.close(root)


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
