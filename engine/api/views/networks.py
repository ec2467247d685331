"""Networks: the two that need no bridge, the engine's own, and a container's place on one."""

from __future__ import annotations

import hashlib
from ipaddress import ip_network
from typing import Any, Iterable

from engine.api.times import ZERO, rfc3339nano
from engine.api.views.docker_defaults import ENDPOINT
from engine.networking.subnets import way_out

DRIVERS = {"none": "null", "host": "host"}


def network_id(name: str) -> str:
    """The id of a predefined network: derived from its name, so that it is the same for ever."""
    return hashlib.sha256(f"docket predefined network {name}".encode()).hexdigest() if name in DRIVERS else ""


def inspect(name: str, attached: Iterable[Any] = ()) -> dict[str, Any]:
    """A predefined network. ``attached`` are the views of the running containers on it."""
    return {
        "Name": name,
        "Id": network_id(name),
        "Created": ZERO,
        "Scope": "local",
        "Driver": DRIVERS[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {view.state.id: _member(view.state.name) for view in attached},
        "Options": {},
        "Labels": {},
    }


def _member(name: str) -> dict[str, str]:
    return {"Name": name, "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""}


def inspect_own(view: Any, *, with_members: bool = True) -> dict[str, Any]:
    """A network of the engine's. The list shows no members."""
    state = view.state
    return {
        "Name": state.name,
        "Id": state.id,
        "Created": rfc3339nano(state.created_at_us),
        "Scope": "local",
        "Driver": state.driver,
        "EnableIPv4": True,
        "EnableIPv6": state.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": {} if state.tells_ipam_options else None,
            "Config": [_pool(one) for one in state.subnets],
        },
        "Internal": state.internal,
        "Attachable": state.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": _members(view) if with_members else {},
        "Options": _options(state),
        "Labels": state.labels,
    }


def _pool(entry: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"Subnet": entry["subnet"]}
    if entry["range"]:
        shown["IPRange"] = entry["range"]
    shown["Gateway"] = entry["gateway"]
    if entry["reserved"]:
        shown["AuxiliaryAddresses"] = entry["reserved"]
    return shown


def _options(state: Any) -> dict[str, str]:
    if state.name != "bridge":
        return state.options
    return {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": str(state.neighbours).lower(),
        "com.docker.network.bridge.enable_ip_masquerade": str(state.masquerade).lower(),
        "com.docker.network.bridge.host_binding_ipv4": state.host_address,
        "com.docker.network.bridge.name": state.bridge,
        "com.docker.network.driver.mtu": str(state.mtu),
    }


def _members(view: Any) -> dict[str, Any]:
    members = {}
    for endpoint, container in view.members:
        shown = endpoint_of(container, endpoint, view.state)
        addresses = {}
        for key, address, length in (
            ("IPv4Address", "IPAddress", "IPPrefixLen"),
            ("IPv6Address", "GlobalIPv6Address", "GlobalIPv6PrefixLen"),
        ):
            addresses[key] = f"{shown[address]}/{shown[length]}" if shown[address] else ""
        members[container.id] = {
            "Name": container.name, "EndpointID": endpoint.id, "MacAddress": endpoint.mac_address, **addresses,
        }  # fmt: skip
    return members


def endpoint_of(container: Any, endpoint: Any, network: Any, hostname: str = "") -> dict[str, Any]:
    """Docker's EndpointSettings. ``hostname`` is what the container was given, if anything."""
    wanted = {"IPv6Address" if ":" in one else "IPv4Address": one for one in endpoint.requested}
    own = [hostname] if hostname else []
    names = list(dict.fromkeys([container.name, *endpoint.aliases, container.id[:12], *own]))
    is_default = network.name == "bridge"
    shown = {
        **ENDPOINT,
        "IPAMConfig": wanted or (None if is_default else {}),
        "Links": endpoint.links or None,
        "Aliases": endpoint.aliases or None,
        "MacAddress": endpoint.mac_address,
        "NetworkID": network.id,
        "DNSNames": None if is_default else names,
    }
    if not endpoint.addresses:
        return shown
    shown["EndpointID"] = endpoint.id
    for address, entry in zip(endpoint.addresses, network.subnets):
        subnet = ip_network(entry["subnet"])
        gateway = "" if network.internal else way_out(entry)
        if subnet.version == 4:
            shown |= {"IPAddress": address, "IPPrefixLen": subnet.prefixlen, "Gateway": gateway}
        else:
            shown |= {
                "GlobalIPv6Address": address, "GlobalIPv6PrefixLen": subnet.prefixlen, "IPv6Gateway": gateway,
            }  # fmt: skip
    return shown
