"""v1's net_cls and net_prio: a class and priorities for outgoing packets. v2 has neither."""

from __future__ import annotations

from engine.kernel.cgroups import files


def apply_classid(folder: str, network: dict) -> list[str]:
    """Write ``linux.resources.network.classID`` (tc's 32-bit handle)."""
    files.write(folder, "net_cls.classid", network["classID"])
    return []


def apply_priorities(folder: str, network: dict) -> list[str]:
    """Write ``linux.resources.network.priorities``."""
    entries = [f"{entry['name']} {entry['priority']}" for entry in network["priorities"]]
    files.write_each(folder, "net_prio.ifpriomap", entries)
    return []
