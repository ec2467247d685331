"""The operator's settings of networks, and the pools that subnets come from: tables of what is taken and refused."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from engine.domain.errors import Conflict, EngineError, InvalidArgument
from engine.networking.subnets import DOCKERS_POOLS, Pool, choose
from engine.services import volume_options
from engine.services.network_requests import check
from engine.services.network_settings import KEYS, NetworkSettings, parse

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"bip": "10.9.0.1"}, "length of its subnet"),
    ({"bip": "fd00::1/64"}, "IPv4 address"),
    ({"bip": "10.9.0.0/24"}, "subnet's own"),
    ({"bip": 7}, "string"),
    ({"fixed-cidr": "fd00::/64"}, "IPv4 subnet"),
    ({"fixed-cidr": "10.8.0.0/25", "bip": "10.9.0.1/24"}, "does not lie in"),
    ({"fixed-cidr-v6": "fd00::/64"}, "needs \"ipv6\""),
    ({"bridge": "br0", "bip": "10.9.0.1/24"}, "exclude each other"),
    ({"bridge": "none", "fixed-cidr": "10.9.0.0/24"}, "exclude each other"),
    ({"bridge": "../all"}, "invalid name of an interface"),
    ({"bridge": "all"}, "invalid name of an interface"),
    ({"mtu": 67}, "68 to 65535"),
    ({"mtu": True}, "68 to 65535"),
    ({"icc": "false"}, "true or false"),
    ({"ip": "nowhere"}, "nowhere"),
    ({"dns": ["dns.example"]}, "dns.example"),
    ({"dns": "192.0.2.1"}, "list of words"),
    ({"dns-search": ["a b"]}, "list of words"),
    ({"dns-opts": ["ndots:1\nnameserver 192.0.2.1"]}, "list of words"),
    ({"default-address-pools": [{"base": "10.0.0.0/8"}]}, "base"),
    ({"default-address-pools": [{"base": "10.0.0.0/8", "size": 7}]}, "between 8 and 30"),
    ({"default-address-pools": [{"base": "10.0.0.0/8", "size": 31}]}, "between 8 and 30"),
    ({"ip6tables": False}, "not supported"),
    ({"iptables": False, "userland-proxy": False}, "no port could be published"),
]


@pytest.mark.parametrize(("values", "why"), REFUSED, ids=[str(values) for values, _ in REFUSED])
def test_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as caught:
        parse(values)
    assert any(f'"{key}"' in str(caught.value) for key in values), "the setting is named"


def test_taken() -> None:
    assert parse({}) == NetworkSettings()
    found = parse({
        "bip": "10.9.0.1/24", "fixed-cidr": "10.9.0.129/25", "ipv6": True, "fixed-cidr-v6": "fd00:9::/64", "mtu": 9000,
        "icc": False, "ip": "127.0.0.1", "dns": ["192.0.2.1"], "dns-search": ["example.org"], "dns-opts": ["ndots:2"],
        "ip-forward": False, "ip-masq": False, "iptables": False, "ip6tables": True, "userland-proxy": True,
        "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}],
    })  # fmt: skip
    assert found == NetworkSettings(
        address="10.9.0.1/24", range="10.9.0.128/25", ipv6=True, range6="fd00:9::/64", mtu=9000, neighbours=False,
        host_address="127.0.0.1", dns=("192.0.2.1",), dns_search=("example.org",), dns_options=("ndots:2",),
        forwards=False, masquerade=False, rules=False, pools=(Pool.of("10.0.0.0/8", 24),),
    )  # fmt: skip
    assert {name for name, _ in KEYS.values() if name} == {*NetworkSettings._fields}


@pytest.mark.parametrize(
    ("pools", "in_use", "expected"),
    [
        (DOCKERS_POOLS, [], "172.17.0.0/16"),
        (DOCKERS_POOLS, ["172.17.5.0/24", "172.18.0.0/15"], "172.20.0.0/16"),
        (DOCKERS_POOLS, ["172.16.0.0/12"], "192.168.0.0/20"),
        (DOCKERS_POOLS, ["172.16.0.0/12", "192.168.16.0/24", "192.168.0.0/21"], "192.168.32.0/20"),
        ([Pool.of("10.0.0.0/24", 26)], ["10.0.0.0/26", "10.0.0.129/32", "fd00::/8"], "10.0.0.64/26"),
        ([Pool.of("10.0.0.0/24", 26), Pool.of("10.1.0.0/24", 30)], ["10.0.0.0/24"], "10.1.0.0/30"),
        ([Pool.of("fd00::/8", 64)], ["fd00::/64"], "fd00:0:0:1::/64"),
    ],
)
def test_the_first_free_subnet(pools: list[Pool], in_use: list[str], expected: str) -> None:
    subnet = ip_network(expected)
    assert choose(pools, subnet.version, map(ip_network, in_use)) == subnet


def test_pools_that_are_used_up_and_pools_that_are_not_there() -> None:
    with pytest.raises(Conflict, match="fully subnetted"):
        choose([Pool.of("10.0.0.0/24", 25)], 4, [ip_network("10.0.0.0/8")])
    assert choose(DOCKERS_POOLS, 6, []) is None


OPTION = "com.docker.network."


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"Name": ""}, "invalid network name"),
        ({"Name": "a/b"}, "invalid network name"),
        ({"Name": "host"}, "predefined"),
        ({"Name": "a", "Driver": "overlay"}, "could not find plugin"),
        ({"Name": "a", "Ingress": True}, "swarm"),
        ({"Name": "a", "Scope": "swarm"}, "swarm"),
        ({"Name": "a", "EnableIPv4": False}, "IPv4"),
        ({"Name": "a", "IPAM": {"Driver": "dhcp"}}, "IPAM"),
        ({"Name": "a", "Options": {"no.such": "1"}}, "no.such"),
        ({"Name": "a", "Options": {f"{OPTION}bridge.name": "default"}}, "interface"),
        ({"Name": "a", "Options": {f"{OPTION}bridge.name": "../../all"}}, "interface"),
        ({"Name": "a", "Options": {f"{OPTION}bridge.host_binding_ipv4": "::1"}}, "IPv4 address"),
        ({"Name": "a", "Options": {f"{OPTION}driver.mtu": "\u0661500"}}, "MTU"),
        ({"Name": "a", "Options": {f"{OPTION}bridge.enable_icc": "maybe"}}, "true or false"),
    ],
)
def test_networks_that_are_refused(body: dict[str, Any], why: str) -> None:
    with pytest.raises(Exception, match=why):
        check(body)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"type": "nfs", "o": "rw,addr=localhost,vers=4"}, "rw,addr=127.0.0.1,vers=4"),
        ({"type": "nfs4", "o": "addr=192.0.2.7"}, "addr=192.0.2.7"),
        ({"type": "cifs", "o": "username=a,addr=fd00::1"}, "username=a,addr=fd00::1"),
        ({"type": "ext4", "o": "addr=localhost"}, "addr=localhost"),
    ],
)
def test_names_of_servers_become_addresses(options: dict[str, str], expected: str) -> None:
    assert volume_options.resolved("data", options) == {**options, "o": expected}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 70 + ".example"])
def test_a_server_that_can_not_be_found_is_named(name: str) -> None:
    with pytest.raises(EngineError, match=f"volume data: .*addr={name}"):
        volume_options.resolved("data", {"type": "nfs", "o": f"addr={name}"})
