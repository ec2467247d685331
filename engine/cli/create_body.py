"""From the flags of ``create`` and ``run`` to the body of POST /containers/create.

What was not asked for is left out, or empty: the engine's defaults are the engine's. Raises CommandError.
"""

from __future__ import annotations

import os

from engine.cli.create_network import endpoint_settings, exposed_ports, network_settings
from engine.cli.create_values import set_only
from engine.cli.environment import environment, labels
from engine.cli.output import CommandError
from engine.cli.session import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from engine.cli.flags import Options

_SAID_OF_NONE = (
    "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps", "BlkioWeightDevice",
    "Devices", "Dns", "DnsOptions", "DnsSearch", "PortBindings", "Ulimits",
)  # fmt: skip
"""Sent also where they are empty, as Docker's client does: inspect then shows [] or {} in place of null."""


def create_body(options: Options, image: str, command: Sequence[str]) -> dict[str, Any]:
    """The whole body: Docker's Config, with HostConfig and NetworkingConfig in it."""
    config = _config(options, image, command)
    host = {**_limits(options), **_isolation(options), **_storage(options, config), **network_settings(options, config)}
    config["HostConfig"] = {**{name: host[name] for name in _SAID_OF_NONE}, **set_only(host)}
    if options.memory_swappiness == 0:
        config["HostConfig"]["MemorySwappiness"] = 0  # never, which is not the default
    if endpoint := endpoint_settings(options):
        config["NetworkingConfig"] = {"EndpointsConfig": {options.network: endpoint}}
    return config


# --- config ----------------------------------------------------------------------------------------------------------


def _config(options: Options, image: str, command: Sequence[str]) -> dict[str, Any]:
    detached = getattr(options, "detach", False)
    attached = options.attach or ([] if detached else ["stdout", "stderr", *(["stdin"] if options.interactive else [])])
    config = set_only({
        "Hostname": options.hostname,
        "Domainname": options.domainname,
        "User": options.user,
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and "stdin" in attached,
        "Env": environment(options.env_file, options.env),
        "Cmd": list(command),
        "WorkingDir": options.workdir,
        "Labels": labels(options.label_file, options.label),
        "StopSignal": options.stop_signal,
        "StopTimeout": options.stop_timeout,
        "ExposedPorts": {port: {} for text in options.expose for port in exposed_ports(text)},
        "Healthcheck": _healthcheck(options),
        "MacAddress": options.mac_address,
    })  # fmt: skip
    if options.stop_timeout == 0:
        config["StopTimeout"] = 0
    if "entrypoint" in options.given:
        config["Entrypoint"] = [options.entrypoint]  # an empty one takes the image's away
    return {"Image": image, **config}


def _healthcheck(options: Options) -> dict[str, Any] | None:
    settings = set_only({
        "Test": ["CMD-SHELL", options.health_cmd] if options.health_cmd else None,
        "Interval": options.health_interval,
        "Timeout": options.health_timeout,
        "StartPeriod": options.health_start_period,
        "StartInterval": options.health_start_interval,
        "Retries": options.health_retries,
        "OnFailure": options.health_on_failure,
    })  # fmt: skip
    if options.no_healthcheck:
        if settings:
            raise CommandError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if any(isinstance(value, int) and value < 0 for value in settings.values()):
        raise CommandError("--health-* options cannot be negative")
    return settings or None


# --- host config -----------------------------------------------------------------------------------------------------


def _limits(options: Options) -> dict[str, Any]:
    limits = {
        "Memory": options.memory,
        "MemoryReservation": options.memory_reservation,
        "MemorySwap": options.memory_swap,
        "MemorySwappiness": options.memory_swappiness if options.memory_swappiness != -1 else None,
        "OomKillDisable": options.oom_kill_disable,
        "OomScoreAdj": options.oom_score_adj,
        "PidsLimit": options.pids_limit,
        "CpuShares": options.cpu_shares,
        "CpuPeriod": options.cpu_period,
        "CpuQuota": options.cpu_quota,
        "CpuRealtimePeriod": options.cpu_rt_period,
        "CpuRealtimeRuntime": options.cpu_rt_runtime,
        "NanoCpus": options.cpus,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "BlkioWeight": options.blkio_weight,
        "BlkioWeightDevice": options.blkio_weight_device,
        "BlkioDeviceReadBps": options.device_read_bps,
        "BlkioDeviceWriteBps": options.device_write_bps,
        "BlkioDeviceReadIOps": options.device_read_iops,
        "BlkioDeviceWriteIOps": options.device_write_iops,
        "ShmSize": options.shm_size,
        "Ulimits": options.ulimit,
    }
    if options.memory_swappiness != -1 and not 0 <= options.memory_swappiness <= 100:
        raise CommandError(
            f"invalid value: {options.memory_swappiness}. Valid memory swappiness range is 0-100"
        )
    return limits


def _isolation(options: Options) -> dict[str, Any]:
    return {
        "AutoRemove": options.rm,
        "RestartPolicy": _restart_policy(options),
        "Annotations": dict(entry.partition("=")[::2] for entry in options.annotation),
        "CapAdd": [_capability(name) for name in options.cap_add],
        "CapDrop": [_capability(name) for name in options.cap_drop],
        "CgroupParent": options.cgroup_parent,
        "CgroupnsMode": options.cgroupns,
        "ContainerIDFile": options.cidfile,
        "Devices": [_device(text) for text in options.device],
        "DeviceCgroupRules": options.device_cgroup_rule,
        "GroupAdd": options.group_add,
        "Init": options.init,
        "IpcMode": options.ipc,
        "LogConfig": _log_config(options),
        "PidMode": options.pid,
        "Privileged": options.privileged,
        "ReadonlyRootfs": options.read_only,
        "Runtime": options.runtime,
        "SecurityOpt": [_security_option(text) for text in options.security_opt],
        "Sysctls": dict(entry.partition("=")[::2] for entry in options.sysctl),
        "TimeOffsets": dict(options.time_offset),
        "UTSMode": options.uts,
        "UsernsMode": options.userns,
    }


def _capability(name: str) -> str:
    """"net_admin" -> "CAP_NET_ADMIN"; "all" stands for itself."""
    name = name.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def _restart_policy(options: Options) -> dict[str, Any] | None:
    name, _, count = options.restart.partition(":")
    if count and not count.isdecimal():
        raise CommandError("invalid restart policy format: maximum retry count must be an integer")
    if name in ("", "no"):
        return None
    if options.rm:
        raise CommandError("conflicting options: cannot specify both --restart and --rm")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _log_config(options: Options) -> dict[str, Any] | None:
    settings = dict(entry.partition("=")[::2] for entry in options.log_opt)
    if options.log_driver == "none" and settings:
        raise CommandError("invalid logging opts for driver none")
    return {"Type": options.log_driver, "Config": settings} if options.log_driver or settings else None


def _device(text: str) -> dict[str, str]:
    """"/dev/sda[:/dev/inside][:rwm]"."""
    parts = text.split(":")
    inside, permissions = parts[0], "rwm"
    if len(parts) > 3:
        raise CommandError(f"invalid device specification: {text}")
    if len(parts) == 3:
        inside, permissions = parts[1], parts[2]
    elif len(parts) == 2:
        is_mode = parts[1] and not parts[1].strip("rwm")
        inside, permissions = (parts[0], parts[1]) if is_mode else (parts[1], "rwm")
    return {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": permissions}


def _security_option(text: str) -> str:
    """A seccomp profile is read here: the file is the user's, not the engine's."""
    name, found, value = text.partition("=")
    if not found and text != "no-new-privileges":
        name, found, value = text.partition(":")
        if not found:
            raise CommandError(f'invalid --security-opt: "{text}"')
    if name == "seccomp" and value not in ("unconfined", "builtin"):
        try:
            profile = read_file(value)
        except CommandError as error:
            raise CommandError(f"opening seccomp profile ({value}) failed: {error}") from error
        return f"seccomp={_compact(profile, value)}"
    return text


def _compact(profile: str, path: str) -> str:
    from engine.client import jsontext

    try:
        return jsontext.encode(jsontext.decode(profile))
    except ValueError as error:
        raise CommandError(f"compacting json for seccomp profile ({path}) failed: {error}") from error


def _storage(options: Options, config: dict[str, Any]) -> dict[str, Any]:
    binds = []
    for volume in options.volume:
        source, found, _ = volume.partition(":")
        if not found:
            config.setdefault("Volumes", {})[volume] = {}  # an anonymous volume
        elif source.startswith("."):
            binds.append(os.path.abspath(source) + volume[len(source) :])
        else:
            binds.append(volume)
    return {
        "Binds": binds,
        "Mounts": options.mount,
        "Tmpfs": dict(entry.partition(":")[::2] for entry in options.tmpfs),
        "StorageOpt": dict(entry.partition("=")[::2] for entry in options.storage_opt),
        "VolumeDriver": options.volume_driver,
        "VolumesFrom": options.volumes_from,
    }
