"""The operator's settings of networks, by Docker's keys of daemon.json: what the default network is like, where subnets
come from, whom containers ask for names, and how much of the host the engine may change."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Callable, Mapping, NamedTuple

from engine.domain.errors import EngineError, InvalidArgument
from engine.networking.subnets import DOCKERS_POOLS, Pool
from engine.services.network_requests import interface_name

NO_BRIDGE = "none"
_NO_FIELD = ""
"""For what is accepted as far as it says what is so."""


class NetworkSettings(NamedTuple):
    """``bridge``: "" for one of the engine's own, "none" for no default network, else one of the host's, as it is.
    ``address`` is the default network's own with its subnet ("bip"), ``range`` and ``range6`` what containers get of it
    ("fixed-cidr"). Without ``rules`` nothing is written to nf_tables, and the shims carry what is published; without
    ``carries`` they don't."""

    bridge: str = ""
    address: str = ""
    range: str = ""
    range6: str = ""
    ipv6: bool = False
    mtu: int = 0
    neighbours: bool = True
    masquerade: bool = True
    host_address: str = "0.0.0.0"
    pools: tuple[Pool, ...] = DOCKERS_POOLS
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    forwards: bool = True
    rules: bool = True
    carries: bool = True


def parse(values: Mapping[str, Any]) -> NetworkSettings:
    """``values`` have keys of KEYS only. Raises InvalidArgument."""
    fields: dict[str, Any] = {}
    for key, value in values.items():
        name, convert = KEYS[key]
        try:
            fields[name] = convert(value)
        except (ValueError, TypeError, EngineError) as error:
            raise InvalidArgument(f'"{key}" is not valid: {error}') from error
    fields.pop(_NO_FIELD, None)
    settings = NetworkSettings(**fields)
    _check(settings)
    return settings


def _check(settings: NetworkSettings) -> None:
    own = {"bip": settings.address, "fixed-cidr": settings.range, "fixed-cidr-v6": settings.range6}
    if settings.bridge and (said := [key for key, value in own.items() if value]):
        raise InvalidArgument(f'"bridge" and "{said[0]}" exclude each other: what a bridge of the host has is taken')
    if settings.bridge and settings.ipv6:
        raise InvalidArgument('"bridge" and "ipv6" exclude each other: make a network of your own with --ipv6')
    if settings.range6 and not settings.ipv6:
        raise InvalidArgument('"fixed-cidr-v6" needs "ipv6": true')
    if settings.range and settings.address:
        subnet = ip_interface(settings.address).network
        if not ip_network(settings.range).subnet_of(subnet):  # type: ignore[arg-type]
            raise InvalidArgument(f'"fixed-cidr" {settings.range} does not lie in {subnet}, the subnet of "bip"')
    if not settings.rules and not settings.carries:
        raise InvalidArgument('with "iptables" and "userland-proxy" both false no port could be published')


# --- values ----------------------------------------------------------------------------------------------------------


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is expected")
    return value


def _only_true(value: Any) -> bool:
    if not _truth(value):
        raise TypeError("false is not supported by this engine")
    return True


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is expected")
    return value


def _bridge(value: Any) -> str:
    return interface_name(_text(value)) if value else ""


def _address(value: Any) -> str:
    text = _text(value)
    interface = ip_interface(text)
    if interface.version != 4 or "/" not in text:
        raise ValueError("an IPv4 address with the length of its subnet's prefix is expected, as in 10.9.0.1/24")
    if interface.ip in (interface.network.network_address, interface.network.broadcast_address):
        raise ValueError(f"{interface.ip} is the subnet's own address")
    return str(interface)


def _range(version: int) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        network = ip_network(_text(value), strict=False)
        if network.version != version:
            raise ValueError(f"an IPv{version} subnet is expected")
        return str(network)

    return convert


def _mtu(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value and not 68 <= value <= 65535:
        raise TypeError("a number of bytes from 68 to 65535 is expected")
    return value


def _pools(value: Any) -> tuple[Pool, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) and {*one} == {"base", "size"} for one in value):
        raise TypeError('a list of objects with "base" and "size" is expected')
    return tuple(Pool.of(_text(one["base"]), one["size"]) for one in value) or DOCKERS_POOLS


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.split() == [one] for one in value):
        raise TypeError("a list of words is expected")
    return tuple(value)


def _addresses(value: Any) -> tuple[str, ...]:
    return tuple(str(ip_address(one)) for one in _texts(value))


KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bip": ("address", _address),
    "bridge": ("bridge", _bridge),
    "default-address-pools": ("pools", _pools),
    "dns": ("dns", _addresses),
    "dns-opts": ("dns_options", _texts),
    "dns-search": ("dns_search", _texts),
    "fixed-cidr": ("range", _range(4)),
    "fixed-cidr-v6": ("range6", _range(6)),
    "icc": ("neighbours", _truth),
    "ip": ("host_address", lambda value: str(ip_address(_text(value)))),
    "ip-forward": ("forwards", _truth),
    "ip-masq": ("masquerade", _truth),
    "ip6tables": (_NO_FIELD, _only_true),
    "iptables": ("rules", _truth),
    "ipv6": ("ipv6", _truth),
    "mtu": ("mtu", _mtu),
    "userland-proxy": ("carries", _truth),
}
"""Docker's key, the field, and what makes the one of the other."""
