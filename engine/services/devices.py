"""The devices of a container: Docker's default ones, those of --device, and all of the host's for --privileged."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from typing import Any, Iterator, Mapping

from engine.domain.errors import InvalidArgument

DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))

ALL_ALLOWED = [{"allow": True, "access": "rwm"}]
_DEFAULT_RULES = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},  # nodes may be made, which gives no access to the device
    {"allow": True, "type": "b", "access": "m"},
    *({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for _, major, minor in DEVICES),
    {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},  # console
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},  # ptmx
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},  # pts
]

_OWN_FOLDERS = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev")
_OWN_NODES = ("console", "ptmx", "tty")
"""What the container has of its own below /dev."""
_RULE = re.compile(r"([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})")
_PERMISSIONS = re.compile(r"[rwm]{1,3}")

Json = dict[str, Any]


def check(host: Mapping[str, Any]) -> None:
    """The notation alone: whether a device is there, the start will tell. Raises InvalidArgument."""
    for entry in host.get("Devices") or []:
        if not isinstance(entry, dict) or not entry.get("PathOnHost"):
            raise InvalidArgument("invalid device: PathOnHost is missing")
        permissions = entry.get("CgroupPermissions") or "rwm"
        if not _PERMISSIONS.fullmatch(permissions):
            raise InvalidArgument(f"invalid device mode: {permissions}")
        inside = entry.get("PathInContainer") or entry["PathOnHost"]
        if not entry["PathOnHost"].startswith("/") or not inside.startswith("/") or ".." in inside.split("/"):
            raise InvalidArgument(f"invalid device: {entry['PathOnHost']}:{inside}: both paths must be absolute")
    for rule in host.get("DeviceCgroupRules") or []:
        if not isinstance(rule, str) or not _RULE.fullmatch(rule):
            raise InvalidArgument(f"invalid device cgroup rule format: '{rule}'")


def of_container(host: Mapping[str, Any]) -> tuple[list[Json], list[Json]]:
    """``linux.devices`` and the rules of its cgroup, as the host's devices are now. Raises InvalidArgument."""
    nodes = {f"/dev/{name}": _node(f"/dev/{name}", "c", major, minor) for name, major, minor in DEVICES}
    if host.get("Privileged"):
        for path in _host_devices("/dev"):
            nodes.setdefault(path, _of_host(path, path))
    rules = list(ALL_ALLOWED if host.get("Privileged") else _DEFAULT_RULES)
    for entry in host.get("Devices") or []:
        outside, permissions = entry["PathOnHost"], entry.get("CgroupPermissions") or "rwm"
        for path, inside in _expand(outside, entry.get("PathInContainer") or outside):
            nodes[inside] = node = _of_host(path, inside)
            numbers = {key: node[key] for key in ("type", "major", "minor")}
            if not host.get("Privileged"):
                rules.append({"allow": True, **numbers, "access": permissions})
    if not host.get("Privileged"):
        rules += [_rule(text) for text in host.get("DeviceCgroupRules") or []]
    return list(nodes.values()), rules


def _node(path: str, kind: str, major: int, minor: int, mode: int = 0o666, uid: int = 0, gid: int = 0) -> Json:
    owner = {key: number for key, number in (("uid", uid), ("gid", gid)) if number}
    return {"path": path, "type": kind, "major": major, "minor": minor, "fileMode": mode, **owner}


def _of_host(path: str, inside: str) -> Json:
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{path}": {(error.strerror or "").lower()}'
        ) from error
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise InvalidArgument(f'error gathering device information while adding custom device "{path}": not a device')
    kind, number = "c" if stat.S_ISCHR(found.st_mode) else "b", found.st_rdev
    permissions = stat.S_IMODE(found.st_mode)
    node = _node(inside, kind, os.major(number), os.minor(number), permissions, found.st_uid, found.st_gid)
    return node if inside == path else {**node, "source": path}  # where no node can be made, the host's is bound


def _expand(outside: str, inside: str) -> Iterator[tuple[str, str]]:
    """(path on the host, path in the container): the device itself, or all below a folder."""
    if not os.path.isdir(outside):
        yield outside, posixpath.normpath(inside)
        return
    found = list(_host_devices(outside))
    if not found:
        raise InvalidArgument(f'no devices found in "{outside}"')
    for path in found:
        yield path, posixpath.normpath(inside + path[len(outside.rstrip("/")) :])


def _host_devices(folder: str) -> Iterator[str]:
    """Every device node below a folder, but what a container has of its own."""
    is_dev = folder == "/dev"
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_dev and entry.name in (*_OWN_FOLDERS, *_OWN_NODES):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _host_devices(entry.path)
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                yield entry.path


def _rule(text: str) -> Json:
    match = _RULE.fullmatch(text)
    assert match is not None, text  # checked at the creation
    kind, major, minor, access = match.groups()
    numbers = {key: int(part) for key, part in (("major", major), ("minor", minor)) if part != "*"}
    return {"allow": True, "type": kind, **numbers, "access": access}
