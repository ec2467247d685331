"""Worker jobs: end what is left of a container whose shim is gone."""

from __future__ import annotations

import errno
import os
import select

import _signal as signal

from engine.kernel import cgroups
from engine.kernel.steps import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_PATIENCE_S = 10.0


def kill(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Kill every process in the cgroups at ``cgroup_path``, and wait until none is left."""
    with step("cgroup.kill"):
        cgroups.Cgroup(arguments["cgroup_path"]).kill()
    return {}


def kill_first(pid: int, pid_namespace: int) -> None:
    """SIGKILL to the first process of a pid namespace, with which the kernel ends all that is in it, and wait for its
    end. For where there are no cgroups; called in the daemon, which alone has power over an earlier user namespace.
    Raises OSError."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with step("cgroup.kill"):
            if os.stat(f"/proc/{pid}/ns/pid").st_ino != pid_namespace:
                return  # the number is another process's by now
            signal.pidfd_send_signal(process, signal.SIGKILL)
            if not select.select([process], [], [], _PATIENCE_S)[0]:
                raise TimeoutError(errno.ETIMEDOUT, "the container's first process doesn't die", f"pid {pid}")
    except (FileNotFoundError, ProcessLookupError):
        return
    finally:
        os.close(process)


def sweep(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Kill every process in the cgroups at ``cgroup_path`` and remove them; nothing there is fine too."""
    kill(arguments, fds)
    with step("cgroup.remove"):
        cgroups.Cgroup(arguments["cgroup_path"]).remove()
    return {}


def tidy(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Remove the cgroups at ``cgroup_path`` where nothing is in them: the parent of all containers, at the end."""
    for folder in cgroups.Cgroup(arguments["cgroup_path"]).folders.values():
        try:
            os.rmdir(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
                raise
    return {}


JOBS: dict[str, Callable[[dict[str, Any], list[int]], dict[str, Any]]] = {
    "container.kill": kill,
    "container.sweep": sweep,
    "cgroup.tidy": tidy,
}
