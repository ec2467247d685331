"""The pids controller: how many processes and threads a cgroup may hold. The same files on v1 and v2."""

from __future__ import annotations

from engine.kernel.cgroups import files

KEYS = frozenset(("limit",))
LIMITS_V1 = LIMITS_V2 = ("pids.max",)


def apply_v1(folder: str, pids: dict) -> list[str]:
    """Write ``linux.resources.pids``; 0 and negative numbers mean no limit, as for Docker."""
    if pids.get("limit") is not None:
        files.write(folder, "pids.max", pids["limit"] if pids["limit"] > 0 else "max")
    return []


apply_v2 = apply_v1


def stats_v1(folder: str) -> dict:
    """Tasks that exist now, and the limit (None: no limit)."""
    return {
        "current": int(files.read(folder, "pids.current")),
        "limit": files.parse_limit(files.read(folder, "pids.max")),
    }


stats_v2 = stats_v1
