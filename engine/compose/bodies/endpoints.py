"""A container's places on networks: NetworkMode, and the endpoints of NetworkingConfig with their aliases.

The names are part of the endpoint from its creation on, so that they resolve from the first instruction of a process,
and follow a container that is made anew with another address.
"""

from __future__ import annotations

from engine.compose.project import ComposeError, Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    Json = dict[str, Any]

_SERVICE = "service:"


def network_config(
    project: Project, service: Mapping[str, Any], aliases: Sequence[str], containers: Mapping[str, str]
) -> tuple[str, Json]:
    """NetworkMode and EndpointsConfig. The network with the highest priority is the mode's, as in Docker Compose."""
    if mode := service.get("network_mode"):
        return shared_namespace(mode, containers, "network_mode"), {}
    keys = ordered_networks(service)
    if not keys:
        return "none", {}
    names = [network_name(project, key) for key in keys]
    wanted = service.get("networks") or {}
    endpoints = {
        name: _endpoint(wanted[key] or {}, aliases, service.get("mac_address") if at == 0 else None)
        for at, (key, name) in enumerate(zip(keys, names))
    }
    return names[0], endpoints


def ordered_networks(service: Mapping[str, Any]) -> list[str]:
    """The keys of the service's networks: by priority, then by name."""
    wanted = service.get("networks") or {}
    return sorted(wanted, key=lambda key: (-int((wanted[key] or {}).get("priority") or 0), key))


def network_name(project: Project, key: str) -> str:
    """The engine's name of one of the project's networks. Raises ComposeError for one that the file doesn't have."""
    found = (project.model.get("networks") or {}).get(key)
    if found is None:
        raise ComposeError(f'a service refers to undefined network {key}: invalid compose project')
    return found["name"]


def shared_namespace(mode: str, containers: Mapping[str, str], key: str) -> str:
    """"service:db" as "container:<id>"; everything else is the engine's. Raises ComposeError."""
    if not mode.startswith(_SERVICE):
        return mode
    name = mode.removeprefix(_SERVICE)
    if name not in containers:
        raise ComposeError(f"{key}: there is no container of service {name} to share with")
    return f"container:{containers[name]}"


def _endpoint(wanted: Mapping[str, Any], aliases: Sequence[str], mac_address: str | None) -> Json:
    addresses: Json = {
        field: wanted[key]
        for field, key in (("IPv4Address", "ipv4_address"), ("IPv6Address", "ipv6_address"))
        if wanted.get(key)
    }
    if wanted.get("link_local_ips"):
        addresses["LinkLocalIPs"] = list(wanted["link_local_ips"])
    endpoint: Json = {"Aliases": list(dict.fromkeys([*aliases, *(wanted.get("aliases") or ())]))}
    if addresses:
        endpoint["IPAMConfig"] = addresses
    if mac := wanted.get("mac_address") or mac_address:
        endpoint["MacAddress"] = mac
    if wanted.get("driver_opts"):
        endpoint["DriverOpts"] = dict(wanted["driver_opts"])
    if wanted.get("gw_priority"):
        endpoint["GwPriority"] = wanted["gw_priority"]
    return endpoint
