"""create, start, run: a bundle becomes a container."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from typing import Any, Sequence

from engine.kernel.cgroups import Cgroup
from engine.oci import bundle as bundles
from engine.oci import hooks
from engine.oci.containers import START_SOCKET, Containers, public_state, started_ticks, status
from engine.runtime import messages, sweep
from engine.runtime.launch import Launch, Launched, SetupFailed
from engine.runtime.setup import joined_namespaces, new_namespaces, refuse_unknown
from engine.runtime.userns import root_of

Json = dict[str, Any]


class Failed(Exception):
    """The container can't be; one line."""


def create(containers: Containers, container_id: str, bundle: str, options: Json, *, start_at_once: bool) -> Json:
    """Make the container; its first process waits for ``start``, but for ``run``. Answers with the state on record.

    Raises Failed or OSError, and then nothing of it is left.
    """
    bundle = os.path.realpath(bundle)
    spec = bundles.load(bundle)
    folder = containers.create(container_id)
    cgroup: Cgroup | None = None
    try:
        plan = bundles.plan(container_id, bundle, folder, spec)
        refuse_unknown(plan["spec"])
        cgroup = Cgroup(plan["cgroup_path"])
        cgroup.create()
        warnings = cgroup.apply(plan["spec"]["linux"].get("resources") or {})
        state = _state(container_id, bundle, spec, plan)
        launched = _launch(containers, state, plan, spec, cgroup, options, start_at_once=start_at_once)
    except BaseException:
        if cgroup is not None:
            _clean_up(cgroup)
        containers.remove(container_id)
        raise
    state["warnings"] = [*warnings, *launched.warnings]
    return state


def _clean_up(cgroup: Cgroup) -> None:
    try:
        cgroup.kill()
        cgroup.remove()
        _tidy(cgroup.path)
    except OSError:
        return  # what failed first is what is told


def _tidy(path: str) -> None:
    """The folder of our own that the cgroups were in, where they were the last."""
    if path.startswith(f"{bundles.OWN_CGROUPS}/"):
        sweep.tidy({"cgroup_path": bundles.OWN_CGROUPS}, [])


def _state(container_id: str, bundle: str, spec: Json, plan: Json) -> Json:
    kinds = new_namespaces(plan["spec"]) | joined_namespaces(plan["spec"]).keys()
    return {
        "ociVersion": spec.get("ociVersion") or "1.2.0", "id": container_id, "bundle": bundle,
        "rootfs": plan["spec"]["root"]["path"], "annotations": spec.get("annotations") or {},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "pid": 0, "started_ticks": 0, "started": False,
        "cgroup_path": plan["cgroup_path"], "kinds": sorted(kinds), "root": root_of(plan["spec"]["linux"]),
        "process": spec["process"], "seccomp": plan["seccomp"], "hooks": spec.get("hooks") or {},
    }  # fmt: skip


def _launch(
    containers: Containers, state: Json, plan: Json, spec: Json, cgroup: Cgroup, options: Json, *, start_at_once: bool
) -> Launched:
    def run_hooks(pid: int) -> None:
        now = {**public_state({**state, "pid": pid, "started_ticks": started_ticks(pid)[1]}), "status": "creating"}
        for point in ("prestart", "createRuntime"):
            hooks.run(state["hooks"].get(point), now, point)

    ours, theirs = socket.socketpair()  # stands for the daemon that a launch watches
    listener = None if start_at_once else _listen(containers.folder(state["id"]))
    terminal = bool(spec["process"].get("terminal"))
    keep = range(3, 3 + int(options.get("preserve-fds") or 0))
    launch = Launch(
        plan, cgroup, _stdio(terminal), ours, as_sibling=False, on_hooks=run_hooks, keep=keep,
        listener=-1 if listener is None else listener.fileno(),
    )  # fmt: skip
    try:
        if terminal and not options.get("console-socket") and not start_at_once:
            raise Failed("a terminal needs --console-socket")
        launched = launch.run()
        state |= {"pid": launched.pid, "started_ticks": started_ticks(launched.pid)[1], "started": start_at_once}
        _hand_over_terminal(launched.terminal_fd, options, state)
        containers.save(state["id"], state)
        if options.get("pid-file"):
            write_pid(str(options["pid-file"]), launched.pid)
        return launched
    except SetupFailed as error:
        raise Failed(error.report["message"]) from error
    finally:
        for sock in (ours, theirs, *([listener] if listener is not None else [])):
            sock.close()


def _stdio(terminal: bool) -> Sequence[int]:
    if not terminal:
        return 0, 1, 2
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    return null, null, null


def _listen(folder: str) -> socket.socket:
    """The path goes through our descriptor of the folder, since sun_path holds 108 bytes only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    previous = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{fd}/{START_SOCKET}")
    finally:
        os.umask(previous)
        os.close(fd)
    listener.listen(1)
    return listener


def _hand_over_terminal(fd: int, options: Json, state: Json) -> None:
    """The master goes to whoever listens on --console-socket; else it stays with ``run``."""
    if fd < 0:
        return
    if not options.get("console-socket"):
        options["terminal_fd"] = fd
        return
    send_terminal(str(options["console-socket"]), fd)


def send_terminal(path: str, fd: int) -> None:
    """As runc does it: the descriptor with the name of the device as data."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        socket.send_fds(sock, [b"/dev/ptmx"], [fd])
    os.close(fd)


def write_pid(path: str, pid: int) -> None:
    """Whole or not at all: somebody waits for the file to be there."""
    with open(f"{path}.new", "w") as file:
        file.write(str(pid))
    os.rename(f"{path}.new", path)


def start(containers: Containers, container_id: str) -> Json:
    """Let a created container execute its command. Raises Failed or OSError."""
    state = containers.load(container_id)
    now = status(state)
    if now != "created":
        raise Failed(f"cannot start a container that is {now}")
    folder = os.open(containers.folder(container_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(f"/proc/self/fd/{folder}/{START_SOCKET}")
        finally:
            os.close(folder)
        messages.send(sock, {"type": "start"})
        answer = messages.receive(sock)
    if answer is not None:
        raise Failed(answer[0]["message"])
    os.unlink(os.path.join(containers.folder(container_id), START_SOCKET))
    state["started"] = True
    containers.save(container_id, state)
    hooks.run(state["hooks"].get("poststart"), public_state(state), "poststart")
    return state


def delete(containers: Containers, container_id: str, *, force: bool) -> None:
    """Remove what is left of a stopped container; with ``force`` of any. Raises Failed or OSError."""
    try:
        state = containers.load(container_id)
    except OSError as error:
        if force and error.errno == errno.ENOENT:
            return
        raise
    cgroup = Cgroup(state["cgroup_path"])
    now = status(state)
    if now not in ("stopped", "created") and not force:
        raise Failed(f"cannot delete container {container_id} that is not stopped: {now}")
    if now != "stopped":
        cgroup.kill()
    cgroup.remove()
    _tidy(state["cgroup_path"])
    containers.remove(container_id)
    hooks.run(state["hooks"].get("poststop"), {**public_state(state), "status": "stopped", "pid": 0}, "poststop")


def kill(containers: Containers, container_id: str, number: int, *, everybody: bool) -> None:
    """Signal the first process, or all. Raises Failed or OSError."""
    state = containers.load(container_id)
    now = status(state)
    if everybody:
        if number == signal.SIGKILL:
            Cgroup(state["cgroup_path"]).kill()
            return
        for pid in Cgroup(state["cgroup_path"]).pids():
            os.kill(pid, number)
        return
    if now == "stopped":
        raise Failed("container not running")
    fd = os.pidfd_open(state["pid"])
    try:
        if status(state) == "stopped":  # the pid was another process's when it was opened
            raise Failed("container not running")
        signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)
