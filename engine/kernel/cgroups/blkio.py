"""Block I/O: v1's blkio and v2's io. Weights need the BFQ scheduler (or v2's io.cost); throttles work with any."""

from __future__ import annotations

import errno
import os

from engine.kernel.cgroups import files
from engine.kernel.cgroups.files import refuse

_THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}
KEYS = frozenset(("weight", "leafWeight", "weightDevice", *_THROTTLES))
LIMITS_V1 = (
    "blkio.weight",
    "blkio.weight_device",
    "blkio.bfq.weight",
    "blkio.bfq.weight_device",
    *(name for name, _ in _THROTTLES.values()),
)
LIMITS_V2 = ("io.weight", "io.bfq.weight", "io.max")

WEIGHT_WITHOUT_BFQ = "block I/O weights have no effect: no disk of this machine uses the BFQ scheduler"


def apply_v1(folder: str, block_io: dict) -> list[str]:
    """Write ``linux.resources.blockIO``."""
    if block_io.get("leafWeight") or any(device.get("leafWeight") for device in block_io.get("weightDevice") or ()):
        raise refuse("blockIO.leafWeight", "leaf weights went away with the CFQ scheduler", errno.EOPNOTSUPP)
    warnings = _weight_warnings(block_io)
    weight, devices = _weight(block_io), block_io.get("weightDevice") or ()
    if weight or devices:
        prefix = next((p for p in ("blkio.", "blkio.bfq.") if files.exists(folder, p + "weight")), None)
        if prefix is None:
            raise _no_weights("blkio.weight")
        if weight:
            files.write(folder, prefix + "weight", weight)
        if devices:
            files.write_each(folder, prefix + "weight_device", [_device_weight(device) for device in devices])
    for key, (name, _) in _THROTTLES.items():
        if block_io.get(key):
            files.write_each(folder, name, [f"{_device(entry)} {entry['rate']}" for entry in block_io[key]])
    return warnings


def apply_v2(folder: str, block_io: dict) -> list[str]:
    """Write ``linux.resources.blockIO``: weights to io.bfq.weight as they are, or scaled to io.weight."""
    if block_io.get("leafWeight") or any(device.get("leafWeight") for device in block_io.get("weightDevice") or ()):
        raise refuse("blockIO.leafWeight", "cgroup v2 has no leaf weights", errno.EOPNOTSUPP)
    weight, devices = _weight(block_io), block_io.get("weightDevice") or ()
    warnings = []
    if weight or devices:
        if files.exists(folder, "io.bfq.weight"):
            warnings = _weight_warnings(block_io)
            name, scale = "io.bfq.weight", int
        elif files.exists(folder, "io.weight"):
            name, scale = "io.weight", io_weight
        else:
            raise _no_weights("io.weight")
        lines = [f"default {scale(weight)}"] if weight else []
        lines += [f"{_device(device)} {scale(device['weight'])}" for device in devices]
        files.write_each(folder, name, lines)
    lines = [
        f"{_device(entry)} {field}={entry['rate'] or 'max'}"
        for key, (_, field) in _THROTTLES.items()
        for entry in block_io.get(key) or ()
    ]
    if lines:
        files.write_each(folder, "io.max", lines)
    return warnings


def io_weight(weight: int) -> int:
    """blkio's weight (10..1000) on io.weight's scale (1..10000): runc's straight line."""
    return 1 + (weight - 10) * 9999 // 990


def _weight(block_io: dict) -> int:
    weight = block_io.get("weight") or 0
    if weight and not 10 <= weight <= 1000:
        raise refuse("blockIO.weight", f"weight {weight} is not between 10 and 1000")
    return weight


def _device(entry: dict) -> str:
    return f"{entry['major']}:{entry['minor']}"


def _device_weight(entry: dict) -> str:
    return f"{_device(entry)} {entry['weight']}"


def _no_weights(name: str) -> OSError:
    return refuse(name, "the kernel has no block I/O weights (the BFQ scheduler is missing)", errno.EOPNOTSUPP)


def _weight_warnings(block_io: dict) -> list[str]:
    if not (block_io.get("weight") or block_io.get("weightDevice")) or _some_disk_uses_bfq():
        return []
    return [WEIGHT_WITHOUT_BFQ]


def _some_disk_uses_bfq() -> bool:
    try:
        disks = os.listdir("/sys/block")
    except OSError:
        return False
    return any("[bfq]" in (files.read_if_there(f"/sys/block/{disk}/queue", "scheduler") or "") for disk in disks)


def stats_v1(folder: str) -> dict:
    """Bytes and operations by device and kind, from the throttling layer, which sees every disk."""
    return {
        "bytes": _table_v1(folder, "blkio.throttle.io_service_bytes_recursive"),
        "operations": _table_v1(folder, "blkio.throttle.io_serviced_recursive"),
    }


def _table_v1(folder: str, name: str) -> list[dict]:
    rows = []
    for line in (files.read_if_there(folder, name) or "").splitlines():
        fields = line.replace(":", " ").split()  # "254:0 Read 4096"; the last line is a bare total
        if len(fields) == 4:
            major, minor, kind, value = fields
            rows.append({"major": int(major), "minor": int(minor), "kind": kind, "value": int(value)})
    return rows


def stats_v2(folder: str) -> dict:
    """As ``stats_v1``, from io.stat: ``254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0``."""
    kinds = {"r": "read", "w": "write", "d": "discard"}
    stats: dict[str, list[dict]] = {"bytes": [], "operations": []}
    for line in (files.read_if_there(folder, "io.stat") or "").splitlines():
        device, *fields = line.split()
        major, _, minor = device.partition(":")
        for field in fields:
            name, _, value = field.partition("=")
            table = {"bytes": "bytes", "ios": "operations"}.get(name[1:])
            if table and name[0] in kinds:
                row = {"major": int(major), "minor": int(minor), "kind": kinds[name[0]], "value": int(value)}
                stats[table].append(row)
    return stats
