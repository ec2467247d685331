"""Ports of the host for a container that is about to start: held, and none that is another container's."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any, Iterator, NamedTuple, Sequence

from engine.domain.errors import Conflict
from engine.domain.network import Network
from engine.kernel.steps import step
from engine.networking import held_ports
from engine.services.core import Core
from engine.services.network_config import PortRequest

_EVERYWHERE = ("0.0.0.0", "::")

Json = dict[str, Any]


class HeldPorts(NamedTuple):
    """``sockets`` go to the shim, with what it is to do with each (``listeners``); ``ports`` are for the log."""

    sockets: list[socket.socket]
    listeners: list[Json]
    ports: list[Json]


    def aim(self, addresses: Sequence[str]) -> None:
        """What the shim carries goes to the container, at its IPv4 address where it has one."""
        targets = {ip_address(address).version: address for address in reversed(addresses)}
        for listener in filter(None, self.listeners):
            listener["target"] = targets.get(4) or targets.get(6)

    def let_go(self) -> None:
        """Close our copies of the sockets: the shim has its own."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


class PublishedPorts:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._rules, self._carries = core.network.rules, core.network.carries

    def hold(self, requests: Sequence[PortRequest], network: Network, held: HeldPorts) -> None:
        """Add to ``held``, which the caller lets go where something goes wrong. Raises Conflict, OSError."""
        with step("network.ports"):
            everywhere = [network.host_address]
            if network.host_address == "0.0.0.0" and held_ports.has_ipv6():
                everywhere.append("::")
            versions = {ip_network(entry["subnet"]).version for entry in network.subnets}
            if not self._carries:
                everywhere = [one for one in everywhere if ip_address(one).version in versions]
            others = [(one.container_id, port) for one in self._core.log.all("endpoint") for port in one.ports]
            for request in requests:
                addresses = [request.host_address] if request.host_address else everywhere
                self._refuse_unserved(request, versions)
                ports = self._free(request, addresses, others) if request.host_ports else held_ports.any_port()
                for sock in held_ports.hold_on_all(request.protocol, addresses, ports):
                    self._add(held, sock, request)

    def _refuse_unserved(self, request: PortRequest, versions: set[int]) -> None:
        """What neither rules nor shim can serve. Raises Conflict."""
        if request.protocol == "sctp" and not self._rules:
            raise Conflict('a port of sctp needs "iptables": true: only the kernel can lead it to a container')
        address = ip_address(request.host_address) if request.host_address else None
        if address is not None and not self._carries and (address.version not in versions or str(address) == "::1"):
            raise Conflict(f'a port of {address} needs "userland-proxy": true: the kernel leads none to this container')

    def _add(self, held: HeldPorts, sock: socket.socket, request: PortRequest) -> None:
        address, port = sock.getsockname()[:2]
        held.sockets.append(sock)
        needs_it = ":" in address or not self._rules
        is_carried = self._carries and needs_it and request.protocol in ("tcp", "udp")
        listener = {"protocol": request.protocol, "port": request.container_port}
        held.listeners.append(listener if is_carried else {})
        held.ports.append({
            "protocol": request.protocol, "container_port": request.container_port,
            "host_address": address, "host_port": port,
        })  # fmt: skip

    def _free(
        self, request: PortRequest, addresses: Sequence[str], others: Sequence[tuple[str, Json]]
    ) -> Iterator[int]:
        """Of the ports that were asked for, those that no other container has on record: one whose end isn't recorded
        yet has its rules still. Raises Conflict where the only one is such."""
        for number in request.host_ports:
            holder = next((one for one, port in others if _meets(port, request.protocol, number, addresses)), None)
            if holder is None:
                yield number
            elif len(request.host_ports) == 1:
                container = self._core.log.get("container", holder)
                raise Conflict(
                    f"Bind for {addresses[0]}:{number} failed: port is already allocated (by container "
                    f"{container.name if container else holder[:12]})"
                )


def _meets(port: Json, protocol: str, number: int, addresses: Sequence[str]) -> bool:
    same = (port["protocol"], port["host_port"]) == (protocol, number)
    return same and (
        port["host_address"] in addresses or port["host_address"] in _EVERYWHERE or bool({*addresses} & {*_EVERYWHERE})
    )
