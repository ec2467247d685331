"""Addresses of containers on networks: which an endpoint may ask for, and which it gets while it is attached."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, Mapping, Sequence

from engine.domain.endpoint import AttachEndpoint, Endpoint, EndpointAttaching
from engine.domain.errors import Conflict, InvalidArgument, NameTaken
from engine.domain.network import Network
from engine.eventlog.log import Context
from engine.networking.host import HostNetwork
from engine.networking.subnets import address_in, free_address, mac_for, refuse_taken, way_out
from engine.services.core import Core

_ATTEMPTS = 64

Json = dict[str, Any]


class Leases:
    """The log is what refuses an address that is taken: here one is chosen that it will probably accept."""

    def __init__(self, core: Core, host: HostNetwork) -> None:
        self._core = core
        self._host = host
        self._cursors: dict[str, str] = {}

    def check(self, network: Network, address: str) -> None:
        """Whether a container of the network may ask for the address. Raises InvalidArgument, Conflict."""
        for entry in network.subnets:
            subnet = ip_network(entry["subnet"])
            if subnet.version == ip_address(address).version:
                address_in(subnet, address)
                refuse_taken(entry, address)
                return
        raise InvalidArgument(f"network {network.name} has no subnet for address {address}")

    def taken(self, error: NameTaken) -> Conflict:
        """The error for an address that another container holds."""
        network_id, _, address = error.name.partition("/")
        network, holder = self._core.log.get("network", network_id), self._core.log.get("endpoint", error.holder)
        container = self._core.log.get("container", holder.container_id) if holder else None
        whose = f"container {container.name}" if container else "another container"
        return Conflict(f"Address already in use: {address} of network {network.name if network else '?'} is {whose}'s")

    def lease(self, endpoint: Endpoint, network: Network, ports: list[Json], context: Context) -> Endpoint:
        """Record the intent to attach with addresses that nobody holds. Raises Conflict."""
        for _ in range(_ATTEMPTS):
            held = self._core.log.addresses_of_network(network.id)
            addresses = [self._address(endpoint, entry, held) for entry in network.subnets]
            event = EndpointAttaching(
                endpoint.id, addresses, endpoint.requested_mac or mac_for(addresses[0]),
                self._host.interface_name(endpoint.id), ports,
            )  # fmt: skip
            try:
                self._core.recorder.decide("endpoint", endpoint.id, AttachEndpoint(event), context)
            except NameTaken:
                continue
            return self._core.log.get("endpoint", endpoint.id)
        raise Conflict(f"no address of network {network.name} could be leased: too many ask at once, try again")

    def _address(self, endpoint: Endpoint, entry: Mapping[str, Any], held: set[str]) -> str:
        subnet = ip_network(entry["subnet"])
        for address in endpoint.requested:
            if ip_address(address) in subnet:
                return address
        address = free_address(entry, held, self._cursors.get(entry["subnet"], ""))
        self._cursors[entry["subnet"]] = address
        return address


def interface(endpoint: Endpoint, network: Network, name: str) -> Json:
    """What the runtime is to make of a lease (see runtime.network); ``name`` is that of the container's end."""
    lengths = [ip_network(entry["subnet"]).prefixlen for entry in network.subnets]
    return {
        "endpoint_id": endpoint.id, "bridge": network.bridge, "host_interface": endpoint.interface, "name": name,
        "mac_address": endpoint.mac_address, "mtu": network.mtu, "gateways": [],
        "addresses": [f"{address}/{length}" for address, length in zip(endpoint.addresses, lengths)],
        "isolated": not network.neighbours,
    }  # fmt: skip


def lead_out(interfaces: Sequence[Json], networks: Sequence[Network]) -> None:
    """The default route of each family leads through the first network that has a way out."""
    led: set[int] = set()
    for one, network in zip(interfaces, networks):
        for entry in network.subnets if not network.internal else ():
            version = ip_network(entry["subnet"]).version
            if version not in led:
                led.add(version)
                one["gateways"].append(way_out(entry))
