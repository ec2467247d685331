"""From a bundle's config.json to the launch plan of ``engine.runtime``. What can't be done is refused by its name."""

from __future__ import annotations

import base64
import errno
import json
import os
from typing import Any

from engine.kernel import capabilities, seccomp

DEFAULT_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_CHARACTER = (
    *((major, minor) for _, major, minor in DEFAULT_DEVICES), (5, 1), (5, 2), (136, None),
)  # fmt: skip
OWN_CGROUPS = "docket-runtime"
"""Where a container's cgroups are when nobody says where; it goes with the last of them."""
_KNOWN_USER = {"uid", "gid", "additionalGids", "umask", "username"}

Json = dict[str, Any]


def load(bundle: str) -> Json:
    """The specification. Raises OSError."""
    path = os.path.join(bundle, "config.json")
    try:
        with open(path) as file:
            spec = json.load(file)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"not JSON: {error}", path) from error
    if not isinstance(spec, dict) or not spec.get("process") or not spec.get("root"):
        raise OSError(errno.EINVAL, "process and root are missing", path)
    return spec


def plan(container_id: str, bundle: str, folder: str, spec: Json) -> Json:
    """The launch plan. ``folder`` is the container's own. Raises OSError for what the runtime can't do."""
    linux = spec.setdefault("linux", {})
    _check(spec)
    _complete_devices(spec)
    root = spec["root"]
    root["path"] = os.path.realpath(os.path.join(bundle, root.get("path") or "rootfs"))
    for mount in spec.get("mounts") or []:
        options = set(mount.get("options") or ())
        if (mount.get("type") == "bind" or options & {"bind", "rbind"}) and not mount["source"].startswith("/"):
            mount["source"] = os.path.join(bundle, mount["source"])
    process = spec["process"]
    user = process.get("user") or {}
    return {
        "container_id": container_id,
        "directory": folder,
        "spec": _without_seccomp(spec),
        "overlay": None,
        "seccomp": seccomp_plan(linux.get("seccomp")),
        "user": f"{user.get('uid') or 0}:{user.get('gid') or 0}",
        "groups": list(user.get("additionalGids") or []),
        "umask": user.get("umask"),
        "create_workdir": True,
        "cgroup_path": cgroup_path(container_id, linux.get("cgroupsPath") or ""),
        "stdio": {"tty": bool(process.get("terminal"))},
    }


def _without_seccomp(spec: Json) -> Json:
    return {**spec, "linux": {key: value for key, value in spec["linux"].items() if key != "seccomp"}}


def cgroup_path(container_id: str, wanted: str) -> str:
    """Relative to each controller's root. systemd's slice:prefix:name is another manager's."""
    if wanted.count(":") == 2 and not wanted.startswith("/"):
        raise OSError(errno.EOPNOTSUPP, "cgroups by systemd are not supported: use the cgroupfs driver", wanted)
    if ".." in wanted.split("/"):
        raise OSError(errno.EINVAL, "invalid cgroupsPath", wanted)
    return wanted.strip("/") or f"{OWN_CGROUPS}/{container_id}"


def _check(spec: Json) -> None:
    process = spec["process"]
    if not process.get("args"):
        raise OSError(errno.EINVAL, "process.args is empty", "config.json")
    if unknown := sorted((process.get("user") or {}).keys() - _KNOWN_USER):
        raise OSError(errno.EOPNOTSUPP, "not supported by this version of the engine", f"process.user.{unknown[0]}")
    for point in ("createContainer", "startContainer"):  # they would run inside, with the container's programs
        if (spec.get("hooks") or {}).get(point):
            raise OSError(errno.EOPNOTSUPP, "not supported by this version of the engine", f"hooks.{point}")
    if "mount" not in {entry["type"] for entry in spec["linux"].get("namespaces") or []}:
        raise OSError(errno.EOPNOTSUPP, "a container without a mount namespace is not supported", "linux.namespaces")
    for field in ("selinuxLabel", "apparmorProfile"):
        if process.get(field) in ("", "unconfined"):
            process.pop(field)
    for names in (process.get("capabilities") or {}).values():
        names[:] = [name for name in names if name.upper() in capabilities.BITS]  # newer than this kernel's table


def _complete_devices(spec: Json) -> None:
    """The devices that every container has, whatever its specification lists (config-linux.md, "Default Devices")."""
    linux = spec["linux"]
    listed = {device["path"] for device in linux.get("devices") or []}
    linux["devices"] = [
        *(linux.get("devices") or []),
        *(
            {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
            for name, major, minor in DEFAULT_DEVICES
            if f"/dev/{name}" not in listed
        ),
    ]
    resources = linux.setdefault("resources", {}) or {}
    linux["resources"] = resources
    rules = list(resources.get("devices") or [])
    if rules:
        rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
        rules += [
            {"allow": True, "type": "c", "major": major, "access": "rwm", **({} if minor is None else {"minor": minor})}
            for major, minor in _CHARACTER
        ]
    resources["devices"] = rules
    for section in [key for key, value in resources.items() if not value]:
        del resources[section]
    for section in ("memory", "cpu", "pids", "blockIO"):
        if isinstance(resources.get(section), dict):
            resources[section] = {key: value for key, value in resources[section].items() if value not in (None, [])}


def seccomp_plan(profile: Json | None) -> Json | None:
    """``linux.seccomp`` compiled. Raises OSError."""
    if not profile:
        return None
    try:
        if seccomp.wants_listener(profile):
            raise ValueError("SCMP_ACT_NOTIFY is not supported by this version of the engine")
        seccomp.check_flags(profile.get("flags") or [])
        program = seccomp.compile_filter(profile)
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(errno.EINVAL, f"invalid seccomp profile: {error}", "linux.seccomp") from error
    return {
        "program": base64.b64encode(program).decode(), "flags": profile.get("flags") or [],
        "digest": seccomp.digest(profile),
    }  # fmt: skip
