"""What a cgroup is held to: the specification's ``linux.resources`` written, and read back as the kernel has them."""

from __future__ import annotations

import errno
import os

from engine.kernel.cgroups import (
    blkio, cpu, cpuset, device_program, devices, files, hugetlb, memory, network, pids, rdma,
)  # fmt: skip
from engine.kernel.cgroups.hierarchy import Hierarchy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.kernel.cgroups.cgroup import Cgroup

# (section of linux.resources, keys of it or None for the whole, v1 controller, v2 controller, writers)
_APPLIERS = (
    ("cpu", cpuset.KEYS, "cpuset", "cpuset", cpuset.apply_v1, cpuset.apply_v2),
    ("cpu", cpu.KEYS, "cpu", "cpu", cpu.apply_v1, cpu.apply_v2),
    ("memory", memory.KEYS, "memory", "memory", memory.apply_v1, memory.apply_v2),
    ("pids", pids.KEYS, "pids", "pids", pids.apply_v1, pids.apply_v2),
    ("blockIO", blkio.KEYS, "blkio", "io", blkio.apply_v1, blkio.apply_v2),
    ("hugepageLimits", None, "hugetlb", "hugetlb", hugetlb.apply_v1, hugetlb.apply_v2),
    ("rdma", None, "rdma", "rdma", rdma.apply_v1, rdma.apply_v2),
    ("network", frozenset(("classID",)), "net_cls", "", network.apply_classid, None),
    ("network", frozenset(("priorities",)), "net_prio", "", network.apply_priorities, None),
)
_SECTIONS = frozenset(row[0] for row in _APPLIERS) | {"devices", "unified"}

# (v1 controller, its files) and (v2 controller, its files) that tell what was really granted
_LIMITS_V1 = (
    ("cpuset", cpuset.LIMITS_V1), ("cpu", cpu.LIMITS_V1), ("memory", memory.LIMITS_V1), ("pids", pids.LIMITS_V1),
    ("blkio", blkio.LIMITS_V1), ("devices", devices.LIMITS_V1),
)  # fmt: skip
_LIMITS_V2 = (
    ("cpuset", cpuset.LIMITS_V2), ("cpu", cpu.LIMITS_V2), ("memory", memory.LIMITS_V2), ("pids", pids.LIMITS_V2),
    ("io", blkio.LIMITS_V2),
)  # fmt: skip


def apply(cgroup: Cgroup, resources: dict) -> list[str]:
    """Write the specification's ``linux.resources``; what isn't given stays. Returns warnings.

    A limit that can't be granted raises: EINVAL with the field, EOPNOTSUPP where the controller is missing, or what
    the kernel said to the file and the value.
    """
    for section in resources:
        if section not in _SECTIONS:
            raise files.refuse(f"resources.{section}", "the field is not known", errno.EOPNOTSUPP)
    warnings = discarded(resources, cgroup.hierarchy)
    for section, keys, v1, v2, apply_v1, apply_v2 in _APPLIERS:
        wanted = _select(resources, section, keys)
        if not wanted:
            continue
        if cgroup.hierarchy.is_v1(v1):
            warnings += apply_v1(cgroup.folder(v1), wanted)
        elif v2 and v2 in cgroup.hierarchy.unified_controllers:
            if cgroup.hierarchy.mode == "hybrid":
                cgroup.hand_down((v2,))
            warnings += apply_v2(cgroup.unified_folder, wanted)
        elif not cgroup.hierarchy.refusal:
            raise files.refuse(
                f"resources.{section}", f"the {v1} cgroup controller is not available", errno.EOPNOTSUPP
            )
    _apply_devices(cgroup, resources.get("devices") or [])
    _apply_unified(cgroup, resources.get("unified") or {})
    return warnings


def _select(resources: dict, section: str, keys: frozenset[str] | None) -> dict | list:
    """The part of a section that one controller is responsible for, without what is null."""
    values = resources.get(section) or {}
    if keys is None:
        return values
    known = frozenset().union(*(row[1] for row in _APPLIERS if row[0] == section))
    if unknown := sorted(values.keys() - known):
        raise files.refuse(f"resources.{section}.{unknown[0]}", "the field is not known", errno.EOPNOTSUPP)
    return {key: value for key, value in values.items() if key in keys and value is not None}


def _apply_devices(cgroup: Cgroup, rules: list[dict]) -> None:
    if not rules:
        return
    if cgroup.hierarchy.is_v1("devices"):
        devices.apply_v1(cgroup.folder("devices"), rules)
    elif cgroup.hierarchy.refusal:
        return  # in a user namespace nobody can make a device node
    elif cgroup.unified_folder:
        device_program.apply_v2(cgroup.unified_folder, devices.resolve(rules))
    else:
        raise files.refuse("resources.devices", "the kernel can't control devices by cgroup", errno.EOPNOTSUPP)


def _apply_unified(cgroup: Cgroup, values: dict[str, str]) -> None:
    if values and cgroup.hierarchy.mode != "v2":
        raise files.refuse("resources.unified", "unified resources need cgroup v2", errno.EOPNOTSUPP)
    for name, value in values.items():
        if "/" in name or "." not in name:
            raise files.refuse("resources.unified", f"{name!r} is not the name of a cgroup file")
        files.write(cgroup.unified_folder, name, value)


def read(cgroup: Cgroup) -> dict[str, str]:
    """File name -> text, as the kernel says it now: what was granted, not what was asked for."""
    found = {}
    for controller, names in _LIMITS_V1:
        if cgroup.hierarchy.is_v1(controller):
            found.update(_read_all(cgroup.folder(controller), names))
    for controller, names in _LIMITS_V2:
        if controller in cgroup.hierarchy.unified_controllers and not cgroup.hierarchy.is_v1(controller):
            found.update(_read_all(cgroup.unified_folder, names))
    if cgroup.hierarchy.mode == "v2" and not cgroup.hierarchy.refusal:
        found["devices.programs"] = _device_programs(cgroup)
    return found


def restore(cgroup: Cgroup, before: dict[str, str]) -> None:
    """Write back what ``read_limits`` said, where a file says something else now. Files of one value only: those
    are what a change of limits writes. Limits that bound each other are tried in both orders."""
    for _ in range(2):
        for name, text in read(cgroup).items():
            wanted = before.get(name)
            if wanted is None or wanted == text or "\n" in wanted or not wanted:
                continue
            try:
                files.write(_folder_of_file(cgroup, name), name, wanted)
            except OSError:
                continue  # the other one of a pair comes first: the second round has it


def _folder_of_file(cgroup: Cgroup, name: str) -> str:
    folders = [folder for folder in cgroup.folders.values() if files.exists(folder, name)]
    return folders[0] if folders else ""


def _read_all(folder: str, names: tuple[str, ...]) -> dict[str, str]:
    texts = ((name, files.read_if_there(folder, name)) for name in names)
    return {name: text for name, text in texts if text is not None}


def _device_programs(cgroup: Cgroup) -> str:
    fd = os.open(cgroup.unified_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return " ".join(map(str, device_program.attached(fd)))
    except OSError as error:
        return f"unreadable: {error.strerror}"
    finally:
        os.close(fd)


def discarded(resources: dict, hierarchy: Hierarchy) -> list[str]:
    """The warning about parts of ``linux.resources`` whose controllers the hierarchy lacks for a reason of its own."""
    found: dict[str, None] = {}
    for section, keys, v1, v2, *_ in _APPLIERS if hierarchy.refusal else ():
        values = resources.get(section) or {}
        wanted = values if keys is None else [key for key in keys if values.get(key) is not None]
        if wanted and not hierarchy.is_v1(v1) and v2 not in hierarchy.unified_controllers:
            found[v1] = None
    return [f"limits are discarded ({', '.join(found)}): {hierarchy.refusal}"] if found else []
