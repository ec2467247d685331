"""Containers: the list's entry, inspect, and the words of ``docker ps``."""

from __future__ import annotations

import hashlib
from typing import Any

from engine.api import API_VERSION
from engine.api.times import human_duration, rfc3339nano
from engine.api.views.docker_defaults import CONFIG, ENDPOINT, HOST_CONFIG, NETWORK_SETTINGS, STORAGE_DRIVER, filled
from engine.api.views.networks import DRIVERS, endpoint_of, network_id
from engine.domain.container import Container
from engine.services import security_options
from engine.services.network_requests import USER_MODES


def status_words(state: Container, now_us: int) -> str:
    """``Up 3 minutes``, ``Exited (0) 2 hours ago``, ``Up 5 seconds (Paused)``."""
    status = state.public_status
    if status in ("running", "paused"):
        up = f"Up {human_duration(max(0, now_us - state.started_at_us))}"
        if status == "paused":
            return f"{up} (Paused)"
        return f"{up} ({_HEALTH_WORDS.get(state.health, state.health)})" if state.health else up
    if status == "exited":
        return f"Exited ({state.exit_code}) {human_duration(max(0, now_us - state.finished_at_us))} ago"
    if status == "restarting":
        return f"Restarting ({state.exit_code}) {human_duration(max(0, now_us - state.finished_at_us))} ago"
    return {"created": "Created", "removing": "Removal In Progress", "dead": "Dead"}[status]


def command_words(command: list[str]) -> str:
    """As the list shows a command: arguments with a space in quotes, the program as it is."""
    return " ".join([*command[:1], *(f"'{word}'" if " " in word else word for word in command[1:])])


def network_mode(host_config: dict[str, Any]) -> str:
    """The network that the container is on; containers of an earlier version had none where they named none."""
    mode = host_config.get("NetworkMode") or "default"
    return "none" if mode == "default" else mode


def networks(view: Any) -> dict[str, Any]:
    """Docker's Networks: by name, what the container has or is to have on each."""
    if view.endpoints:
        own = view.config.get("Hostname") or ""
        return {network.name: endpoint_of(view.state, endpoint, network, own) for endpoint, network in view.endpoints}
    mode = network_mode(view.host_config)
    if mode not in DRIVERS:
        return {}
    return {mode: {**ENDPOINT, "NetworkID": network_id(mode) if view.state.alive else ""}}


def ports(view: Any) -> dict[str, Any]:
    """Docker's Ports: container port -> where it is published, None for one that is only exposed. Nothing
    is where it has no network of its own."""
    has_network = network_mode(view.host_config) in USER_MODES or any(one.addresses for one, _ in view.endpoints)
    if not view.state.alive or not has_network:
        return {}
    found: dict[str, Any] = {name: None for name in view.config.get("ExposedPorts") or {}}
    published = [port for endpoint, _ in view.endpoints for port in endpoint.ports]
    if network_mode(view.host_config) in USER_MODES:
        published += ((view.evidence or {}).get("user_network") or {}).get("ports") or ()
    for port in published:
        name = f"{port['container_port']}/{port['protocol']}"
        binding = {"HostIp": port["host_address"], "HostPort": str(port["host_port"])}
        found[name] = [*(found.get(name) or []), binding]
    return dict(sorted(found.items()))


def port_list(view: Any) -> list[dict[str, Any]]:
    """The same as the list of containers shows it."""
    listed: list[dict[str, Any]] = []
    for name, places in ports(view).items():
        number, _, protocol = name.partition("/")
        entry = {"PrivatePort": int(number), "Type": protocol}
        if not places:
            listed.append(entry)
        for place in places or ():
            listed.append({"IP": place["HostIp"], **entry, "PublicPort": int(place["HostPort"])})
    return listed


def summary(view: Any, now_us: int, *, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """An entry of the list. ``size`` is bytes written and bytes of the whole root file system."""
    state: Container = view.state
    entry: dict[str, Any] = {
        "Id": state.id,
        "Names": ["/" + state.name, *view.link_names],
        "Image": view.image_name,
        "ImageID": state.image_id,
        "Command": command_words(state.command),
        "Created": state.created_at_us // 1_000_000,
        "Ports": port_list(view),
    }
    if size is not None:
        entry |= {key: value for key, value in zip(("SizeRw", "SizeRootFs"), size) if value}
    return entry | {
        "Labels": state.labels,
        "State": state.public_status,
        "Status": status_words(state, now_us),
        "HostConfig": {"NetworkMode": view.host_config.get("NetworkMode") or "default"},
        "NetworkSettings": {"Networks": networks(view)},
        "Mounts": view.mounts,
    }


_HEALTH_WORDS = {"starting": "health: starting"}


def health_of(state: Container) -> str:
    """``none`` without a health check; what does not run is not healthy."""
    if not state.health_check:
        return "none"
    return state.health if state.alive else "unhealthy"


def _health(view: Any) -> dict[str, Any]:
    """Docker's State.Health, where there is a health check and the container has run."""
    state: Container = view.state
    if not state.health_check or not state.started_at_us:
        return {}
    streak, results = view.health_results
    log = [
        {
            "Start": rfc3339nano(result.started_at_us), "End": rfc3339nano(result.finished_at_us),
            "ExitCode": result.exit_code, "Output": result.output,
        }
        for result in results
    ]  # fmt: skip
    return {"Health": {"Status": health_of(state), "FailingStreak": streak or state.failing_streak, "Log": log}}


def _state(view: Any) -> dict[str, Any]:
    state: Container = view.state
    status = state.public_status
    return {
        "Status": status,
        "Running": state.up,
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339nano(state.started_at_us),
        "FinishedAt": rfc3339nano(state.finished_at_us),
        **_health(view),
    }


def _network_settings(view: Any, version: tuple[int, int]) -> dict[str, Any]:
    sandbox = hashlib.sha256(f"{view.state.id}/{view.state.started_at_us}".encode()).hexdigest()
    alive = {"SandboxID": sandbox, "SandboxKey": f"/proc/{view.state.pid}/ns/net"} if view.state.alive else {}
    shown = networks(view)
    default = {key: value for key, value in shown.get("bridge", {}).items() if key in NETWORK_SETTINGS}
    if version < (1, 45):
        own = (view.state.id[:12], _config(view)["Hostname"])
        for endpoint in shown.values():
            if endpoint["DNSNames"]:  # docker-compose 1.29 connects anew whoever lacks them there
                endpoint["Aliases"] = list(dict.fromkeys([*(endpoint["Aliases"] or ()), *own]))
    return {**NETWORK_SETTINGS, **default, **alive, "Ports": ports(view), "Networks": shown}


def _path_of(view: Any, name: str) -> str:
    """Docker shows these files once they exist: from the first start on."""
    path = view.directory / name
    return str(path) if path.exists() else ""


def _log_path(view: Any) -> str:
    """Other programs read the files of json-file, and of no other driver."""
    is_public = view.host_config["LogConfig"]["Type"] == "json-file" and view.log_path.exists()
    return str(view.log_path) if is_public else ""


def _config(view: Any) -> dict[str, Any]:
    config = filled(CONFIG, view.config)
    hostname = config["Hostname"] or view.state.id[:12]
    return {**config, "Hostname": hostname, "Env": config["Env"] or None, "Volumes": config["Volumes"] or None}


def _host_config(view: Any) -> dict[str, Any]:
    """Null, or nothing, where the engine chooses: Docker shows what was chosen."""
    host = filled(HOST_CONFIG, view.host_config)
    host["PidsLimit"] = host["PidsLimit"] or None
    for name in ("CgroupnsMode", "IpcMode"):
        host[name] = host[name] or HOST_CONFIG[name]
    if host["MemorySwappiness"] == -1:
        host["MemorySwappiness"] = None
    if host["PortBindings"]:
        host["PortBindings"] = {
            port: [{"HostIp": "", "HostPort": "", **(binding or {})} for binding in bindings or ()] or bindings
            for port, bindings in host["PortBindings"].items()
        }
    for name in ("MaskedPaths", "ReadonlyPaths"):
        if host[name] is None and not host["Privileged"]:
            host[name] = HOST_CONFIG[name]
    return host


def inspect(
    view: Any, version: tuple[int, int] = API_VERSION, *, size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The whole of a container."""
    state: Container = view.state
    sizes = {} if size is None else {"SizeRw": size[0], "SizeRootFs": size[1]}
    return {
        "Id": state.id,
        "Created": rfc3339nano(state.created_at_us),
        "Path": state.command[0] if state.command else "",
        "Args": state.command[1:],
        "State": _state(view),
        "Image": state.image_id,
        "ResolvConfPath": _path_of(view, "resolv.conf"),
        "HostnamePath": _path_of(view, "hostname"),
        "HostsPath": _path_of(view, "hosts"),
        "LogPath": _log_path(view),
        "Name": "/" + state.name,
        "RestartCount": state.restart_count,
        "Driver": STORAGE_DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": security_options.apparmor_profile(_host_config(view)),
        "ExecIDs": list(view.exec_ids) or None,
        "HostConfig": _host_config(view),
        "GraphDriver": {
            "Data": {"UpperDir": str(view.directory / "upper"), "WorkDir": str(view.directory / "work")},
            "Name": STORAGE_DRIVER,
        },
        **sizes,
        "Mounts": view.mounts,
        "Config": _config(view),
        "NetworkSettings": _network_settings(view, version),
    }
