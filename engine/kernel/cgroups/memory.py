"""The memory controller: limits, swap, reservation, out-of-memory.

The specification counts swap as v1 does: ``swap`` is memory plus swap. v2's memory.swap.max is swap alone. 0 stands
for "not given" and -1 for "no limit", as in runc.
"""

from __future__ import annotations

import errno

from engine.kernel.cgroups import files
from engine.kernel.cgroups.files import refuse

KEYS = frozenset(
    (
        "limit", "swap", "reservation", "kernel", "kernelTCP", "swappiness", "disableOOMKiller", "useHierarchy",
        "checkBeforeUpdate",
    )
)  # fmt: skip
LIMITS_V1 = (
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.swappiness",
    "memory.oom_control",
)
LIMITS_V2 = ("memory.max", "memory.swap.max", "memory.low", "memory.high", "memory.oom.group")

_LIMIT = "memory.limit_in_bytes"
_MEMSW = "memory.memsw.limit_in_bytes"
NO_SWAP_ACCOUNTING = "the kernel does not account swap: memory is limited without swap"


def apply_v1(folder: str, memory: dict) -> list[str]:
    """Write ``linux.resources.memory``; the warnings say what the kernel can't do."""
    warnings = _kernel_memory_warning(memory)
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if memory.get("checkBeforeUpdate") and limit > 0:
        _refuse_below_usage(folder, limit, "memory.usage_in_bytes")
    if limit > 0 and swap > 0 and swap < limit:
        raise refuse("memory.swap", f"memory+swap limit {swap} is below the memory limit {limit}")
    if (swap or limit < 0) and not files.exists(folder, _MEMSW):
        if swap > 0:
            warnings.append(NO_SWAP_ACCOUNTING)
        swap = 0
    elif limit < 0 and not swap:
        swap = -1  # no limit on memory means none on both, else memory+swap would still hold memory down
    _write_limit_and_swap(folder, limit, swap)
    if memory.get("reservation"):
        files.write(folder, "memory.soft_limit_in_bytes", memory["reservation"])
    if memory.get("kernelTCP"):
        files.write(folder, "memory.kmem.tcp.limit_in_bytes", memory["kernelTCP"])
    if memory.get("disableOOMKiller") is not None:
        files.write(folder, "memory.oom_control", int(memory["disableOOMKiller"]))
    if memory.get("swappiness") is not None:
        files.write(folder, "memory.swappiness", _swappiness(memory))
    return warnings


def _write_limit_and_swap(folder: str, limit: int, swap: int) -> None:
    """The kernel holds limit <= memory+swap at every moment, so the order depends on which way they move."""
    if not limit or not swap:
        if limit:
            _write_limit(folder, limit)
        if swap:
            files.write(folder, _MEMSW, swap)
        return
    now = int(files.read(folder, _MEMSW))
    if swap < 0 or swap > now:
        files.write(folder, _MEMSW, swap)
        _write_limit(folder, limit)
    else:
        _write_limit(folder, limit)
        files.write(folder, _MEMSW, swap)


def _write_limit(folder: str, limit: int) -> None:
    try:
        files.write(folder, _LIMIT, limit)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        usage = files.read(folder, "memory.usage_in_bytes")
        raise OSError(
            errno.EBUSY, f"{error.strerror}: {usage} bytes are in use and can't be reclaimed", error.filename
        ) from error


def apply_v2(folder: str, memory: dict) -> list[str]:
    """Write ``linux.resources.memory``; the warnings say what v2 has no file for."""
    warnings = _kernel_memory_warning(memory)
    if memory.get("disableOOMKiller"):
        warnings.append("cgroup v2 can't disable the OOM killer: the request is discarded")
    if memory.get("swappiness") is not None:
        warnings.append("cgroup v2 has no swappiness by cgroup: the request is discarded")
    if memory.get("kernelTCP"):
        warnings.append("cgroup v2 has no limit for TCP buffers of the kernel: the request is discarded")
    limit = memory.get("limit") or 0
    if memory.get("checkBeforeUpdate") and limit > 0:
        _refuse_below_usage(folder, limit, "memory.current")
    swap = swap_v2(limit, memory.get("swap") or 0)
    if swap is not None:
        if files.exists(folder, "memory.swap.max"):
            files.write(folder, "memory.swap.max", swap)
        elif swap not in ("max", "0"):
            warnings.append(NO_SWAP_ACCOUNTING)
    if limit:
        files.write(folder, "memory.max", files.limit_text(limit))
    if memory.get("reservation"):
        files.write(folder, "memory.low", files.limit_text(memory["reservation"]))
    return warnings


def swap_v2(limit: int, memory_and_swap: int) -> str | None:
    """v2's swap alone from v1's memory plus swap; None leaves the file as it is."""
    if not memory_and_swap:
        return "max" if limit < 0 else None
    if memory_and_swap < 0:
        return "max"
    if limit <= 0:
        raise refuse("memory.swap", "a swap limit needs a memory limit")
    if memory_and_swap < limit:
        raise refuse("memory.swap", f"memory+swap limit {memory_and_swap} is below the memory limit {limit}")
    return str(memory_and_swap - limit)


def _kernel_memory_warning(memory: dict) -> list[str]:
    if memory.get("kernel"):
        return ["limits of kernel memory are gone from Linux: the request is discarded"]
    return []


def _swappiness(memory: dict) -> int:
    value = memory["swappiness"]
    if not 0 <= value <= 100:
        raise refuse("memory.swappiness", f"swappiness {value} is not between 0 and 100")
    return value


def _refuse_below_usage(folder: str, limit: int, usage_file: str) -> None:
    usage = int(files.read(folder, usage_file))
    if usage > limit:
        raise refuse("memory.limit", f"limit {limit} is below the {usage} bytes in use", errno.EBUSY)


def stats_v1(folder: str) -> dict:
    """Bytes in use, the peak, the limit (None: no limit), failed charges, and the kernel's own counters."""
    return {
        "usage_bytes": int(files.read(folder, "memory.usage_in_bytes")),
        "max_usage_bytes": int(files.read(folder, "memory.max_usage_in_bytes")),
        "limit_bytes": files.parse_limit(files.read(folder, _LIMIT)),
        "failures": int(files.read(folder, "memory.failcnt")),
        "counters": files.read_flat(folder, "memory.stat"),
    }


def stats_v2(folder: str) -> dict:
    """As ``stats_v1``; v2 counts no failed charges but how often the limit was hit."""
    peak = files.read_if_there(folder, "memory.peak")
    return {
        "usage_bytes": int(files.read(folder, "memory.current")),
        "max_usage_bytes": int(peak) if peak else None,
        "limit_bytes": files.parse_limit(files.read_if_there(folder, "memory.max")),
        "failures": files.read_flat(folder, "memory.events").get("max", 0),
        "counters": files.read_flat(folder, "memory.stat"),
    }


def oom_kills_v1(folder: str) -> int:
    """How many processes the OOM killer took from this cgroup. Needs Linux 4.13."""
    return files.read_flat(folder, "memory.oom_control").get("oom_kill", 0)


def oom_kills_v2(folder: str) -> int:
    """How many processes the OOM killer took from this cgroup and those below it."""
    return files.read_flat(folder, "memory.events").get("oom_kill", 0)
