"""The cpu controller: shares or weight, quota over period, burst, idle, realtime."""

from __future__ import annotations

import errno

from engine.kernel.cgroups import files
from engine.kernel.cgroups.files import refuse

KEYS = frozenset(("shares", "quota", "period", "burst", "idle", "realtimePeriod", "realtimeRuntime"))
LIMITS_V1 = ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle")
LIMITS_V2 = ("cpu.weight", "cpu.max", "cpu.max.burst", "cpu.idle")

_DEFAULT_PERIOD_US = 100_000


def apply_v1(folder: str, cpu: dict) -> list[str]:
    """Write the scheduling part of ``linux.resources.cpu``; times in microseconds."""
    if cpu.get("realtimePeriod"):
        files.write(folder, "cpu.rt_period_us", cpu["realtimePeriod"])
    if cpu.get("realtimeRuntime"):
        files.write(folder, "cpu.rt_runtime_us", cpu["realtimeRuntime"])
    if cpu.get("idle") is not None:
        files.write(folder, "cpu.idle", cpu["idle"])
    if cpu.get("shares"):
        _write_shares(folder, cpu["shares"])
    burst_is_due = cpu.get("burst") is not None and not _write_unless_invalid(folder, "cpu.cfs_burst_us", cpu["burst"])
    quota, period = cpu.get("quota"), cpu.get("period")
    # Both change one ratio that must stay below the parent's, so either order can pass through a value that's too big.
    period_is_due = bool(period) and not (
        _write_unless_invalid(folder, "cpu.cfs_period_us", period)
        if quota
        else files.write(folder, "cpu.cfs_period_us", period) is None
    )
    if quota:
        files.write(folder, "cpu.cfs_quota_us", -1 if quota < 0 else quota)
    if period_is_due:
        files.write(folder, "cpu.cfs_period_us", period)
    if burst_is_due:
        files.write(folder, "cpu.cfs_burst_us", cpu["burst"])
    return []


def _write_shares(folder: str, shares: int) -> None:
    files.write(folder, "cpu.shares", shares)
    granted = int(files.read(folder, "cpu.shares"))  # the kernel clamps without a word
    if granted != shares:
        bound = "maximum" if shares > granted else "minimum"
        raise refuse("cpu.shares", f"the {bound} of cpu shares is {granted}, not {shares}")


def _write_unless_invalid(folder: str, name: str, value: int) -> bool:
    """Write; False where the kernel calls it invalid, which another write may cure."""
    try:
        files.write(folder, name, value)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def apply_v2(folder: str, cpu: dict) -> list[str]:
    """Write the scheduling part of ``linux.resources.cpu``; v2 has no realtime files."""
    for key in ("realtimePeriod", "realtimeRuntime"):
        if cpu.get(key):
            raise refuse(f"cpu.{key}", "cgroup v2 has no realtime limits", errno.EOPNOTSUPP)
    if cpu.get("idle") is not None:
        files.write(folder, "cpu.idle", cpu["idle"])
    if cpu.get("shares"):
        files.write(folder, "cpu.weight", weight(cpu["shares"]))
    burst_is_due = cpu.get("burst") is not None and not _write_unless_invalid(folder, "cpu.max.burst", cpu["burst"])
    if cpu.get("quota") or cpu.get("period"):
        files.write(folder, "cpu.max", _cpu_max(folder, cpu.get("quota") or 0, cpu.get("period") or 0))
    if burst_is_due:
        files.write(folder, "cpu.max.burst", cpu["burst"])
    return []


def _cpu_max(folder: str, quota: int, period: int) -> str:
    """``QUOTA PERIOD``; what isn't given stays as it is."""
    now_quota, _, now_period = (files.read(folder, "cpu.max") or "max").partition(" ")
    quota_text = files.limit_text(quota) if quota else now_quota
    return f"{quota_text} {period or now_period or _DEFAULT_PERIOD_US}"


def weight(shares: int) -> int:
    """cpu.shares (2..262144, default 1024) as cpu.weight (1..10000, default 100).

    The curve of runc 1.3.2 and crun 1.23: it maps default to default and the ends to the ends, where the older straight
    line gave a default container less than half of its neighbours' weight.
    """
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    import math  # here: a library of its own, for v2 alone

    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def stats_v1(folder: str) -> dict:
    """How often the quota throttled. Usage is cpuacct's business on v1."""
    stat = files.read_flat(folder, "cpu.stat")
    return {
        "periods": stat.get("nr_periods", 0),
        "throttled_periods": stat.get("nr_throttled", 0),
        "throttled_ns": stat.get("throttled_time", 0),
    }


def stats_v2(folder: str) -> dict:
    """Nanoseconds used and throttling, in one file."""
    stat = files.read_flat(folder, "cpu.stat")
    return {
        "usage_ns": stat.get("usage_usec", 0) * 1000,
        "user_ns": stat.get("user_usec", 0) * 1000,
        "system_ns": stat.get("system_usec", 0) * 1000,
        "percpu_ns": [],
        "periods": stat.get("nr_periods", 0),
        "throttled_periods": stat.get("nr_throttled", 0),
        "throttled_ns": stat.get("throttled_usec", 0) * 1000,
    }
