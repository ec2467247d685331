"""Which subnets a network gets: those that were asked for, or the first ones that neither host nor log know in use."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from typing import Any, Sequence

from engine.domain.errors import Conflict, InvalidArgument
from engine.networking import subnets
from engine.networking.host import HostNetwork
from engine.services.core import Core

Json = dict[str, Any]


class SubnetChoice:
    """``guard`` is held from a choice until it is on record, so that two networks that are made at once don't choose
    the same."""

    def __init__(self, core: Core, host: HostNetwork, pools: Sequence[subnets.Pool]) -> None:
        self._core = core
        self._host = host
        self._pools = pools
        self.guard = threading.RLock()

    def choose(self, seed: str, given: Sequence[Json], ipv6: bool) -> list[Json]:
        """Docker's IPAM entries completed, IPv4's first. Raises InvalidArgument, Conflict."""
        chosen = [subnets.parse_subnet(one) for one in given if one.get("Subnet")]
        if len(chosen) < len([one for one in given if any(one.values())]):
            raise InvalidArgument("a gateway or an ip-range needs a subnet beside it: give --subnet, too")
        versions = [ip_network(one["subnet"]).version for one in chosen]
        if 6 in versions and not ipv6:
            raise InvalidArgument("an IPv6 subnet needs --ipv6")
        if len(set(versions)) < len(versions):
            raise InvalidArgument("a bridge network has one subnet of each family at most")
        for one in chosen:
            self._refuse_overlap(one["subnet"])
        in_use = [*self._host.subnets_in_use(), *self._known()] if {4, 6} - {*versions} else []
        if 4 not in versions:
            if (subnet := subnets.choose(self._pools, 4, in_use)) is None:
                raise Conflict('"default-address-pools" has no pool of IPv4: give the network a --subnet')
            chosen.insert(0, subnets.parse_subnet({"Subnet": str(subnet)}))
        if ipv6 and 6 not in versions:
            subnet = subnets.choose(self._pools, 6, in_use) or subnets.choose_ipv6(f"{self._host.tag} {seed}")
            chosen.append(subnets.parse_subnet({"Subnet": str(subnet)}))
        return sorted(chosen, key=lambda one: ip_network(one["subnet"]).version)

    def _known(self) -> list[subnets.Network]:
        return [ip_network(one["subnet"]) for network in self._core.log.all("network") for one in network.subnets]

    def _refuse_overlap(self, text: str) -> None:
        subnet = ip_network(text)
        for network in self._core.log.all("network"):
            for one in network.subnets:
                other = ip_network(one["subnet"])
                if other.version == subnet.version and other.overlaps(subnet):  # type: ignore[arg-type]
                    raise Conflict(f"Pool overlaps with other one on this address space: {other} of {network.name}")
