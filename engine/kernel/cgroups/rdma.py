"""The rdma controller: handles and objects of RDMA devices. The same file on v1 and v2."""

from __future__ import annotations

from engine.kernel.cgroups import files


def apply_v1(folder: str, devices: dict[str, dict]) -> list[str]:
    """Write ``linux.resources.rdma``."""
    lines = []
    for name, limits in devices.items():
        fields = {"hca_handle": limits.get("hcaHandles"), "hca_object": limits.get("hcaObjects")}
        lines.append(" ".join([name, *(f"{key}={value}" for key, value in fields.items() if value is not None)]))
    files.write_each(folder, "rdma.max", lines)
    return []


apply_v2 = apply_v1
