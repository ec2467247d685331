"""update: other limits for a container that runs."""

from __future__ import annotations

import json
import sys

from engine.kernel.cgroups import Cgroup
from engine.oci import shape
from engine.oci.containers import Containers, status
from engine.oci.handing_over import Failed
from engine.oci.units import size_bytes, whole
from engine.oci.warnings import warn_all
from engine.runtime.command_journal import Deed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Options = dict[str, Any]

_RESOURCES: dict[str, tuple[str, str, Callable[[str, str], object]]] = {
    "memory": ("memory", "limit", size_bytes), "memory-swap": ("memory", "swap", size_bytes),
    "memory-reservation": ("memory", "reservation", size_bytes), "cpu-share": ("cpu", "shares", whole),
    "cpu-quota": ("cpu", "quota", whole), "cpu-period": ("cpu", "period", whole), "cpu-burst": ("cpu", "burst", whole),
    "cpu-idle": ("cpu", "idle", whole), "cpu-rt-period": ("cpu", "realtimePeriod", whole),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", whole), "cpuset-cpus": ("cpu", "cpus", lambda text, flag: text),
    "cpuset-mems": ("cpu", "mems", lambda text, flag: text), "pids-limit": ("pids", "limit", whole),
    "blkio-weight": ("blockIO", "weight", whole),
}  # fmt: skip


def _resources(options: Options) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if source := options.get("resources"):
        try:
            with sys.stdin if source == "-" else open(str(source), encoding="utf-8") as file:
                given = json.load(file)
        except ValueError as error:
            raise Failed(f"--resources {source}: not JSON: {error}") from error
        shape.check(given, {**shape.RESOURCES, "pids": {"limit": shape.NUMBER}}, "resources")
        resources = {key: value for key, value in given.items() if value}
    for name, (section, key, convert) in _RESOURCES.items():
        if (value := options.get(name)) is not None:
            resources.setdefault(section, {})[key] = convert(str(value), f"--{name}")
    resources.pop("devices", None)  # they are the launch's
    return resources


def update(containers: Containers, options: Options, rest: list[str]) -> int:
    resources = _resources(options)
    with containers.locked(rest[0]) as state:
        if (now := status(state)) not in ("running", "created", "paused"):
            raise Failed(f"cannot update a container that is {now}")
        cgroup = Cgroup(state["cgroup_path"])
        with Deed(containers.root, "update", rest[0], {"resources": resources}) as deed:
            before = cgroup.read_limits()
            try:
                warn_all(cgroup.apply(resources))
            except OSError:
                cgroup.restore(before)
                raise
            after = cgroup.read_limits()
            deed.facts = {"limits": {name: text for name, text in after.items() if before.get(name) != text}}
    return 0
