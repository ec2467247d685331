"""From a bundle's config.json to the launch plan of ``engine.runtime``. What can't be done is refused by its name."""

from __future__ import annotations

import errno
import os

from engine.kernel import apparmor, capabilities, json_text
from engine.kernel.cgroups import Cgroup
from engine.oci import shape
from engine.oci.containers import OWN_CGROUPS
from engine.oci.programs import seccomp_plan
from engine.runtime.setup import has_user_namespace, refuse_unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_CHARACTER = (
    *((major, minor) for _, major, minor in DEFAULT_DEVICES), (5, 1), (5, 2), (136, None),
)  # fmt: skip
_SECURITY_LABELS = ("selinuxLabel", "apparmorProfile")

Json = dict[str, "Any"]


def load(bundle: str) -> Json:
    """The specification, each property of its type. Raises OSError."""
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            spec = json_text.loads(file.read())
    except (ValueError, RecursionError) as error:
        raise OSError(errno.EINVAL, f"not JSON: {error}", path) from error
    shape.check(spec, shape.CONFIG, "")
    if not (version := spec["ociVersion"]).startswith("1."):
        raise OSError(errno.EOPNOTSUPP, f"version {version} of the specification is not supported: 1.x is", path)
    return spec  # type: ignore[no-any-return]


def plan(container_id: str, bundle: str, folder: str, spec: Json, cache: str) -> Json:
    """The launch plan. ``folder`` is the container's own, ``cache`` that of compiled filters. Raises OSError for what
    can't be done."""
    linux = spec["linux"] = spec.get("linux") or {}
    _check(spec)
    _complete_devices(linux)
    spec["root"]["path"] = os.path.realpath(os.path.join(bundle, spec["root"]["path"]))
    for mount in spec.get("mounts") or []:
        _complete_mount(mount, bundle)
    process = spec["process"]
    process["env"] = process.get("env") or []
    seccomp = seccomp_plan(linux.pop("seccomp", None), cache)
    refuse_unknown(spec)
    user = process.get("user") or {}
    return {
        "container_id": container_id,
        "directory": folder,
        "spec": spec,
        "overlay": None,
        "seccomp": seccomp,
        "user": f"{user.get('uid') or 0}:{user.get('gid') or 0}",
        "groups": list(user.get("additionalGids") or []),
        "exact_groups": True,
        "umask": user.get("umask"),
        "create_workdir": True,
        "cgroup_path": cgroup_path(container_id, linux.get("cgroupsPath") or ""),
        "stdio": {"tty": bool(process.get("terminal"))},
        "oom_score_as_is": True,
    }


def cgroup_path(container_id: str, wanted: str) -> str:
    """Relative to each controller's root. An absolute path is just that, a relative one lies among those of our own.
    systemd's slice:prefix:name is another manager's."""
    if wanted.count(":") == 2 and not wanted.startswith("/"):
        raise OSError(errno.EOPNOTSUPP, "cgroups by systemd are not supported: use the cgroupfs driver", wanted)
    parts = [part for part in wanted.split("/") if part not in ("", ".")]
    if ".." in parts or wanted and not parts:
        raise OSError(errno.EINVAL, "invalid cgroupsPath", wanted)
    if not wanted.startswith("/"):
        return "/".join([OWN_CGROUPS, *(parts or [container_id])])
    return "/".join(parts)


def _check(spec: Json) -> None:
    process = spec["process"]
    check_process(process)
    if "mount" not in {entry["type"] for entry in spec["linux"].get("namespaces") or []}:
        raise OSError(errno.EOPNOTSUPP, "a container without a mount namespace is not supported", "linux.namespaces")
    for field in ("uidMappings", "gidMappings"):
        if spec["linux"].get(field) and not has_user_namespace(spec):
            raise OSError(errno.EINVAL, "it maps users, and there is no user namespace", f"linux.{field}")


def check_process(process: Json) -> None:
    """The first process's ``process``, or that of one more. Takes away what says nothing. Raises OSError."""
    if not process.get("args"):
        raise OSError(errno.EINVAL, "it is empty", "process.args")
    for field in _SECURITY_LABELS:
        if process.get(field) in ("", "unconfined"):
            process.pop(field)
    if process.get("apparmorProfile") and not apparmor.is_enabled():
        raise OSError(errno.EOPNOTSUPP, "this kernel runs without AppArmor", "process.apparmorProfile")
    for names in (process.get("capabilities") or {}).values():
        if names:
            names[:] = [name for name in names if name.upper() in capabilities.BITS]  # newer than this kernel's table


def _complete_mount(mount: Json, bundle: str) -> None:
    """A bind mount says so in its options, and where from."""
    options = mount.get("options") or []
    if mount.get("type") == "bind" or {"bind", "rbind"} & set(options):
        if not mount.get("source"):
            raise OSError(errno.EINVAL, "a bind mount needs a source", mount["destination"])
        mount["source"] = os.path.join(bundle, mount["source"])
    elif not mount.get("type"):
        raise OSError(errno.EINVAL, "a mount needs a type", mount["destination"])


def _complete_devices(linux: Json) -> None:
    """The devices that every container has, whatever its specification lists (config-linux.md, "Default Devices"), and
    no others: what no rule allows is forbidden."""
    listed = {device["path"] for device in linux.get("devices") or []}
    linux["devices"] = [
        *(linux.get("devices") or []),
        *(
            {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
            for name, major, minor in DEFAULT_DEVICES
            if f"/dev/{name}" not in listed
        ),
    ]
    resources = linux["resources"] = {key: value for key, value in (linux.get("resources") or {}).items() if value}
    rules = resources.get("devices") or []
    if rules or Cgroup(OWN_CGROUPS).controls_devices:
        resources["devices"] = [
            {"allow": False, "access": "rwm"},
            *rules,
            *({"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")),
            *({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
              for major, minor in _CHARACTER),
        ]  # fmt: skip
    for section in ("memory", "cpu", "pids", "blockIO"):
        if section in resources:
            resources[section] = {key: value for key, value in resources[section].items() if value not in (None, [])}
