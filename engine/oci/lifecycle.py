"""start, kill, delete: what becomes of a container that was created."""

from __future__ import annotations

import errno
import os

import _signal as signal

from engine.kernel import sockets
from engine.kernel.cgroups import Cgroup
from engine.oci.containers import START_SOCKET, Containers, is_alive, public_state, status
from engine.oci.ending import run_poststop_hooks, tidy
from engine.oci.handing_over import Failed
from engine.runtime import hooks, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Json = dict[str, "Any"]
_STUCK_CREATION_S = 30.0
"""How long ``delete --force`` waits for another command, whose container it has killed, to notice."""


def start(containers: Containers, container_id: str) -> Json:
    """Let a created container execute its command. Raises Failed or OSError."""
    with containers.locked(container_id) as state:
        now = status(state)
        if now != "created":
            raise Failed(f"cannot start a container that is {now}")
        _connect(containers.folder(container_id))
        state["started"] = True
        containers.save(container_id, state)
        os.unlink(os.path.join(containers.folder(container_id), START_SOCKET))
        try:
            hooks.run(state["hooks"].get("poststart"), public_state(state), "poststart")
        except OSError:
            Cgroup(state["cgroup_path"]).kill()  # runtime.md: the container is stopped, and its end is a delete's
            raise
        return state


def _connect(path: str) -> None:
    """Returns when the command was executed."""
    with sockets.new(sockets.SOCK_SEQPACKET) as sock:
        sockets.by_folder(os.path.join(path, START_SOCKET), sock.connect)
        messages.send(sock, {"type": "start"})
        if (answer := messages.receive(sock)) is not None:
            raise Failed(answer[0]["message"])


def delete(containers: Containers, container_id: str, *, force: bool) -> None:
    """Remove what is left of a stopped container; with ``force`` of any. Raises Failed or OSError."""
    if force:
        _end_creation(containers, container_id)
    with containers.locked(container_id, _STUCK_CREATION_S if force else None) as state:
        now = status(state)
        if now not in ("stopped", "created") and not force:
            raise Failed(f"cannot delete container {container_id} that is not stopped: {now}")
        if state["cgroup_made"]:
            cgroup = Cgroup(state["cgroup_path"])
            if now != "stopped" or not state["own_pids"] or state.get("creating"):
                cgroup.kill()  # also what outlives the first process in a pid namespace that it shares
            cgroup.remove()
            tidy(state["cgroup_path"])
        containers.remove(container_id)
        run_poststop_hooks(state)


def _end_creation(containers: Containers, container_id: str) -> None:
    """Kill the first process of a container that another command is making: that command then cleans up."""
    state = containers.load(container_id)
    if state.get("creating") and state["cgroup_made"]:
        Cgroup(state["cgroup_path"]).kill()


def kill(containers: Containers, container_id: str, number: int, *, everybody: bool) -> None:
    """Signal the first process, or all. Raises Failed or OSError."""
    state = containers.load(container_id)
    if not state["cgroup_made"]:
        raise Failed("container not running")
    if everybody:
        _signal_all(Cgroup(state["cgroup_path"]), number)
        return
    if not is_alive(state):
        raise Failed("container not running")
    fd = os.pidfd_open(state["pid"])
    try:
        if not is_alive(state):  # the pid was another process's when it was opened
            raise Failed("container not running")
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError as error:
        raise Failed("container not running") from error
    finally:
        os.close(fd)


def _signal_all(cgroup: Cgroup, number: int) -> None:
    if number == signal.SIGKILL:
        cgroup.kill()
        return
    for pid in cgroup.pids():
        try:
            fd = os.pidfd_open(pid)
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.EINVAL):
                continue  # it has ended
            raise
        try:
            if pid in cgroup.pids():  # and its number isn't another process's
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(fd)
