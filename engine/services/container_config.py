"""From the body of Docker's ``POST /containers/create`` and the image's configuration to what a container is.

The result is the document that the log keeps: ``Config`` and ``HostConfig`` as Docker's inspect shows them. A field
that Docker knows and this engine doesn't offer yet is refused where its value asks for something; fields that nobody
knows are ignored, as Docker does.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import Any, Mapping

from engine.domain import restart_policy
from engine.domain.errors import InvalidArgument, NotSupported
from engine.services import (
    clock_offsets, devices, health_config, limits, log_config, mount_points, network_config, oci_spec,
    security_options, sharing, user_namespace,
)  # fmt: skip
from engine.services.seccomp_filter import filter_for

NEVER_ASKS = (None, "", 0, False, [], {})
"""Values by which a client says nothing."""

UNSUPPORTED_HOST_CONFIG: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    # field: (what a user calls it, values beside NEVER_ASKS that ask for nothing)
    "VolumeDriver": ("--volume-driver", ("local",)),
    "Cgroup": ("--cgroup", ()),
    "DeviceRequests": ("--gpus", ()),
    "Isolation": ("--isolation", ("default",)),
    "CpuCount": ("--cpu-count", ()),
    "CpuPercent": ("--cpu-percent", ()),
    "IOMaximumIOps": ("--io-maxiops", ()),
    "IOMaximumBandwidth": ("--io-maxbandwidth", ()),
}

_HOST_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?")
_CONFIG_DEFAULTS: Mapping[str, Any] = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": [], "Cmd": None, "Image": "", "Volumes": None,
    "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {},
}  # fmt: skip
_OPTIONAL_CONFIG = ("ExposedPorts", "StopSignal", "StopTimeout", "Shell", "NetworkDisabled")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a container is made with. ``warnings`` go to the client once; ``mounts`` are HostConfig's, parsed."""

    config: dict[str, Any]
    host_config: dict[str, Any]
    mounts: tuple[mount_points.MountPoint, ...]
    warnings: tuple[str, ...]
    endpoints: tuple[network_config.EndpointRequest, ...] = ()

    def document(self) -> bytes:
        """Canonical JSON: equal settings have one document."""
        body = {"Config": self.config, "HostConfig": self.host_config}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def normalize(body: Mapping[str, Any], image_config: Mapping[str, Any]) -> Settings:
    """Check and complete a request. Raises InvalidArgument or NotSupported with one line for the user."""
    host = security_options.with_system_paths(dict(_mapping(body, "HostConfig")))
    warnings: list[str] = []
    config = _merge_image({**_CONFIG_DEFAULTS, **_known_config(body)}, image_config)
    _check_config(config)
    _refuse_unsupported(host)
    endpoints = network_config.check(body, config, host, warnings)
    log_config.check(host)
    check_restart(host)
    warnings += _check_isolation(host, config)
    warnings += limits.check(host)
    mounts = mount_points.parse(host, config)
    mount_points.check_sources(mounts)
    return Settings(config, host, mounts, tuple(warnings), endpoints)


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"{key} must be an object")
    return value


def _known_config(body: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: body[key] for key in _CONFIG_DEFAULTS if body.get(key) is not None}
    known.update({key: body[key] for key in _OPTIONAL_CONFIG if body.get(key) not in (None, "")})
    for key, value in known.items():
        expected = type(_CONFIG_DEFAULTS.get(key))
        if expected in (str, bool, dict) and not isinstance(value, expected):
            raise InvalidArgument(f"{key} must be a {expected.__name__}")
    for key in ("Cmd", "Entrypoint"):
        if isinstance(known.get(key), str):
            known[key] = [known[key]]
    for key in ("Cmd", "Entrypoint", "Env"):
        value = known.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
            raise InvalidArgument(f"{key} must be a list of strings")
    if health := health_config.check(body.get("Healthcheck")):
        known["Healthcheck"] = health
    return known


def _merge_image(config: dict[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in from the image what the request leaves open, by Docker's rules."""
    if not config["Entrypoint"]:
        if config["Entrypoint"] is None or config["Entrypoint"] == []:
            if not config["Cmd"]:
                config["Cmd"] = image.get("Cmd")
            if config["Entrypoint"] is None:
                config["Entrypoint"] = image.get("Entrypoint")
    elif config["Entrypoint"] == [""]:  # --entrypoint "" takes the image's entrypoint away
        config["Entrypoint"] = None
    given = {entry.partition("=")[0] for entry in config["Env"]}
    inherited = [entry for entry in image.get("Env") or [] if entry.partition("=")[0] not in given]
    config["Env"] = [*config["Env"], *inherited]
    config["Labels"] = {**(image.get("Labels") or {}), **config["Labels"]}
    for key in ("User", "WorkingDir"):
        config[key] = config[key] or image.get(key) or ""
    for key in ("StopSignal", "Shell"):
        if key not in config and image.get(key):
            config[key] = image[key]
    if health := health_config.merge(config.get("Healthcheck"), image.get("Healthcheck")):
        config["Healthcheck"] = health
    for key in ("Volumes", "ExposedPorts"):
        merged = {**(image.get(key) or {}), **(config.get(key) or {})}
        if merged:
            config[key] = merged
    return config


def _check_config(config: dict[str, Any]) -> None:
    if not [*(config["Entrypoint"] or []), *(config["Cmd"] or [])]:
        raise InvalidArgument("no command specified")
    if config["Hostname"] and (len(config["Hostname"]) > 63 or not _HOST_NAME.fullmatch(config["Hostname"])):
        raise InvalidArgument(f"invalid hostname format: {config['Hostname']}")
    if config["WorkingDir"] and not config["WorkingDir"].startswith("/"):
        raise InvalidArgument(
            f"the working directory '{config['WorkingDir']}' is invalid, it needs to be an absolute path"
        )
    for entry in config["Env"]:
        if not entry or entry.startswith("=") or "\0" in entry:
            raise InvalidArgument(f"invalid environment variable: {entry!r}")
    if config.get("StopSignal"):
        parse_signal(config["StopSignal"])
    if config.get("NetworkDisabled"):
        raise NotSupported("NetworkDisabled is not supported by this version of docket: use --network none")


def _refuse_unsupported(host: Mapping[str, Any]) -> None:
    for field, (name, harmless) in UNSUPPORTED_HOST_CONFIG.items():
        value = host.get(field)
        if value in NEVER_ASKS or value in harmless:
            continue
        raise NotSupported(f"{name} is not supported by this version of docket yet (HostConfig.{field}: {value!r})")


def check_restart(host: dict[str, Any]) -> None:
    """Complete the restart policy. Raises InvalidArgument."""
    policy = _mapping(host, "RestartPolicy")
    name, limit = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    if name not in restart_policy.POLICIES:
        known = ", ".join(restart_policy.POLICIES)
        raise InvalidArgument(f"invalid restart policy: unknown policy {name!r}; use one of {known}")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if limit and name != "on-failure":
        raise InvalidArgument("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if name != "no" and host.get("AutoRemove"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    host["RestartPolicy"] = {"Name": name, "MaximumRetryCount": limit}


def _check_isolation(host: dict[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything about powers and namespaces, and warnings. Raises InvalidArgument or NotSupported."""
    sharing.check(host, config)
    user_namespace.check(host)
    clock_offsets.check(host)
    devices.check(host)
    capabilities = oci_spec.capabilities(host)
    oci_spec.sysctls(host)
    options = security_options.parse(host)
    filter_for(options, capabilities, privileged=bool(host.get("Privileged")))
    parent = host.get("CgroupParent") or ""
    if "\0" in parent or any(part in ("", ".", "..") for part in parent.strip("/").split("/") if parent):
        raise InvalidArgument(f"invalid cgroup parent: {parent!r}")
    return options.warnings


def parse_signal(text: str) -> int:
    """A signal by number or name, with or without SIG, real-time ones as RTMIN+n. Raises InvalidArgument."""
    name = text.upper().removeprefix("SIG")
    if re.fullmatch("[0-9]{1,3}", name) and 1 <= int(name) <= 64:
        return int(name)
    if match := re.fullmatch(r"RT(MIN|MAX)(?:([+-])([0-9]{1,3}))?", name):
        base = signal.SIGRTMIN if match.group(1) == "MIN" else signal.SIGRTMAX
        number = int(base) + int((match.group(2) or "+") + (match.group(3) or "0"))
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    known = getattr(signal, f"SIG{name}", None) if not name.startswith("_") else None
    if isinstance(known, signal.Signals):
        return int(known)
    raise InvalidArgument(f"invalid signal: {text}")
