"""The hugetlb controller: bytes of huge pages by page size."""

from __future__ import annotations

from engine.kernel.cgroups import files


def apply_v1(folder: str, limits: list[dict]) -> list[str]:
    """Write ``linux.resources.hugepageLimits``."""
    for entry in limits:
        files.write(folder, f"hugetlb.{entry['pageSize']}.limit_in_bytes", entry["limit"])
        _reserve(folder, f"hugetlb.{entry['pageSize']}.rsvd.limit_in_bytes", entry["limit"])
    return []


def apply_v2(folder: str, limits: list[dict]) -> list[str]:
    """Write ``linux.resources.hugepageLimits``."""
    for entry in limits:
        files.write(folder, f"hugetlb.{entry['pageSize']}.max", entry["limit"])
        _reserve(folder, f"hugetlb.{entry['pageSize']}.rsvd.max", entry["limit"])
    return []


def _reserve(folder: str, name: str, limit: int) -> None:
    """Limit reservations too where the kernel can (5.7): the plain limit acts at fault time, with SIGBUS."""
    if files.exists(folder, name):
        files.write(folder, name, limit)
