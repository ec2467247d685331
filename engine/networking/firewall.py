"""The engine's own nf_tables tables, written anew as a whole when a network changes.

One table for IPv4 and one for IPv6, replaced in one transaction: packets meet the old rules or the new ones. Published
ports are elements of maps, so that their number costs nothing on a packet's way, and one more or less is an element and
no new table. What crosses the engine's bridges is dropped unless it belongs to a connection that was let through, is
between neighbours, goes out, or comes in by a published port. What doesn't touch them is left alone. (An accept here
can't override another table's drop: see hooks.)
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address, ip_network
from typing import NamedTuple, Sequence

from engine.kernel import nftables, nftables_state
from engine.kernel.nftables import ACCEPT, DROP, IPV4, IPV6, Batch, Expression

_PROTOCOLS = {"tcp": int(socket.IPPROTO_TCP), "udp": int(socket.IPPROTO_UDP), "sctp": int(socket.IPPROTO_SCTP)}
_FIRST = nftables.REGISTER_0
_LOOPBACK = bytes([127, 0, 0, 0])
_RAW, _DESTINATION_NAT, _FILTER, _SOURCE_NAT = -300, -100, 0, 100
_ANY = ("0.0.0.0", "::")
_EVERYWHERE, _CERTAIN = "published", "published_at"


class BridgeRules(NamedTuple):
    """What the rules need of a network: ``subnets`` of both families; ``internal``: nothing goes in or out."""

    bridge: str
    subnets: tuple[str, ...]
    internal: bool
    masquerade: bool
    neighbours: bool


class PortRule(NamedTuple):
    """A published port: what comes to ``host_address`` (0.0.0.0 or :: for all of the host's) goes to ``target``."""

    protocol: str
    host_address: str
    host_port: int
    target: str
    target_port: int


def render(table: str, networks: Sequence[BridgeRules], ports: Sequence[PortRule]) -> Batch:
    """The transaction that puts the rules in the place of the former ones; without networks, takes them away."""
    batch = Batch()
    for family in (IPV4, IPV6):
        version = 4 if family == IPV4 else 6
        subnets = [one for network in networks for one in network.subnets if ip_network(one).version == version]
        if subnets:
            batch.replace_table(family, table)
            _Family(batch, family, table).write(networks, _elements(ports, version))
        elif table in nftables_state.tables(family):
            batch.delete_table(family, table)
    return batch


def port_changes(table: str, before: Sequence[PortRule], after: Sequence[PortRule]) -> Batch:
    """The transaction that leads from some published ports to others, in tables that are as ``render`` made them."""
    batch = Batch()
    for family in (IPV4, IPV6):
        version = 4 if family == IPV4 else 6
        old, new = ({*_elements(ports, version)} for ports in (before, after))
        for name in (_EVERYWHERE, _CERTAIN):
            batch.delete_elements(family, table, name, sorted(pair for one, *pair in old - new if one == name))
            batch.add_elements(family, table, name, sorted(pair for one, *pair in new - old if one == name))
    return batch


def _elements(ports: Sequence[PortRule], version: int) -> list[tuple[str, bytes, bytes]]:
    """Map, key and data of each port of a family."""
    found = []
    for port in ports:
        if _version(port) == version:
            everywhere = port.host_address in _ANY
            key = _port_key(port) if everywhere else ip_address(port.host_address).packed + _port_key(port)
            found.append((_EVERYWHERE if everywhere else _CERTAIN, key, _target(port)))
    return found


def _version(port: PortRule) -> int:
    return ip_address(port.host_address).version


class _Family:
    """The rules of one family."""

    def __init__(self, batch: Batch, family: int, table: str) -> None:
        self._batch = batch
        self._family = family
        self._table = table
        self._size = 4 if family == IPV4 else 16

    def write(self, networks: Sequence[BridgeRules], ports: Sequence[tuple[str, bytes, bytes]]) -> None:
        self._maps(ports)
        self._protect_loopback()
        self._translate()
        self._forward(networks)
        self._postrouting(networks)

    def _rule(self, chain: str, *expressions: Expression | list[Expression]) -> None:
        flat = [one for part in expressions for one in (part if isinstance(part, list) else [part])]
        self._batch.rule(self._family, self._table, chain, flat)

    def _chain(self, name: str, kind: str, hook: str, priority: int) -> None:
        self._batch.base_chain(self._family, self._table, name, kind, hook, priority)

    # --- published ports -------------------------------------------------------------------------------------------

    def _maps(self, ports: Sequence[tuple[str, bytes, bytes]]) -> None:
        address = ("ipv4_addr" if self._family == IPV4 else "ipv6_addr", self._size)
        port_key, port_data = [("inet_proto", 4), ("inet_service", 4)], [address, ("inet_service", 4)]
        for name, key in ((_EVERYWHERE, port_key), (_CERTAIN, [address, *port_key])):
            elements = [pair for one, *pair in ports if one == name]
            self._batch.map(self._family, self._table, name, key, port_data, elements)

    def _translate(self) -> None:
        """From outside and from containers (prerouting), and from the host itself (output). 127.0.0.1 is the host's
        own: from anywhere else it is dropped before; ::1 is served by the container's shim."""
        offset = 16 if self._family == IPV4 else 24
        words = self._size // 4
        load = [
            nftables.load_payload("network", offset, self._size, _FIRST),
            nftables.load_meta("l4proto", _FIRST + words),
            nftables.load_payload("transport", 2, 2, _FIRST + words + 1),
        ]
        found = _FIRST + words + 2
        translate = nftables.destination_nat(self._family, found, found + words)
        local = [nftables.load_destination_kind(), nftables.compare(struct.pack("=I", nftables.LOCAL_ADDRESS))]
        for hook in ("prerouting", "output"):
            self._chain(hook, "nat", hook, _DESTINATION_NAT)
            if self._family == IPV6:
                own = nftables.load_payload("network", offset, 16)
                self._rule(hook, own, nftables.compare(ip_address("::1").packed), nftables.verdict(ACCEPT))
            self._rule(hook, load, nftables.look_up(_CERTAIN, _FIRST, found), translate)
            self._rule(hook, local, load, nftables.look_up(_EVERYWHERE, _FIRST + words, found), translate)

    def _protect_loopback(self) -> None:
        """No packet from a network may have an address of 127.0.0.0/8: the bridges' route_localnet would let it reach
        the host's own services, or pass for one of the host itself, and the translation of a port of 127.0.0.1 comes
        before the kernel's check."""
        self._chain("loopback", "filter", "prerouting", _RAW)
        if self._family == IPV4:
            outside = nftables.interface_is("iifname", "lo", equal=False)
            for end in ("destination", "source"):
                self._rule("loopback", outside, nftables.address_in(IPV4, end, _LOOPBACK, 8), nftables.verdict(DROP))

    # --- what crosses the bridges ----------------------------------------------------------------------------------

    def _forward(self, networks: Sequence[BridgeRules]) -> None:
        """The walls of internal networks come first: what another network lets in by a published port doesn't come from
        them."""
        self._chain("forward", "filter", "forward", _FILTER)
        for network in networks:
            if network.internal:
                self._shut(network.bridge)
        for network in networks:
            self._let_in(network)

    def _shut(self, bridge: str) -> None:
        for one, other in (("iifname", "oifname"), ("oifname", "iifname")):
            inside, elsewhere = nftables.interface_is(one, bridge), nftables.interface_is(other, bridge, equal=False)
            self._rule("forward", inside, elsewhere, nftables.verdict(DROP))

    def _let_in(self, network: BridgeRules) -> None:
        known = nftables.bits_of("state", nftables.ESTABLISHED | nftables.RELATED)
        translated = nftables.bits_of("status", nftables.DESTINATION_NAT)
        into = nftables.interface_is("oifname", network.bridge)
        out_of = nftables.interface_is("iifname", network.bridge)
        if network.neighbours:
            self._rule("forward", out_of, into, nftables.verdict(ACCEPT))
        else:  # their published ports only; what is bridged doesn't come here: the ports of the bridge are isolated
            self._rule("forward", out_of, into, translated, nftables.verdict(ACCEPT))
            self._rule("forward", out_of, into, nftables.verdict(DROP))
        self._rule("forward", into, known, nftables.verdict(ACCEPT))
        self._rule("forward", into, translated, nftables.verdict(ACCEPT))
        self._rule("forward", into, nftables.verdict(DROP))

    def _postrouting(self, networks: Sequence[BridgeRules]) -> None:
        self._chain("postrouting", "nat", "postrouting", _SOURCE_NAT)
        translated = nftables.bits_of("status", nftables.DESTINATION_NAT)
        for network in networks:
            into = nftables.interface_is("oifname", network.bridge)
            if self._family == IPV4:
                own = nftables.address_in(IPV4, "source", _LOOPBACK, 8)
                self._rule("postrouting", into, own, nftables.masquerade())
            for text in network.subnets:
                subnet = ip_network(text)
                if subnet.version != (4 if self._family == IPV4 else 6):
                    continue
                inside = nftables.address_in(
                    self._family, "source", subnet.network_address.packed, subnet.prefixlen
                )  # fmt: skip
                # a neighbour's answer must come back through the host, which knows of the translation
                self._rule("postrouting", into, inside, translated, nftables.masquerade())
                if network.masquerade and not network.internal:
                    elsewhere = nftables.interface_is("oifname", network.bridge, equal=False)
                    self._rule("postrouting", elsewhere, inside, nftables.masquerade())


def _port_key(port: PortRule) -> bytes:
    return struct.pack("=Bxxx", _PROTOCOLS[port.protocol]) + struct.pack(">Hxx", port.host_port)


def _target(port: PortRule) -> bytes:
    return ip_address(port.target).packed + struct.pack(">Hxx", port.target_port)
