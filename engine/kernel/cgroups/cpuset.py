"""The cpuset controller: the CPUs and memory nodes that a cgroup may use."""

from __future__ import annotations

from engine.kernel.cgroups import files

KEYS = frozenset(("cpus", "mems"))
LIMITS_V1 = ("cpuset.cpus", "cpuset.mems")
LIMITS_V2 = ("cpuset.cpus", "cpuset.mems", "cpuset.cpus.effective", "cpuset.mems.effective")


def apply_v1(folder: str, cpu: dict) -> list[str]:
    """Write the placement part of ``linux.resources.cpu`` (lists like ``0-3,7``, cpuset(7))."""
    if cpu.get("cpus"):
        files.write(folder, "cpuset.cpus", cpu["cpus"])
    if cpu.get("mems"):
        files.write(folder, "cpuset.mems", cpu["mems"])
    return []


apply_v2 = apply_v1


def inherit_v1(mount_point: str, folder: str) -> None:
    """Give ``folder``, and what lies above it and is empty, the CPUs and nodes of the folder above.

    A new v1 cpuset is empty, and no process can join an empty one (ENOSPC).
    """
    lineage = []
    while folder != mount_point:
        lineage.append(folder)
        folder = folder.rpartition("/")[0]
    for name in ("cpuset.cpus", "cpuset.mems"):
        _fill(lineage, mount_point, name)


def _fill(lineage: list[str], mount_point: str, name: str) -> None:
    """``lineage`` runs from the leaf upwards: climb to the first that has a value, then hand it down."""
    empty = []
    for folder in [*lineage, mount_point]:
        value = files.read(folder, name)
        if value:
            break
        empty.append(folder)
    for folder in reversed(empty):
        files.write(folder, name, value)
