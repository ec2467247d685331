"""The engine's rules in nf_tables: written anew from the log whenever something changes, so that what the kernel has
and what the log says can't drift apart; and the exceptions in other firewalls' chains."""

from __future__ import annotations

import threading
from ipaddress import ip_network

from engine.domain.endpoint import Endpoint
from engine.domain.network import Network, NetworkHooked, Status
from engine.eventlog.log import Context
from engine.networking.firewall import BridgeRules, PortRule
from engine.networking.host import HostNetwork
from engine.services.core import Core


class FirewallRules:
    """``warnings`` say what other firewalls do to the traffic of our networks, as of the last look."""

    def __init__(self, core: Core, host: HostNetwork) -> None:
        self._core = core
        self._host = host
        self._lock = threading.Lock()
        self._hooks: list[str] = []
        self._hooked: list[str] | None = None
        """The bridges for which the others' chains were looked at last: a change of theirs is heard of."""
        self.warnings: list[str] = []

    def refresh(self, *, and_also: Network | None = None, without: Network | None = None) -> list[str]:
        """Write the rules anew, and settle those in other firewalls' chains; the latter. Raises OSError."""
        with self._lock:
            up = [one for one in self._core.log.all("network") if one.status is Status.UP]
            if and_also is not None and all(one.id != and_also.id for one in up):
                up.append(and_also)
            if without is not None:
                up = [one for one in up if one.id != without.id]
            self._apply(up)
            bridges = [one.bridge for one in up]
            return self._hooks if bridges == self._hooked else self._settle_hooks(up)

    def _apply(self, up: list[Network]) -> None:
        endpoints = [one for one in self._core.log.all("endpoint") if one.ports]
        self._host.apply_rules([_bridge_rules(one) for one in up], port_rules(endpoints))

    def changed(self) -> None:
        """Somebody has changed nf_tables: see to it that our tables are there (flushing a whole ruleset takes them
        away), and our rules in others' chains, and say what changed."""
        with self._lock:
            up = [one for one in self._core.log.all("network") if one.status is Status.UP]
            before = self._hooks
            if up and not self._host.has_tables([_bridge_rules(one) for one in up]):
                self._host.forget_rules()
                self._apply(up)
            if not up or self._settle_hooks(up) == before:
                return
        context = Context({"door": "firewall"}, f"firewall-{self._core.randomness.hex(16)}", "nf_tables changed")
        for network in up:
            rules = [one for one in self._hooks if one.endswith(f" {network.bridge}")]
            self._core.recorder.record("network", network.id, NetworkHooked(network.id, rules), context)

    def _settle_hooks(self, up: list[Network]) -> list[str]:
        bridges, self._hooked = [one.bridge for one in up], None
        found = self._host.settle_hooks(bridges)
        self._hooks, self._hooked = found.rules, bridges
        self.warnings = [
            f"another firewall drops forwarded packets and offers no place for exceptions ({chain}): containers "
            "may not reach the outside, nor be reached; let it accept what passes the engine's bridges"
            for chain in found.obstacles
        ]
        return found.rules


def _bridge_rules(network: Network) -> BridgeRules:
    texts = tuple(one["subnet"] for one in network.subnets)
    return BridgeRules(network.bridge, texts, network.internal, network.masquerade, network.neighbours)


def port_rules(endpoints: list[Endpoint]) -> list[PortRule]:
    """The translations for published ports. A port of IPv6 has one where the container has such an address."""
    rules = []
    for endpoint in endpoints:
        by_version = {ip_network(address).version: address for address in reversed(endpoint.addresses)}
        for port in endpoint.ports:
            target = by_version.get(ip_network(port["host_address"]).version)
            if target is not None and port["host_address"] != "::1":
                rules.append(PortRule(
                    port["protocol"], port["host_address"], port["host_port"], target, port["container_port"]
                ))  # fmt: skip
    return rules
