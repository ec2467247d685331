"""Networks: created, raised when they are first needed, taken down and removed, on the record.

Their rules are written anew from the log whenever something changes, so that what the kernel has and what the log says
can't drift apart. A network that nobody is on is taken down when the engine stops, and raised again when it is needed.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from ipaddress import ip_network
from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.endpoint import Endpoint
from engine.domain.errors import Conflict, EngineError, Forbidden, InvalidArgument, NameTaken, NotFound, NotSupported
from engine.domain.errors import describe
from engine.domain.network import (
    CreateNetwork,
    LowerNetwork,
    Network,
    NetworkCreated,
    NetworkHooked,
    NetworkLowered,
    NetworkLowerFailed,
    NetworkMoved,
    NetworkRaised,
    NetworkRaiseFailed,
    RaiseNetwork,
    RemoveNetwork,
    Status,
)
from engine.eventlog.log import Context
from engine.networking import subnets
from engine.networking.firewall import BridgeRules, PortRule
from engine.networking.host import HostNetwork
from engine.services.as_of import resolve_as_of
from engine.services.core import Core
from engine.services.name_files import NameFiles
from engine.services.recorder import caused_by
from engine.services.selection import Filters, Selection
from engine.services.views import NetworkView

DEFAULT = "bridge"
PREDEFINED = (DEFAULT, "host", "none")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_OPTION = "com.docker.network."
_FLAGS = {
    f"{_OPTION}bridge.enable_icc": "neighbours",
    f"{_OPTION}bridge.enable_ip_masquerade": "masquerade",
}
_IFNAMSIZ = 15


def predefined_id(name: str) -> str:
    """The id of a predefined network: derived from its name, so that it is the same for ever."""
    return hashlib.sha256(f"docket predefined network {name}".encode()).hexdigest()


class Networks:
    """Create, list, raise, lower, remove. What joins containers to them is ``endpoints``."""

    def __init__(self, core: Core, host: HostNetwork, default_bridge: str) -> None:
        self._core = core
        self.host = host
        self._default_bridge = default_bridge
        self.names = NameFiles(core)
        self._rules_lock = threading.Lock()
        self._hooks: list[str] = []
        self.warnings: list[str] = []
        """What other firewalls do to the traffic of our networks, as of the last look."""

    # --- creating --------------------------------------------------------------------------------------------------

    def create(self, body: Mapping[str, Any], context: Context) -> tuple[str, list[str]]:
        """Docker's ``POST /networks/create``; the id and warnings. The network is raised at once, so that what the host
        refuses is told now. Raises InvalidArgument, Conflict, NotSupported, OSError."""
        created = self._parse(body)
        try:
            self._core.recorder.decide("network", created.network_id, CreateNetwork(created), context)
        except NameTaken as error:
            raise Conflict(f"network with name {created.name} already exists") from error
        network = self._core.log.get("network", created.network_id)
        try:
            self.raise_(network, context)
        except (OSError, EngineError):
            self._core.recorder.decide("network", network.id, RemoveNetwork(), context)
            raise
        return network.id, list(self.warnings)

    def _parse(self, body: Mapping[str, Any]) -> NetworkCreated:
        name, driver = body.get("Name") or "", body.get("Driver") or "bridge"
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"invalid network name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed")
        if name in (*PREDEFINED, "default"):
            raise Forbidden(f"operation is not permitted on predefined {name} network")
        if driver != "bridge":
            raise NotFound(f'could not find plugin {driver} in v1 plugin registry: only the driver "bridge" is there')
        for key in ("Ingress", "ConfigOnly", "ConfigFrom"):
            if body.get(key) not in (None, False, {}, {"Network": ""}):
                raise NotSupported(f"{key} needs a swarm or a configuration network, which this engine has not")
        ipam = body.get("IPAM") or {}
        if (ipam.get("Driver") or "default") != "default" or ipam.get("Options"):
            raise NotSupported("only the default IPAM driver is there, and it has no options")
        options = dict(body.get("Options") or {})
        network_id = self._core.randomness.hex(64)
        facts = self._options(options)
        ipv6 = bool(body.get("EnableIPv6"))
        return NetworkCreated(
            network_id=network_id, name=name, created_at_us=self._core.clock.now_us(), driver=driver,
            bridge=facts.pop("bridge", f"br-{network_id[:12]}"),
            subnets=self._subnets(network_id, [dict(one) for one in ipam.get("Config") or []], ipv6),
            mtu=facts.pop("mtu", 0) or self.host.mtu(), internal=bool(body.get("Internal")), ipv6=ipv6,
            labels=dict(body.get("Labels") or {}), options=options, **facts,
        )  # fmt: skip

    @staticmethod
    def _options(options: Mapping[str, str]) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for key, value in options.items():
            if key == f"{_OPTION}bridge.name":
                if not 0 < len(value) <= _IFNAMSIZ or "/" in value or " " in value:
                    raise InvalidArgument(f"invalid name of an interface: {value!r} (at most {_IFNAMSIZ} characters)")
                facts["bridge"] = value
            elif key == f"{_OPTION}driver.mtu":
                if not value.isdecimal() or not 68 <= int(value) <= 65535:
                    raise InvalidArgument(f"invalid MTU {value!r}")
                facts["mtu"] = int(value)
            elif key == f"{_OPTION}bridge.host_binding_ipv4":
                facts["host_address"] = value
            elif key in _FLAGS:
                if value not in ("true", "false"):
                    raise InvalidArgument(f"option {key} must be true or false, not {value!r}")
                facts[_FLAGS[key]] = value == "true"
            else:
                raise NotSupported(f"network option {key!r} is not supported by this version of docket")
        return facts

    def _subnets(self, seed: str, given: list[dict[str, Any]], ipv6: bool) -> list[dict[str, Any]]:
        chosen = [subnets.parse_subnet(one) for one in given if one.get("Subnet")]
        if len(chosen) < len([one for one in given if any(one.values())]):
            raise InvalidArgument("a gateway or an ip-range needs a subnet beside it: give --subnet, too")
        versions = {ip_network(one["subnet"]).version for one in chosen}
        if 6 in versions and not ipv6:
            raise InvalidArgument("an IPv6 subnet needs --ipv6")
        for one in chosen:
            self._refuse_overlap(one["subnet"])
        if 4 not in versions:
            in_use = [*self.host.subnets_in_use(), *self._known_subnets()]
            chosen.insert(0, subnets.parse_subnet({"Subnet": str(subnets.choose_ipv4(in_use))}))
        if ipv6 and 6 not in versions:
            chosen.append(subnets.parse_subnet({"Subnet": str(subnets.choose_ipv6(f"{self.host.tag} {seed}"))}))
        return chosen

    def _known_subnets(self) -> list[subnets.Network]:
        return [ip_network(one["subnet"]) for network in self._core.log.all("network") for one in network.subnets]

    def _refuse_overlap(self, text: str) -> None:
        subnet = ip_network(text)
        for network in self._core.log.all("network"):
            for one in network.subnets:
                other = ip_network(one["subnet"])
                if other.version == subnet.version and other.overlaps(subnet):  # type: ignore[arg-type]
                    raise Conflict(f"Pool overlaps with other one on this address space: {other} of {network.name}")

    def ensure(self, reference: str, context: Context) -> Network:
        """The network of that name or id; the default one is made when it is first asked for. Raises NotFound."""
        if reference in (DEFAULT, "default") and self._core.log.by_name("network", DEFAULT) is None:
            self._create_default(context)
        return self.resolve(DEFAULT if reference == "default" else reference)

    def _create_default(self, context: Context) -> None:
        created = NetworkCreated(
            network_id=predefined_id(DEFAULT), name=DEFAULT, created_at_us=self._core.clock.now_us(), driver="bridge",
            bridge=self._default_bridge, subnets=self._subnets(DEFAULT, [], False), mtu=self.host.mtu(),
        )  # fmt: skip
        with self._core.recorder.exclusive(f"network/{created.network_id}"):
            if self._core.log.get("network", created.network_id) is None:
                self._core.recorder.decide("network", created.network_id, CreateNetwork(created), context)

    # --- finding ---------------------------------------------------------------------------------------------------

    def resolve(self, reference: str, as_of: int | None = None) -> Network:
        """By name, id or unique beginning of an id. Raises NotFound, InvalidArgument."""
        log = self._core.log
        found = log.by_name("network", reference, as_of=as_of) or log.get("network", reference, as_of=as_of)
        if found is not None:
            return found
        candidates = log.by_prefix("network", reference.lower(), as_of=as_of, limit=2) if reference else []
        if not candidates:
            raise NotFound(f"network {reference} not found")
        if len(candidates) > 1:
            raise InvalidArgument(f"network {reference} is ambiguous (2 matches found based on ID prefix)")
        return candidates[0]

    def list(self, *, as_of: str | None = None) -> list[NetworkView]:
        """The networks of the engine's own that there are (at a moment), oldest first."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        return [self._view(network, moment) for network in self._core.log.all("network", as_of=moment)]

    def get(self, reference: str, *, as_of: str | None = None) -> NetworkView:
        """Raises NotFound."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        return self._view(self.resolve(reference, moment), moment)

    def _view(self, network: Network, moment: int | None) -> NetworkView:
        log = self._core.log
        if moment is None:
            found = [log.get("endpoint", one) for one in log.endpoints_of_network(network.id)]
        else:
            found = [one for one in log.all("endpoint", as_of=moment) if one.network_id == network.id]
        endpoints = [one for one in found if one is not None and one.addresses]
        containers = [log.get("container", one.container_id, as_of=moment) for one in endpoints]
        members = tuple((one, container) for one, container in zip(endpoints, containers) if container is not None)
        return NetworkView(network, members)

    def holder(self, network: str, address: str, *, as_of: str | None = None) -> Container | None:
        """Who has, or had, an address at a moment: one look into the names of the log. Raises NotFound."""
        log = self._core.log
        moment = resolve_as_of(as_of, log, self._core.clock)
        found = log.by_name("endpoint", f"{self.resolve(network, moment).id}/{address}", as_of=moment)
        return log.get("container", found.container_id, as_of=moment) if found is not None else None

    # --- up and down -----------------------------------------------------------------------------------------------

    def raise_(self, network: Network, context: Context) -> Network:
        """Bridge, settings and rules, unless they are there; the network as it is then. Raises OSError, Conflict; then
        nothing of it is left."""
        if network.status is not Status.UP:
            with self._core.recorder.exclusive(f"network/{network.id}"):
                self._raise(self._moved(network, context), context)
        return self._core.log.get("network", network.id) or network

    def _moved(self, network: Network, context: Context) -> Network:
        """The default network takes other subnets where the host, or another engine on it, uses its own by now."""
        current = self._core.log.get("network", network.id)
        if current is None or current.name != DEFAULT or current.status is not Status.DOWN:
            return network
        if self.host.overlaps(current):
            event = NetworkMoved(current.id, self._subnets(DEFAULT, [], current.ipv6))
            self._core.recorder.record("network", current.id, event, context)
        return self._core.log.get("network", network.id) or network

    def _raise(self, network: Network, context: Context) -> None:
        intents = self._core.recorder.decide("network", network.id, RaiseNetwork(), context)
        if not intents:
            return
        outcome = caused_by(context, intents[-1])
        try:
            evidence = self.host.raise_bridge(network)
            evidence["hooks"] = self.refresh(and_also=network)
        except BaseException as error:
            self._take_back(network)
            failed = NetworkRaiseFailed(network.id, describe(error) if isinstance(error, OSError) else str(error))
            self._core.recorder.record("network", network.id, failed, outcome)
            raise
        self._core.recorder.record("network", network.id, NetworkRaised(network.id, evidence), outcome)

    def _take_back(self, network: Network) -> None:
        for action in (lambda: self.host.lower_bridge(network), self.refresh):
            try:
                action()
            except (OSError, EngineError) as error:
                print(f"docket: network {network.name}: {describe(error)}", file=sys.stderr, flush=True)

    def lower(self, network: Network, context: Context) -> None:
        """Take everything of it out of the kernel. Raises Conflict where a container is on it, OSError."""
        with self._core.recorder.exclusive(f"network/{network.id}"):
            used_by = self._users(network)
            intents = self._core.recorder.decide("network", network.id, LowerNetwork(used_by), context)
            if intents:
                self.finish_lowering(network, caused_by(context, intents[-1]))

    def finish_lowering(self, network: Network, context: Context) -> None:
        """The effect and the outcome of an open intent; may be done again after a crash."""
        try:
            self.host.lower_bridge(network)
            self.refresh(without=network)
        except (OSError, EngineError) as error:
            failed = NetworkLowerFailed(network.id, describe(error))
            self._core.recorder.record("network", network.id, failed, context)
            raise
        self._core.recorder.record("network", network.id, NetworkLowered(network.id), context)

    def _users(self, network: Network) -> tuple[str, ...]:
        return tuple(container.name for _, container in self._view(network, None).members)

    def rest(self, context: Context) -> None:
        """At the engine's end: what nobody is on leaves the kernel."""
        for network in self._core.log.all("network"):
            if network.status is Status.UP and not self._users(network):
                try:
                    self.lower(network, context)
                except (OSError, EngineError) as error:
                    print(f"docket: network {network.name}: {describe(error)}", file=sys.stderr, flush=True)

    # --- removing --------------------------------------------------------------------------------------------------

    def remove(self, reference: str, context: Context) -> None:
        """Raises NotFound, Forbidden for a predefined one, Conflict where a container is on it."""
        if reference in PREDEFINED:
            raise Forbidden(f"{reference} is a pre-defined network and cannot be removed")
        network = self.resolve(reference)
        if network.name in PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        with self._core.recorder.exclusive(f"network/{network.id}"):
            used_by = self._users(network)
            if used_by:
                raise Conflict(
                    f"error while removing network: network {network.name} id {network.id} has active endpoints: "
                    + ", ".join(used_by)
                )
            self.lower(network, context)
            self._core.recorder.decide("network", network.id, RemoveNetwork(), context)
        self.names.forget(network.id)

    def prune(self, filters: Filters, context: Context) -> list[str]:
        """Remove what no container is or waits to be on. Answers with names."""
        removed = []
        selection = Selection.of(filters)
        for network in self._core.log.all("network"):
            waiting = self._core.log.endpoints_of_network(network.id)
            if network.name in PREDEFINED or waiting or not selection.allows(network.labels, network.created_at_us):
                continue
            try:
                self.remove(network.id, context)
            except (Conflict, NotFound):
                continue  # somebody was quicker
            removed.append(network.name)
        return removed

    # --- rules -----------------------------------------------------------------------------------------------------

    def refresh(self, *, and_also: Network | None = None, without: Network | None = None) -> list[str]:
        """Write the rules anew from what the log says, and settle those in other firewalls' chains; the latter."""
        with self._rules_lock:
            up = [one for one in self._core.log.all("network") if one.status is Status.UP and one != without]
            if and_also is not None and all(one.id != and_also.id for one in up):
                up.append(and_also)
            if without is not None:
                up = [one for one in up if one.id != without.id]
            endpoints = [one for one in self._core.log.all("endpoint") if one.ports]
            self.host.apply_rules([_bridge_rules(one) for one in up], port_rules(endpoints))
            return self._settle_hooks(up)

    def firewall_changed(self) -> None:
        """Somebody has changed nf_tables: see to it that our rules are in others' chains, and say what changed."""
        with self._rules_lock:
            up = [one for one in self._core.log.all("network") if one.status is Status.UP]
            before = self._hooks
            if not up or self._settle_hooks(up) == before:
                return
        context = Context({"door": "firewall"}, f"firewall-{self._core.randomness.hex(16)}", "nf_tables changed")
        for network in up:
            rules = [one for one in self._hooks if one.endswith(f" {network.bridge}")]
            self._core.recorder.record("network", network.id, NetworkHooked(network.id, rules), context)

    def _settle_hooks(self, up: list[Network]) -> list[str]:
        found = self.host.settle_hooks([one.bridge for one in up if not one.internal])
        self._hooks = found.rules
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
