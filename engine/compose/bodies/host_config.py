"""HostConfig of a canonical service, but for what is mounted: limits, powers, namespaces, names, logging."""

from __future__ import annotations

import os

from engine.client import jsontext
from engine.compose.bodies.endpoints import shared_namespace
from engine.compose.bodies.ports import port_bindings
from engine.compose.project import ComposeError, Project
from engine.compose.bodies.values import nano_cpus, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    Json = dict[str, Any]
    Service = Mapping[str, Any]

_AS_THEY_ARE = {
    "Annotations": "annotations", "CgroupParent": "cgroup_parent", "CgroupnsMode": "cgroup",
    "DeviceCgroupRules": "device_cgroup_rules", "Dns": "dns", "DnsOptions": "dns_opt", "DnsSearch": "dns_search",
    "Init": "init", "OomKillDisable": "oom_kill_disable", "Privileged": "privileged",
    "ReadonlyRootfs": "read_only", "Runtime": "runtime", "StorageOpt": "storage_opt", "Sysctls": "sysctls",
    "UTSMode": "uts", "UsernsMode": "userns_mode", "CpusetCpus": "cpuset",
}  # fmt: skip
_NUMBERS = {
    "CpuPeriod": "cpu_period", "CpuQuota": "cpu_quota",
    "CpuRealtimePeriod": "cpu_rt_period", "CpuRealtimeRuntime": "cpu_rt_runtime", "CpuShares": "cpu_shares",
    "Memory": "mem_limit", "MemoryReservation": "mem_reservation", "MemorySwap": "memswap_limit",
    "MemorySwappiness": "mem_swappiness", "OomScoreAdj": "oom_score_adj", "PidsLimit": "pids_limit",
    "ShmSize": "shm_size",
}  # fmt: skip
_RESTART_CONDITIONS = {"none": "no", "any": "always"}


def host_config(project: Project, service: Service, containers: Mapping[str, str]) -> Json:
    """``containers`` are ids by service. Raises ComposeError."""
    host: Json = {field: service.get(key) for field, key in _AS_THEY_ARE.items()}
    host |= {
        field: whole(service[key], key) for field, key in _NUMBERS.items() if service.get(key) not in (None, "")
    }
    host |= _resources(service)
    return host | {
        "CapAdd": _capabilities(service.get("cap_add")),
        "CapDrop": _capabilities(service.get("cap_drop")),
        "Devices": [_device(device) for device in service.get("devices") or ()],
        "ExtraHosts": _extra_hosts(service.get("extra_hosts")),
        "GroupAdd": [str(group) for group in service.get("group_add") or ()],
        "IpcMode": shared_namespace(service.get("ipc") or "", containers, "ipc"),
        "LogConfig": _log_config(service.get("logging")),
        "PidMode": shared_namespace(service.get("pid") or "", containers, "pid"),
        "PortBindings": port_bindings(service),
        "RestartPolicy": _restart_policy(service),
        "SecurityOpt": [_security_option(project, text) for text in service.get("security_opt") or ()],
        "Ulimits": ulimits(service.get("ulimits")),
        **_block_io(service.get("blkio_config") or {}),
    }


# --- resources -------------------------------------------------------------------------------------------------------


def _resources(service: Service) -> Json:
    """``deploy.resources`` over ``cpus`` and the devices; the loader has refused contradictions."""
    resources = (service.get("deploy") or {}).get("resources") or {}
    limits, reservations = resources.get("limits") or {}, resources.get("reservations") or {}
    found: Json = {}
    if cpus := limits.get("cpus") or service.get("cpus"):
        found["NanoCpus"] = nano_cpus(cpus, "cpus")
    if limits.get("memory"):
        found["Memory"] = whole(limits["memory"], "deploy.resources.limits.memory")
    if limits.get("pids"):
        found["PidsLimit"] = whole(limits["pids"], "deploy.resources.limits.pids")
    if reservations.get("memory"):
        found["MemoryReservation"] = whole(reservations["memory"], "deploy.resources.reservations.memory")
    found["DeviceRequests"] = [_device_request(one) for one in reservations.get("devices") or ()]
    return found


def _device_request(device: Mapping[str, Any]) -> Json:
    count = device.get("count", 0)
    return {
        "Driver": device.get("driver") or "",
        "Count": -1 if count == "all" else whole(count, "devices.count"),
        "DeviceIDs": device.get("device_ids"),
        "Capabilities": [list(device.get("capabilities") or ())],
        "Options": device.get("options"),
    }


def _block_io(given: Mapping[str, Any]) -> Json:
    """Sub-keys are the API's or the specification's spelling, as Docker Compose prints both."""
    rates = {
        "BlkioDeviceReadBps": "device_read_bps", "BlkioDeviceWriteBps": "device_write_bps",
        "BlkioDeviceReadIOps": "device_read_iops", "BlkioDeviceWriteIOps": "device_write_iops",
    }  # fmt: skip
    found: Json = {"BlkioWeight": given.get("weight")}
    found["BlkioWeightDevice"] = [_limit(one, "Weight") for one in given.get("weight_device") or ()]
    for field, key in rates.items():
        found[field] = [_limit(one, "Rate") for one in given.get(key) or ()]
    return found


def _limit(given: Mapping[str, Any], what: str) -> Json:
    fields = {key.lower(): value for key, value in given.items()}
    return {"Path": fields["path"], what: whole(fields[what.lower()], f"blkio_config.{what.lower()}")}


def ulimits(given: Mapping[str, Any] | None) -> list[Json]:
    found = []
    for name, limit in sorted((given or {}).items()):
        soft, hard = (limit["soft"], limit["hard"]) if isinstance(limit, dict) else (limit, limit)
        found.append({"Name": name, "Soft": whole(soft, f"ulimits.{name}"), "Hard": whole(hard, f"ulimits.{name}")})
    return found


# --- powers and policies ---------------------------------------------------------------------------------------------


def _capabilities(names: Any) -> list[str]:
    upper = sorted({str(name).upper() for name in names or ()})
    return [name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in upper]


def _device(given: Any) -> Json:
    return {
        "PathOnHost": given["source"],
        "PathInContainer": given.get("target") or given["source"],
        "CgroupPermissions": given.get("permissions") or "rwm",
    }


def _extra_hosts(given: Any) -> list[str]:
    """"name=address" of the canonical form, as the engine wants it: "name:address"."""
    return [f"{name}:{address}" for name, _, address in (str(entry).partition("=") for entry in given or ())]


def _log_config(given: Mapping[str, Any] | None) -> Json | None:
    if not given:
        return None
    options = {name: str(value) for name, value in (given.get("options") or {}).items()}
    return {"Type": given.get("driver") or "", "Config": options}


def _restart_policy(service: Service) -> Json | None:
    """``deploy.restart_policy`` over ``restart``."""
    policy = (service.get("deploy") or {}).get("restart_policy")
    if policy is not None:
        condition = policy.get("condition") or "any"
        name = _RESTART_CONDITIONS.get(condition, condition)
        return {"Name": name, "MaximumRetryCount": int(policy.get("max_attempts") or 0) if name == "on-failure" else 0}
    name, _, count = str(service.get("restart") or "").partition(":")
    if not name:
        return None
    if count and not count.isdecimal():
        raise ComposeError(f"restart: {service['restart']!r}: the number of attempts must be a whole number")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _security_option(project: Project, text: str) -> str:
    """A seccomp profile is read here: the file is the user's, not the engine's."""
    mark = "=" if "=" in text else ":"
    name, _, value = text.partition(mark)
    if name != "seccomp" or value in ("unconfined", "builtin"):
        return text
    path = os.path.join(project.working_dir, value)
    try:
        with open(path, encoding="utf-8") as file:
            profile = jsontext.decode(file.read())
    except (OSError, ValueError) as error:
        raise ComposeError(f"security_opt: seccomp profile {path}: {error}") from error
    return f"seccomp={jsontext.encode(profile)}"
