"""Networks: created, found, shown and removed, on the record. What they are in the kernel is ``bridges``' and
``firewall_rules``', what joins containers to them ``endpoints``'."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.errors import (
    Conflict, EngineError, Forbidden, InvalidArgument, NameTaken, NotFound, SubnetTaken,
)  # fmt: skip
from engine.domain.network import CreateNetwork, Network, NetworkCreated, RemoveNetwork
from engine.domain.prune import RecordPrune
from engine.eventlog.log import Context
from engine.networking.host import HostNetwork
from engine.services import network_requests
from engine.services.as_of import resolve_as_of
from engine.services.bridges import Bridges
from engine.services.core import Core
from engine.services.default_network import DefaultNetwork
from engine.services.firewall_rules import FirewallRules
from engine.services.name_files import NameFiles
from engine.services.network_requests import DEFAULT, PREDEFINED
from engine.services.network_settings import NO_BRIDGE
from engine.services.selection import Filters, Selection
from engine.services.subnet_choice import SubnetChoice
from engine.services.user_network import no_bridges
from engine.services.views import NetworkView


_CHOICES = 4
"""How many subnets are tried before somebody else's race for them is given up."""


class Networks:
    """Create, list, inspect, remove, prune."""

    def __init__(self, core: Core, host: HostNetwork, default_bridge: str) -> None:
        self._core = core
        self.host = host
        self.names = NameFiles(core)
        self.rules = FirewallRules(core, host)
        self._subnets = SubnetChoice(core, host, core.network.pools)
        self.default = DefaultNetwork(core, host, self._subnets, default_bridge)
        self.bridges = Bridges(core, host, self.rules, self.default)

    # --- creating --------------------------------------------------------------------------------------------------

    def create(self, body: Mapping[str, Any], context: Context) -> tuple[str, list[str]]:
        """Docker's ``POST /networks/create``; the id and warnings. The network is raised at once, so that what the host
        refuses is told now. Where somebody else on the host was quicker to take a subnet of the engine's choice, it
        chooses again. Raises InvalidArgument, Conflict, NotSupported, OSError."""
        name, facts = network_requests.check(body)
        if self._core.rootless is not None:
            raise no_bridges(name)
        for _ in range(_CHOICES - 1):
            try:
                return self._create(name, body, dict(facts), context)
            except SubnetTaken:
                if any(one.get("Subnet") for one in (body.get("IPAM") or {}).get("Config") or []):
                    raise
        return self._create(name, body, facts, context)

    def _create(
        self, name: str, body: Mapping[str, Any], facts: dict[str, Any], context: Context
    ) -> tuple[str, list[str]]:
        """It is nobody else's until it is raised: who removes it waits."""
        with ExitStack() as held:
            with self._subnets.guard:
                created = self._created(name, body, facts)
                held.enter_context(self._core.recorder.exclusive(f"network/{created.network_id}"))
                try:
                    self._core.recorder.decide("network", created.network_id, CreateNetwork(created), context)
                except NameTaken as error:
                    raise Conflict(f"network with name {name} already exists") from error
            network = self._core.log.get("network", created.network_id)
            try:
                self.bridges.raise_(network, context)
            except (OSError, EngineError):
                self._core.recorder.decide("network", network.id, RemoveNetwork(), context)
                raise
            return network.id, list(self.rules.warnings)

    def _created(self, name: str, body: Mapping[str, Any], facts: dict[str, Any]) -> NetworkCreated:
        network_id, ipv6 = self._core.randomness.hex(64), bool(body.get("EnableIPv6"))
        ipam = body.get("IPAM") or {}
        given = [dict(one) for one in ipam.get("Config") or []]
        return NetworkCreated(
            network_id=network_id, name=name, created_at_us=self._core.clock.now_us(), driver="bridge",
            bridge=facts.pop("bridge", f"br-{network_id[:12]}"), subnets=self._subnets.choose(network_id, given, ipv6),
            mtu=facts.pop("mtu", 0) or self.host.mtu(), internal=bool(body.get("Internal")), ipv6=ipv6,
            attachable=bool(body.get("Attachable")), tells_ipam_options=ipam.get("Options") is not None,
            labels=dict(body.get("Labels") or {}), options=dict(body.get("Options") or {}), **facts,
        )  # fmt: skip

    @property
    def has_default(self) -> bool:
        """Whether the operator wants a default network, and the engine can make one."""
        return self._core.network.bridge != NO_BRIDGE and self._core.rootless is None

    def ensure(self, reference: str, context: Context) -> Network:
        """The network of that name or id; the default one is made when it is first asked for. Raises NotFound."""
        if self._core.rootless is not None:
            raise no_bridges(reference)
        if reference in (DEFAULT, "default"):
            self.default.ensure(context)
        return self.resolve(DEFAULT if reference == "default" else reference)

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

    # --- removing --------------------------------------------------------------------------------------------------

    def remove(self, reference: str, context: Context) -> None:
        """Raises NotFound, Forbidden for a predefined one, Conflict where a container is on it."""
        if reference in PREDEFINED:
            raise Forbidden(f"{reference} is a pre-defined network and cannot be removed")
        network = self.resolve(reference)
        if network.name in PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        with self._core.recorder.exclusive(f"network/{network.id}"):
            if used_by := self.bridges.users(network):
                raise Conflict(
                    f"error while removing network: network {network.name} id {network.id} has active endpoints: "
                    + ", ".join(used_by)
                )
            self.bridges.lower(network, context, for_good=True)
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
        self._core.recorder.decide("prune", "network", RecordPrune("network", len(removed)), context)
        return removed
