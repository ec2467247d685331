"""Resource limits: HostConfig's fields checked by Docker's rules and turned into the OCI specification's resources."""

from __future__ import annotations

import os
import re
from typing import Any, Mapping

from engine.domain.errors import InvalidArgument

MINIMUM_MEMORY_BYTES = 6 * 1024 * 1024
CPU_PERIOD_US = 100_000
CPU_RT_PERIOD_US = 1_000_000

RLIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)


def _integer(host: Mapping[str, Any], field: str) -> int:
    value = host.get(field) or 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"{field} must be an integer, not {value!r}")
    return value


def check(host: dict[str, Any]) -> list[str]:
    """Check all limits in place and answer with warnings. Raises InvalidArgument with Docker's wording."""
    warnings = _check_memory(host)
    _check_cpu(host)
    _check_blkio(host)
    pids = _integer(host, "PidsLimit")
    if pids < -1:
        raise InvalidArgument(f"invalid pids limit {pids}: it must be positive, or -1 for unlimited")
    score = _integer(host, "OomScoreAdj")
    if not -1000 <= score <= 1000:
        raise InvalidArgument(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    shm = _integer(host, "ShmSize")
    if shm < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    host["ShmSize"] = shm or 64 * 1024 * 1024
    for ulimit in host.get("Ulimits") or []:
        if ulimit.get("Name") not in RLIMITS:
            raise InvalidArgument(f"invalid ulimit type: {ulimit.get('Name')}")
        if (ulimit.get("Soft") or 0) > (ulimit.get("Hard") or 0) >= 0:
            raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: {ulimit}")
    return warnings


def _check_memory(host: dict[str, Any]) -> list[str]:
    memory, swap = _integer(host, "Memory"), _integer(host, "MemorySwap")
    reservation = _integer(host, "MemoryReservation")
    if memory < 0 or 0 < memory < MINIMUM_MEMORY_BYTES:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if swap < -1:
        raise InvalidArgument(f"invalid memory swap {swap}: it must be positive, or -1 for unlimited")
    if 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if reservation < 0 or 0 < reservation < MINIMUM_MEMORY_BYTES:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory and reservation > memory:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")
    if memory and not swap:
        host["MemorySwap"] = 2 * memory  # Docker's default: as much swap as memory
    warnings = []
    if host.get("KernelMemory"):
        warnings.append("kernel memory limits are obsolete and ignored")
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and swappiness != -1 and not 0 <= _integer(host, "MemorySwappiness") <= 100:
        raise InvalidArgument(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if host.get("OomKillDisable") and not memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )
    return warnings


def _check_cpu(host: Mapping[str, Any]) -> None:
    count = os.cpu_count() or 1
    nano = _integer(host, "NanoCpus")
    if nano < 0 or nano > count * 10**9 or 0 < nano < 10**7:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if nano and (_integer(host, "CpuQuota") or _integer(host, "CpuPeriod")):
        raise InvalidArgument("conflicting options: Nano CPUs and CPU Period or Quota cannot both be set")
    period, quota = _integer(host, "CpuPeriod"), _integer(host, "CpuQuota")
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidArgument("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if quota and quota != -1 and quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if _integer(host, "CpuRealtimeRuntime") > (_integer(host, "CpuRealtimePeriod") or CPU_RT_PERIOD_US):
        raise InvalidArgument("cpu real-time runtime cannot be higher than cpu real-time period")
    shares = _integer(host, "CpuShares")
    if shares < 0:
        raise InvalidArgument(f"invalid CPU shares ({shares}): value must be a positive integer")
    for field, name in (("CpusetCpus", "cpus"), ("CpusetMems", "mems")):
        _check_cpuset(host.get(field) or "", name, count)


def _check_cpuset(text: str, name: str, count: int) -> None:
    if not text:
        return
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise InvalidArgument(f"invalid value {text} for cpuset {name}")
    wanted = {bound for part in text.split(",") for bound in map(int, part.split("-"))}
    if name == "cpus" and max(wanted) >= count:
        raise InvalidArgument(
            f"requested CPUs are not available - requested {text}, available: 0-{count - 1}"
        )


def _check_blkio(host: Mapping[str, Any]) -> None:
    weight = _integer(host, "BlkioWeight")
    if weight and not 10 <= weight <= 1000:
        raise InvalidArgument("range of blkio weight is from 10 to 1000")
    for field, key in (("BlkioWeightDevice", "Weight"), *((field, "Rate") for field in _THROTTLES)):
        for entry in host.get(field) or []:
            if not entry.get("Path") or entry.get(key) is None:
                raise InvalidArgument(f"{field} needs a Path and a {key} in every entry")


_THROTTLES = {
    "BlkioDeviceReadBps": "throttleReadBpsDevice",
    "BlkioDeviceWriteBps": "throttleWriteBpsDevice",
    "BlkioDeviceReadIOps": "throttleReadIOPSDevice",
    "BlkioDeviceWriteIOps": "throttleWriteIOPSDevice",
}


def _device_number(path: str) -> tuple[int, int]:
    try:
        number = os.stat(path).st_rdev
    except OSError as error:
        raise InvalidArgument(f"device {path}: {error.strerror}") from error
    if not number:
        raise InvalidArgument(f"{path} is not a device")
    return os.major(number), os.minor(number)


def _block_io(host: Mapping[str, Any]) -> dict[str, Any]:
    block_io: dict[str, Any] = {}
    if host.get("BlkioWeight"):
        block_io["weight"] = host["BlkioWeight"]
    devices = []
    for entry in host.get("BlkioWeightDevice") or []:
        major, minor = _device_number(entry["Path"])
        devices.append({"major": major, "minor": minor, "weight": entry["Weight"]})
    if devices:
        block_io["weightDevice"] = devices
    for field, key in _THROTTLES.items():
        for entry in host.get(field) or []:
            major, minor = _device_number(entry["Path"])
            block_io.setdefault(key, []).append({"major": major, "minor": minor, "rate": entry["Rate"]})
    return block_io


def resources(host: Mapping[str, Any]) -> dict[str, Any]:
    """The OCI runtime specification's ``linux.resources`` (memory in bytes, cpu times in microseconds)."""
    memory = {
        key: host[field]
        for field, key in (
            ("Memory", "limit"), ("MemorySwap", "swap"), ("MemoryReservation", "reservation"),
            ("OomKillDisable", "disableOOMKiller"),
        )
        if host.get(field)
    }  # fmt: skip
    if host.get("MemorySwappiness") not in (None, -1):
        memory["swappiness"] = host["MemorySwappiness"]
    cpu = {
        key: host[field]
        for field, key in (
            ("CpuShares", "shares"), ("CpuQuota", "quota"), ("CpuPeriod", "period"), ("CpusetCpus", "cpus"),
            ("CpusetMems", "mems"), ("CpuRealtimePeriod", "realtimePeriod"), ("CpuRealtimeRuntime", "realtimeRuntime"),
        )
        if host.get(field)
    }  # fmt: skip
    if host.get("NanoCpus"):
        cpu |= {"period": CPU_PERIOD_US, "quota": host["NanoCpus"] * CPU_PERIOD_US // 10**9}
    result: dict[str, Any] = {}
    if memory:
        result["memory"] = memory
    if cpu:
        result["cpu"] = cpu
    if host.get("PidsLimit"):
        result["pids"] = {"limit": host["PidsLimit"]}
    if block_io := _block_io(host):
        result["blockIO"] = block_io
    return result
