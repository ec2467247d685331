"""Addresses of a subnet that are no container's: the subnet's own, the gateway's and the reserved ones."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from engine.domain.errors import Conflict, InvalidArgument
from engine.networking.subnets import free_address, parse_subnet, refuse_taken, way_out

SUBNET = "10.9.0.0/24"


@pytest.mark.parametrize(
    "entry, address",
    [
        ({"Gateway": "10.9.0.0"}, "10.9.0.0"),
        ({"Gateway": "10.9.0.255"}, "10.9.0.255"),
        ({"AuxiliaryAddresses": {"a": "10.9.0.0"}}, "10.9.0.0"),
        ({"AuxiliaryAddresses": {"a": "10.9.0.1"}}, "10.9.0.1"),
        ({"Gateway": "10.9.0.7", "AuxiliaryAddresses": {"a": "10.9.0.7"}}, "10.9.0.7"),
        ({"AuxiliaryAddresses": {"a": "10.9.0.7", "b": "10.9.0.7"}}, "10.9.0.7"),
        ({"Subnet": "fd00:9::/64", "Gateway": "fd00:9::"}, "fd00:9::"),
        ({"Subnet": "fd00:9::/64", "AuxiliaryAddresses": {"a": "fd00:9:0::1"}}, "fd00:9::1"),
    ],
)
def test_an_address_has_one_use(entry: dict[str, Any], address: str) -> None:
    with pytest.raises(Conflict, match=f"^Address already in use: {address} "):
        parse_subnet({"Subnet": SUBNET, **entry})


@pytest.mark.parametrize("subnet", ["127.0.0.0/24", "224.1.0.0/16", "::1/128", "ff02::/64"])
def test_no_container_is_on_a_loopback_or_multicast_subnet(subnet: str) -> None:
    with pytest.raises(InvalidArgument, match="^invalid subnet"):
        parse_subnet({"Subnet": subnet})


def test_ipv6_in_another_spelling_is_the_same_address() -> None:
    entry = parse_subnet(
        {"Subnet": "fd00:9::/64", "Gateway": "fd00:9:0::1", "AuxiliaryAddresses": {"r": "FD00:9:0::2"}}
    )
    assert entry["gateway"] == "fd00:9::1" and entry["reserved"] == {"r": "fd00:9::2"}
    assert free_address(entry, set()) == "fd00:9::3"


@pytest.mark.parametrize("length, addresses", [(32, ["10.9.0.64"]), (31, ["10.9.0.64", "10.9.0.65"])])
def test_a_range_may_be_as_small_as_one_address(length: int, addresses: list[str]) -> None:
    entry = parse_subnet({"Subnet": SUBNET, "IPRange": f"10.9.0.64/{length}"})
    held: set[str] = set()
    for address in addresses:
        assert free_address(entry, held) == address
        held.add(address)
    with pytest.raises(Conflict, match="no available addresses"):
        free_address(entry, held)


@pytest.mark.parametrize("address", ["10.9.0.0", "10.9.0.1", "10.9.0.7", "10.9.0.255", "fd00:9::", "fd00:9::1"])
def test_a_container_cannot_ask_for_one_of_them(address: str) -> None:
    entries = [
        parse_subnet({"Subnet": SUBNET, "AuxiliaryAddresses": {"printer": "10.9.0.7"}}),
        parse_subnet({"Subnet": "fd00:9::/64"}),
    ]
    (entry,) = [one for one in entries if ip_network(one["subnet"]).version == (6 if ":" in address else 4)]
    with pytest.raises(Conflict, match=f"^Address already in use: {address} "):
        refuse_taken(entry, address)
    refuse_taken(entry, "fd00:9::ffff:ffff:ffff:ffff" if ":" in address else "10.9.0.8")


def test_a_reserved_address_may_be_the_way_out() -> None:
    reserved = {"DefaultGatewayIPv4": "10.9.0.9", "DefaultGatewayIPv6": "10.9.0.8"}
    assert way_out(parse_subnet({"Subnet": SUBNET, "AuxiliaryAddresses": reserved})) == "10.9.0.9"
    reserved = {"DefaultGatewayIPv6": "fd00:9::9", "other": "fd00:9::8"}
    assert way_out(parse_subnet({"Subnet": "fd00:9::/64", "AuxiliaryAddresses": reserved})) == "fd00:9::9"
    assert way_out(parse_subnet({"Subnet": SUBNET, "AuxiliaryAddresses": {"other": "10.9.0.9"}})) == "10.9.0.1"
