"""The network "bridge": made when it is first asked for, as the operator's settings say, and anew when they change."""

from __future__ import annotations

import hashlib
from ipaddress import ip_interface
from typing import Any

from engine.domain.errors import Conflict, NotFound
from engine.domain.network import CreateNetwork, Network, NetworkConfigured, NetworkCreated, NetworkMoved, Status
from engine.eventlog.log import Context
from engine.networking.host import HostNetwork
from engine.networking.subnets import parse_subnet
from engine.services.core import Core
from engine.services.network_requests import DEFAULT
from engine.services.network_settings import NO_BRIDGE
from engine.services.subnet_choice import SubnetChoice

_SETTLED = ("bridge", "subnets", "mtu", "ipv6", "masquerade", "neighbours", "host_address", "adopted")

Json = dict[str, Any]


def predefined_id(name: str) -> str:
    """The id of a predefined network: derived from its name, so that it is the same for ever."""
    return hashlib.sha256(f"docket predefined network {name}".encode()).hexdigest()


class DefaultNetwork:
    def __init__(self, core: Core, host: HostNetwork, subnets: SubnetChoice, bridge: str) -> None:
        self._core = core
        self._host = host
        self._subnets = subnets
        self._own_bridge = bridge
        self._settings = core.network

    def ensure(self, context: Context) -> None:
        """Make it, unless it is there. Raises NotFound where the settings want none, Conflict."""
        if self._settings.bridge == NO_BRIDGE:
            raise NotFound(f'network {DEFAULT} not found: the engine\'s settings say "bridge": "none"')
        if self._core.log.by_name("network", DEFAULT) is not None:
            return
        with self._subnets.guard:
            created = NetworkCreated(
                network_id=predefined_id(DEFAULT), name=DEFAULT, created_at_us=self._core.clock.now_us(),
                driver="bridge", **self._facts(None),
            )  # fmt: skip
            if self._core.log.get("network", created.network_id) is None:
                self._core.recorder.decide("network", created.network_id, CreateNetwork(created), context)

    def settled(self, network: Network, context: Context) -> Network:
        """Before it is raised: as the settings say by now, and where the host, or another engine on it, has come to use
        its subnet itself, with another one. Other networks are what they were made. Raises Conflict."""
        current = self._core.log.get("network", network.id)
        if current is None or current.name != DEFAULT or current.status is not Status.DOWN:
            return network
        with self._subnets.guard:
            facts = self._facts(current)
            if any(getattr(current, name) != facts[name] for name in _SETTLED):
                self._core.recorder.record("network", current.id, NetworkConfigured(current.id, **facts), context)
                current = self._core.log.get("network", current.id)
            if not self._is_told_where() and self._host.overlaps(current):
                moved = NetworkMoved(current.id, self._subnets.choose(DEFAULT, [], current.ipv6))
                self._core.recorder.record("network", current.id, moved, context)
        return self._core.log.get("network", network.id) or network

    def outdated(self) -> str:
        """A warning where the settings are others than what containers are on; "" where all is as they say."""
        current = self._core.log.by_name("network", DEFAULT)
        if current is None or current.status is Status.DOWN or self._settings.bridge == NO_BRIDGE:
            return ""
        facts = self._facts(current)
        differs = [name for name in _SETTLED if getattr(current, name) != facts[name]]
        if not differs:
            return ""
        return f"the network bridge is in use: its new settings ({', '.join(differs)}) hold when nobody is on it"

    def _is_told_where(self) -> bool:
        return bool(self._settings.bridge or self._settings.address or self._settings.range)

    def _facts(self, current: Network | None) -> Json:
        """What the settings say, with subnets that it has already where they don't."""
        settings = self._settings
        return {
            "bridge": settings.bridge or self._own_bridge, "subnets": self._wanted_subnets(current),
            "mtu": settings.mtu or self._host.mtu(), "ipv6": settings.ipv6, "masquerade": settings.masquerade,
            "neighbours": settings.neighbours, "host_address": settings.host_address,
            "adopted": bool(settings.bridge),
        }  # fmt: skip

    def _wanted_subnets(self, current: Network | None) -> list[Json]:
        if self._settings.bridge:
            address = self._host.address_of(self._settings.bridge)
            if address is None:
                raise Conflict(
                    f'the setting "bridge" names {self._settings.bridge}, but the host has no such bridge with an IPv4 '
                    "address"
                )
            return [parse_subnet({"Subnet": str(address.network), "Gateway": str(address.ip)})]
        versions = (4, 6) if self._settings.ipv6 else (4,)
        return [self._told(one) or self._kept(current, one) or self._chosen(one) for one in versions]

    def _told(self, version: int) -> Json | None:
        settings = self._settings
        if version == 6:
            return parse_subnet({"Subnet": settings.range6}) if settings.range6 else None
        if settings.address:
            interface = ip_interface(settings.address)
            entry = {"Subnet": str(interface.network), "Gateway": str(interface.ip), "IPRange": settings.range}
            return parse_subnet(entry)
        return parse_subnet({"Subnet": settings.range}) if settings.range else None

    @staticmethod
    def _kept(current: Network | None, version: int) -> Json | None:
        """What it has, where that was chosen: what was told once doesn't stay when it isn't told any more."""
        for entry in current.subnets if current is not None and not current.adopted else ():
            if _version(entry) == version and entry == parse_subnet({"Subnet": entry["subnet"]}):
                return entry
        return None

    def _chosen(self, version: int) -> Json:
        return next(one for one in self._subnets.choose(DEFAULT, [], True) if _version(one) == version)


def _version(entry: Json) -> int:
    return 6 if ":" in entry["subnet"] else 4
