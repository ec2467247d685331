"""The cpuacct controller of v1: CPU time used. v2 counts it in cpu.stat."""

from __future__ import annotations

import os

from engine.kernel.cgroups import files


def stats_v1(folder: str) -> dict:
    """Nanoseconds used, in all, in user mode, in the kernel and by CPU (cpuacct.stat counts clock ticks)."""
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    split = files.read_flat(folder, "cpuacct.stat")
    return {
        "usage_ns": int(files.read(folder, "cpuacct.usage")),
        "user_ns": split.get("user", 0) * tick_ns,
        "system_ns": split.get("system", 0) * tick_ns,
        "percpu_ns": [int(number) for number in files.read(folder, "cpuacct.usage_percpu").split()],
    }
