"""Statistics in Docker's shape."""

from __future__ import annotations

from typing import Any

from engine.api.times import rfc3339nano

_NEVER = "0001-01-01T00:00:00Z"
_EMPTY_CPU: dict[str, Any] = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}
_BLOCK_KINDS = {"bytes": "io_service_bytes_recursive", "operations": "io_serviced_recursive"}
_OTHER_BLOCK_FIELDS = (
    "io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive",
    "io_time_recursive", "sectors_recursive",
)  # fmt: skip
_NO_LIMIT = 2**64 - 1


def statistics(sample: Any, before: Any | None) -> dict[str, Any]:
    """``before`` is the sample that rates are computed against, None for the first."""
    counters = sample.counters
    shown: dict[str, Any] = {
        "read": rfc3339nano(sample.read_at_us) if counters else _NEVER,
        "preread": rfc3339nano(before.read_at_us) if before is not None and before.counters else _NEVER,
        "pids_stats": _pids(counters.get("pids")),
        "blkio_stats": _block_io(counters.get("block_io")),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(sample),
        "precpu_stats": _EMPTY_CPU if before is None else _cpu(before),
        "memory_stats": _memory(counters.get("memory"), sample.memory_limit_bytes),
        "name": f"/{sample.container.name}",
        "id": sample.container.id,
    }
    if sample.networks:
        shown["networks"] = sample.networks
    return shown


def _pids(counters: dict[str, Any] | None) -> dict[str, int]:
    if not counters:
        return {}
    return {"current": counters["current"], "limit": _NO_LIMIT if counters["limit"] is None else counters["limit"]}


def _cpu(sample: Any) -> dict[str, Any]:
    counters = sample.counters.get("cpu")
    if not counters:
        return _EMPTY_CPU
    by_cpu = {"percpu_usage": counters["percpu_ns"]} if counters.get("percpu_ns") else {}
    return {
        "cpu_usage": {
            "total_usage": counters.get("usage_ns", 0),
            **by_cpu,
            "usage_in_kernelmode": counters.get("system_ns", 0),
            "usage_in_usermode": counters.get("user_ns", 0),
        },
        "system_cpu_usage": sample.system_ns,
        "online_cpus": sample.cpus,
        "throttling_data": {
            "periods": counters.get("periods", 0),
            "throttled_periods": counters.get("throttled_periods", 0),
            "throttled_time": counters.get("throttled_ns", 0),
        },
    }


def _memory(counters: dict[str, Any] | None, machine_bytes: int) -> dict[str, Any]:
    """A container without a limit has the machine's memory for one, as Docker shows it."""
    if not counters:
        return {}
    limit = counters["limit_bytes"]
    peak = {"max_usage": counters["max_usage_bytes"]} if counters.get("max_usage_bytes") is not None else {}
    failures = {"failcnt": counters["failures"]} if counters.get("failures") else {}
    return {
        "usage": counters["usage_bytes"],
        **peak,
        "stats": counters["counters"],
        **failures,
        "limit": machine_bytes if limit is None else min(limit, machine_bytes),
    }


def _block_io(counters: dict[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = dict.fromkeys((*_BLOCK_KINDS.values(), *_OTHER_BLOCK_FIELDS))
    for kind, field in _BLOCK_KINDS.items():
        rows = (counters or {}).get(kind)
        if rows:
            shown[field] = [
                {"major": row["major"], "minor": row["minor"], "op": row["kind"], "value": row["value"]} for row in rows
            ]
    return shown
