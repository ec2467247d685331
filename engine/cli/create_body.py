"""From the flags of ``create`` and ``run`` to the body of POST /containers/create.

What was not asked for is left out: the engine's defaults are the engine's. Raises CommandError.
"""

from __future__ import annotations

import os

from engine.cli.output import CommandError
from engine.cli.session import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from engine.cli.flags import Options

FAILURE = 125


def create_body(options: Options, image: str, command: Sequence[str]) -> dict[str, Any]:
    """The whole body: Docker's Config, with HostConfig and NetworkingConfig in it."""
    config = _config(options, image, command)
    host = {**_limits(options), **_isolation(options), **_storage(options, config), **_network(options, config)}
    config["HostConfig"] = _set_only(host)
    if endpoint := _endpoint(options):
        config["NetworkingConfig"] = {"EndpointsConfig": {options.network: endpoint}}
    return config


def _set_only(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0, [], {}, False)}


# --- config ----------------------------------------------------------------------------------------------------------


def _config(options: Options, image: str, command: Sequence[str]) -> dict[str, Any]:
    detached = getattr(options, "detach", False)
    attached = options.attach or ([] if detached else ["stdout", "stderr", *(["stdin"] if options.interactive else [])])
    config = _set_only({
        "Hostname": options.hostname,
        "Domainname": options.domainname,
        "User": options.user,
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and "stdin" in attached,
        "Env": _environment(options.env_file, options.env),
        "Cmd": list(command),
        "WorkingDir": options.workdir,
        "Labels": labels(options.label_file, options.label),
        "StopSignal": options.stop_signal,
        "StopTimeout": options.stop_timeout,
        "ExposedPorts": {_port_with_protocol(port): {} for text in options.expose for port in _expand(text)},
        "Healthcheck": _healthcheck(options),
        "MacAddress": options.mac_address,
    })  # fmt: skip
    if options.stop_timeout == 0:
        config["StopTimeout"] = 0
    if "entrypoint" in options.given:
        config["Entrypoint"] = [options.entrypoint]  # an empty one takes the image's away
    return {"Image": image, **config}


def _environment(files: Sequence[str], given: Sequence[str]) -> list[str]:
    """The files' variables first; a name alone takes the value that it has here, if any."""
    return read_environment(files) + resolve_environment(given)


def resolve_environment(given: Sequence[str]) -> list[str]:
    """"A=b" as it is, "A" with this process's value."""
    resolved = []
    for entry in given:
        name, has_value, _ = entry.partition("=")
        if not name:
            raise CommandError(f"docket: invalid environment variable: {entry}", FAILURE)
        if has_value:
            resolved.append(entry)
        elif name in os.environ:
            resolved.append(f"{name}={os.environ[name]}")
    return resolved


def read_environment(files: Sequence[str]) -> list[str]:
    """The variables of --env-file: NAME=value a line, # comments, names alone as with --env."""
    found = []
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            line = line.removeprefix("\ufeff").lstrip()
            if not line or line.startswith("#"):
                continue
            name, has_value, _ = line.partition("=")
            if not name or any(mark.isspace() for mark in name.rstrip() if has_value) or name != name.rstrip():
                raise CommandError(
                    f"docket: invalid env file ({path}): variable '{name}' contains whitespaces (line {number})", FAILURE
                )
            found += resolve_environment([line if has_value else name.strip()])
    return found


def _lines(path: str) -> list[str]:
    try:
        return [line.rstrip("\r") for line in read_file(path).split("\n")]
    except CommandError as error:
        raise CommandError(f"docket: {error}", FAILURE) from error


def labels(files: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """The files' labels, then the command line's; a name alone has an empty value."""
    lines = [line.strip() for path in files for line in _lines(path)]
    entries = [line for line in lines if line and not line.startswith("#")] + list(given)
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def _healthcheck(options: Options) -> dict[str, Any] | None:
    settings = _set_only({
        "Test": ["CMD-SHELL", options.health_cmd] if options.health_cmd else None,
        "Interval": options.health_interval,
        "Timeout": options.health_timeout,
        "StartPeriod": options.health_start_period,
        "StartInterval": options.health_start_interval,
        "Retries": options.health_retries,
    })  # fmt: skip
    if options.no_healthcheck:
        if settings:
            raise CommandError("docket: --no-healthcheck conflicts with --health-* options", FAILURE)
        return {"Test": ["NONE"]}
    if any(isinstance(value, int) and value < 0 for value in settings.values()):
        raise CommandError("docket: --health-* options cannot be negative", FAILURE)
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
            f"docket: invalid value: {options.memory_swappiness}. Valid memory swappiness range is 0-100", FAILURE
        )
    return limits


def _isolation(options: Options) -> dict[str, Any]:
    return {
        "AutoRemove": options.rm,
        "RestartPolicy": _restart_policy(options),
        "Annotations": dict(entry.partition("=")[::2] for entry in options.annotation),
        "CapAdd": options.cap_add,
        "CapDrop": options.cap_drop,
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
        "UTSMode": options.uts,
        "UsernsMode": options.userns,
    }


def _restart_policy(options: Options) -> dict[str, Any] | None:
    name, _, count = options.restart.partition(":")
    if count and not count.isdecimal():
        raise CommandError("docket: invalid restart policy format: maximum retry count must be an integer", FAILURE)
    if name in ("", "no"):
        return None
    if options.rm:
        raise CommandError("docket: conflicting options: cannot specify both --restart and --rm", FAILURE)
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _log_config(options: Options) -> dict[str, Any] | None:
    settings = dict(entry.partition("=")[::2] for entry in options.log_opt)
    if options.log_driver == "none" and settings:
        raise CommandError("docket: invalid logging opts for driver none", FAILURE)
    return {"Type": options.log_driver, "Config": settings} if options.log_driver or settings else None


def _device(text: str) -> dict[str, str]:
    """"/dev/sda[:/dev/inside][:rwm]"."""
    parts = text.split(":")
    inside, permissions = parts[0], "rwm"
    if len(parts) > 3:
        raise CommandError(f"docket: invalid device specification: {text}", FAILURE)
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
            raise CommandError(f'docket: invalid --security-opt: "{text}"', FAILURE)
    if name == "seccomp" and value not in ("unconfined", "builtin"):
        try:
            profile = read_file(value)
        except CommandError as error:
            raise CommandError(f"docket: opening seccomp profile ({value}) failed: {error}", FAILURE) from error
        return f"seccomp={_compact(profile, value)}"
    return text


def _compact(profile: str, path: str) -> str:
    from engine.client import jsontext

    try:
        return jsontext.encode(jsontext.decode(profile))
    except ValueError as error:
        raise CommandError(f"docket: compacting json for seccomp profile ({path}) failed: {error}", FAILURE) from error


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


# --- network ---------------------------------------------------------------------------------------------------------


def _network(options: Options, config: dict[str, Any]) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in options.publish:
        for port, binding in _published(text):
            bindings.setdefault(port, []).append(binding)
            config.setdefault("ExposedPorts", {})[port] = {}
    return {
        "NetworkMode": options.network,
        "PortBindings": bindings,
        "PublishAllPorts": options.publish_all,
        "Dns": options.dns,
        "DnsOptions": options.dns_option,
        "DnsSearch": options.dns_search,
        "ExtraHosts": options.add_host,
    }


def _endpoint(options: Options) -> dict[str, Any]:
    addresses = _set_only({"IPv4Address": options.ip, "IPv6Address": options.ip6})
    return _set_only(
        {"IPAMConfig": addresses, "Aliases": options.network_alias, "MacAddress": options.mac_address}
    )


def _published(text: str) -> list[tuple[str, dict[str, str]]]:
    """"[ip:][host:]container[/proto]", ranges on both sides: (container port, binding) for each."""
    endpoint, _, protocol = text.partition("/")
    head, _, inside = endpoint.rpartition(":")
    address, colon, host = head.rpartition(":")
    if not colon and ("." in head or head.startswith("[")):
        address, host = head, ""
    inner, outer = _port_range(inside, text), _port_range(host, text) if host else []
    if outer and len(outer) != len(inner) and len(inner) != 1:
        raise CommandError(f"docket: invalid ranges specified for container and host Ports: {inside} and {host}", FAILURE)
    if outer and len(inner) == 1 < len(outer):
        hosts = [host]  # the engine chooses one of the range
    else:
        hosts = [str(port) for port in outer] or [""] * len(inner)
    return [
        (f"{port}/{protocol.lower() or 'tcp'}", {"HostIp": address.strip("[]"), "HostPort": chosen})
        for port, chosen in zip(inner, hosts)
    ]


def _port_range(text: str, whole: str) -> list[int]:
    first, dash, last = text.partition("-")
    if first.isdecimal() and (last.isdecimal() or not dash):
        start, end = int(first), int(last or first)
        if start <= end <= 65535:
            return list(range(start, end + 1))
    raise CommandError(f"docket: invalid containerPort: {whole}", FAILURE)


def _expand(text: str) -> list[str]:
    ports, _, protocol = text.partition("/")
    return [f"{port}/{protocol}" if protocol else str(port) for port in _port_range(ports, text)]


def _port_with_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"
