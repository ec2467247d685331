"""Choosing subnets and addresses: pure computation over what is in use."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from engine.domain.errors import Conflict, InvalidArgument

Network = IPv4Network | IPv6Network

_SMALLEST_SHARED = 2
"""Addresses of a subnet that are no container's: the network's own and its last one."""


class Pool(NamedTuple):
    """Where subnets are taken from, and the length of their prefixes."""

    base: Network
    prefix_length: int

    @classmethod
    def of(cls, base: str, prefix_length: Any) -> Pool:
        """Raises ValueError."""
        network = ip_network(base, strict=False)
        longest = network.max_prefixlen - 2
        if not isinstance(prefix_length, int) or not network.prefixlen <= prefix_length <= longest:
            raise ValueError(f"the size of {network}'s subnets must lie between {network.prefixlen} and {longest}")
        return cls(network, prefix_length)


DOCKERS_POOLS = (*(Pool.of(f"172.{second}.0.0/16", 16) for second in range(17, 32)), Pool.of("192.168.0.0/16", 20))
"""In Docker's order."""


def choose(pools: Sequence[Pool], version: int, in_use: Iterable[Network]) -> Network | None:
    """The first subnet of the pools of a version that overlaps nothing in use; None where they have none. Raises
    Conflict where all are in use."""
    taken = sorted((one for one in in_use if one.version == version), key=lambda one: int(one.network_address))
    mine = [pool for pool in pools if pool.base.version == version]
    for pool in mine:
        if (found := _first_free(pool, taken)) is not None:
            return found
    if mine:
        raise Conflict("all predefined address pools have been fully subnetted: give the network a --subnet")
    return None


def _first_free(pool: Pool, taken: Sequence[Network]) -> Network | None:
    """From the end of what is in the way to the next place: a pool may have more subnets than can be walked through."""
    size = 1 << pool.base.max_prefixlen - pool.prefix_length
    start, end = int(pool.base.network_address), int(pool.base.broadcast_address)
    for one in taken:
        first, last = int(one.network_address), int(one.broadcast_address)
        if last >= start and first < start + size:
            start = (last // size + 1) * size
    return type(pool.base)((start, pool.prefix_length)) if start + size - 1 <= end else None


def choose_ipv6(seed: str) -> IPv6Network:
    """A unique local subnet (RFC 4193) whose number follows from ``seed``."""
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return IPv6Network((int("fd" + digits[:14] + "0" * 16, 16), 64))


def parse_subnet(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's IPAM entry (Subnet, Gateway, IPRange, AuxiliaryAddresses) in the form that events have.

    Raises InvalidArgument with Docker's wording where an address lies outside, Conflict where it has another use.
    """
    subnet = _network(entry.get("Subnet") or "")
    if subnet.is_loopback or subnet.is_multicast:
        raise InvalidArgument(f"invalid subnet {subnet}: no container can have a loopback or multicast address")
    if subnet.num_addresses < _SMALLEST_SHARED * 2:
        raise InvalidArgument(f"subnet {subnet} is too small: it has no address for a container beside the gateway's")
    range_ = _network(entry["IPRange"]) if entry.get("IPRange") else None
    if range_ is not None and (range_.version != subnet.version or not range_.subnet_of(subnet)):  # type: ignore
        raise InvalidArgument(f"invalid ip-range {range_}: it does not lie in subnet {subnet}")
    gateway = entry.get("Gateway") or str(next(iter(subnet.hosts())))
    range_text = str(range_) if range_ else ""
    parsed: dict[str, Any] = {"subnet": str(subnet), "gateway": "", "range": range_text, "reserved": {}}
    parsed["gateway"] = _unused(parsed, subnet, gateway)
    for name, text in (entry.get("AuxiliaryAddresses") or {}).items():
        parsed["reserved"][name] = _unused(parsed, subnet, text)
    return parsed


def _unused(entry: Mapping[str, Any], subnet: Network, text: str) -> str:
    address = address_in(subnet, text)
    refuse_taken(entry, address)
    return address


def refuse_taken(entry: Mapping[str, Any], address: str) -> None:
    """Raises Conflict for an address of the subnet that is no container's."""
    if whose := _taken(entry).get(address):
        raise Conflict(f"Address already in use: {address} of subnet {entry['subnet']} is {whose}")


def _taken(entry: Mapping[str, Any]) -> dict[str, str]:
    """The addresses that are no container's, and whose they are."""
    subnet = ip_network(entry["subnet"])
    taken = {address: f"reserved for {name!r}" for name, address in entry["reserved"].items()}
    taken |= {str(subnet.network_address): "the subnet's own", entry["gateway"]: "the gateway's"}
    if subnet.version == 4:
        taken[str(subnet.broadcast_address)] = "the subnet's own"
    return taken


def way_out(entry: Mapping[str, Any]) -> str:
    """Where containers send what isn't for the subnet: Docker has names of reserved addresses that say so."""
    name = "DefaultGatewayIPv6" if ":" in entry["gateway"] else "DefaultGatewayIPv4"
    return entry["reserved"].get(name) or entry["gateway"]


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidArgument(f"invalid subnet {text!r}: {error}") from error


def address_in(subnet: Network, text: str) -> str:
    """The address in its usual spelling. Raises InvalidArgument where it is none, or lies outside of the subnet."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid address {text!r}: {error}") from error
    if address not in subnet:
        raise InvalidArgument(f"invalid address {text}: it does not belong to subnet {subnet}")
    return str(address)


def free_address(entry: Mapping[str, Any], held: set[str], after: str = "") -> str:
    """The next address of a subnet that nobody holds, going round from the one ``after``, so that an address that was
    just given back is not the next to be handed out. Raises Conflict."""
    pool = ip_network(entry["range"] or entry["subnet"])
    taken = {*held, *_taken(entry)}
    low, size = int(pool.network_address), pool.num_addresses
    start = int(ip_address(after)) + 1 - low if after and ip_address(after) in pool else 0
    for offset in range(min(size, len(taken) + 1)):
        address = str(ip_address(low + (start + offset) % size))
        if address not in taken:
            return address
    raise Conflict(f"no available addresses on subnet {entry['subnet']}: all {size} of {pool} are taken")


def mac_for(address: str) -> str:
    """A locally administered MAC address that follows from the container's address, so that nobody's table of
    neighbours goes stale when it starts again."""
    packed = ip_address(address).packed
    tail = packed if len(packed) == 4 else hashlib.sha256(packed).digest()[:4]
    return "02:42:" + tail.hex(":")
