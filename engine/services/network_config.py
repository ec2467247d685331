"""The networks and ports that a request to create a container asks for, checked as far as that needs no engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Mapping

from engine.domain.errors import InvalidArgument, NotSupported
from engine.services.network_requests import USER_MODES
from engine.services.network_settings import NO_BRIDGE, NetworkSettings

WITHOUT_ENDPOINT = ("none", "host", *USER_MODES)
UNCONNECTABLE = {
    "none": "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    "host": "container cannot be disconnected from host network or connected to host network",
}
"""Modes that clients see as networks, and why nobody is connected to them afterwards."""
DEFAULT = "bridge"
_CONTAINER = "container:"
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_ALIAS = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?")
_CONTRADICTIONS = {
    "Dns": "dns", "ExtraHosts": "custom host-to-IP mapping", "PortBindings": "port publishing",
    "PublishAllPorts": "port publishing",
}  # fmt: skip
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """One network that the container is to be on. ``network`` is a name, an id or its beginning."""

    network: str
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    mac_address: str = ""
    links: tuple[str, ...] = ()
    """NAME:ALIAS of others on the network."""

    @property
    def asks(self) -> bool:
        return bool(self.aliases or self.addresses or self.links)


@dataclass(frozen=True, slots=True)
class PortRequest:
    """One port to publish. ``host_address`` "": all of the host's; ``host_ports`` empty: any free one, else the first
    that is free."""

    protocol: str
    container_port: int
    host_address: str = ""
    host_ports: range = range(0)


def check(
    body: Mapping[str, Any], config: Mapping[str, Any], host: dict[str, Any], warnings: list[str]
) -> tuple[EndpointRequest, ...]:
    """Complete NetworkMode; answer with the endpoints to make, the one of NetworkMode first. Raises InvalidArgument."""
    mode = host.get("NetworkMode") or "default"
    host["NetworkMode"] = mode = DEFAULT if mode == "default" else mode
    _check_ports(config, host, mode, warnings)
    _check_hosts(host)
    endpoints = {
        DEFAULT if name == "default" else name: settings or {}
        for name, settings in ((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}).items()
    }
    mac = body.get("MacAddress") or ""
    if mode in WITHOUT_ENDPOINT or mode.startswith(_CONTAINER):
        _refuse_settings(mode, body, host, endpoints, mac)
        return ()
    requests = [endpoint_request(mode, endpoints.pop(mode, {}), mac)]
    requests += [endpoint_request(name, settings) for name, settings in endpoints.items()]
    for request in requests:
        if request.network == DEFAULT:
            refuse_on_default(request)
    return tuple(requests)


def refuse_on_default(request: EndpointRequest) -> None:
    """What the default network has not. Raises InvalidArgument."""
    if request.asks:
        what = "IP address" if request.addresses else "network-scoped aliases"
        raise InvalidArgument(
            f"invalid config for network bridge: user specified {what} is supported on user defined networks only"
        )


def without_default(body: Mapping[str, Any], settings: NetworkSettings) -> Mapping[str, Any]:
    """Where the operator wants no default network, a container that asks for none in particular gets none."""
    host = body.get("HostConfig") or {}
    if settings.bridge != NO_BRIDGE or (host.get("NetworkMode") or "default") != "default":
        return body
    return {**body, "HostConfig": {**host, "NetworkMode": "none"}}


def endpoint_request(network: str, settings: Mapping[str, Any], mac: str = "") -> EndpointRequest:
    """Docker's EndpointSettings. Raises InvalidArgument."""
    ipam = settings.get("IPAMConfig") or {}
    addresses = tuple(
        _address(ipam[key], version) for key, version in (("IPv4Address", 4), ("IPv6Address", 6)) if ipam.get(key)
    )
    aliases = tuple(settings.get("Aliases") or ())
    for alias in aliases:
        if not _ALIAS.fullmatch(alias):
            raise InvalidArgument(f"invalid network alias {alias!r}")
    mac = settings.get("MacAddress") or mac
    if mac and not _MAC.fullmatch(mac):
        raise InvalidArgument(f"invalid MAC address {mac!r}")
    if settings.get("LinkLocalIPs") or ipam.get("LinkLocalIPs"):
        raise NotSupported("--link-local-ip is not supported")
    if settings.get("GwPriority"):
        raise NotSupported("--gw-priority is not supported: the way out leads through the first network that has one")
    if unknown := sorted((settings.get("DriverOpts") or {}).keys()):
        raise NotSupported(f"driver option {unknown[0]!r} of an endpoint is not supported")
    links = tuple(":".join(parse_link(text)) for text in settings.get("Links") or ())
    return EndpointRequest(network, aliases, addresses, mac.lower().replace("-", ":"), links)


def parse_link(text: Any) -> tuple[str, str]:
    """Container and alias of ``NAME`` or ``NAME:ALIAS``. Raises InvalidArgument."""
    parts = text.split(":") if isinstance(text, str) else []
    if not parts or len(parts) > 2 or not all(parts):
        raise InvalidArgument(f"bad format for links: {text}")
    return parts[0].removeprefix("/"), parts[-1].rpartition("/")[2]


def _address(text: str, version: int) -> str:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid IPv{version} address: {text}") from error
    if address.version != version:
        raise InvalidArgument(f"invalid IPv{version} address: {text}")
    return str(address)


def _refuse_settings(
    mode: str, body: Mapping[str, Any], host: Mapping[str, Any], endpoints: Mapping[str, Any], mac: str
) -> None:
    """What has no meaning without an interface of its own, in Docker's words."""
    for name, settings in endpoints.items():
        if name != mode and name != DEFAULT:
            raise InvalidArgument(f"conflicting options: network {name} and --network {mode}")
        if settings.get("IPAMConfig") or settings.get("Aliases"):
            raise InvalidArgument(
                "invalid endpoint settings: IP addresses and aliases are supported on user defined networks only"
            )
    if mac and mode != "none":
        raise InvalidArgument("conflicting options: mac-address and the network mode")
    if not mode.startswith(_CONTAINER):
        return
    for field, name in _CONTRADICTIONS.items():
        if host.get(field):
            raise InvalidArgument(f"conflicting options: {name} and the container type network mode")
    if body.get("Hostname"):
        raise InvalidArgument("conflicting options: hostname and the network mode")


def _check_hosts(host: Mapping[str, Any]) -> None:
    for entry in host.get("ExtraHosts") or []:
        name, separator, address = entry.partition(":")
        if not name or not separator or not address:
            raise InvalidArgument(f'bad format for add-host: "{entry}"')
        if address != "host-gateway":
            try:
                ip_address(address.strip("[]"))
            except ValueError as error:
                raise InvalidArgument(f'invalid IP address in add-host: "{address}"') from error
    for address in host.get("Dns") or []:
        try:
            ip_address(address)
        except ValueError as error:
            raise InvalidArgument(f"invalid DNS server address: {address!r}") from error


# --- ports -----------------------------------------------------------------------------------------------------------


def _check_ports(config: Mapping[str, Any], host: dict[str, Any], mode: str, warnings: list[str]) -> None:
    if wanted_ports(config, host) and mode == "host":
        warnings.append("Published ports are discarded when using host network mode")


def exposed(config: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Port and protocol of everything in ExposedPorts. Raises InvalidArgument."""
    return [_port(text) for text in config.get("ExposedPorts") or {}]


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if not number.isdecimal() or not 1 <= int(number) <= 65535 or protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid port specification: {text!r}")
    return int(number), protocol


def wanted_ports(config: Mapping[str, Any], host: Mapping[str, Any]) -> list[PortRequest]:
    """From PortBindings, and with PublishAllPorts the exposed ones that are not among them. Raises InvalidArgument."""
    requests = []
    for text, bindings in (host.get("PortBindings") or {}).items():
        number, protocol = _port(text)
        for binding in bindings or [{}]:
            address = (binding or {}).get("HostIp") or ""
            if address:
                try:
                    address = str(ip_address(address.strip("[]")))
                except ValueError as error:
                    raise InvalidArgument(f"invalid IP address: {address}") from error
            requests.append(PortRequest(protocol, number, address, _range((binding or {}).get("HostPort") or "")))
    if host.get("PublishAllPorts"):
        there = {(request.container_port, request.protocol) for request in requests}
        requests += [
            PortRequest(protocol, number) for number, protocol in exposed(config) if (number, protocol) not in there
        ]
    return requests


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    if not text or text == "0":
        return range(0)
    if not first.isdecimal() or dash and not last.isdecimal():
        raise InvalidArgument(f"invalid host port {text!r}")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise InvalidArgument(f"invalid host port {text!r}")
    return ports
