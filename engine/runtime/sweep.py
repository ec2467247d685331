"""Worker jobs: end what is left of a container whose shim is gone."""

from __future__ import annotations

import errno
import os
from typing import Any, Callable

from engine.kernel import cgroups
from engine.kernel.steps import step


def kill(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Kill every process in the cgroups at ``cgroup_path``, and wait until none is left."""
    with step("cgroup.kill"):
        cgroups.Cgroup(arguments["cgroup_path"]).kill()
    return {}


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
