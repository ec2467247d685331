"""Worker job: end what is left of a container whose shim is gone."""

from __future__ import annotations

from typing import Any, Callable

from engine.kernel import cgroups
from engine.kernel.steps import step


def sweep(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Kill every process in the cgroups at ``cgroup_path`` and remove them; nothing there is fine too."""
    cgroup = cgroups.Cgroup(arguments["cgroup_path"])
    with step("cgroup.kill"):
        cgroup.kill()
    with step("cgroup.remove"):
        cgroup.remove()
    return {}


JOBS: dict[str, Callable[[dict[str, Any], list[int]], dict[str, Any]]] = {"container.sweep": sweep}
