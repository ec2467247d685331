"""A network in the kernel: raised when it is needed, lowered when the engine stops and nobody is on it, or for good."""

from __future__ import annotations

import sys

from engine.domain.errors import EngineError, describe
from engine.domain.network import (
    LowerNetwork,
    Network,
    NetworkLowered,
    NetworkLowerFailed,
    NetworkRaised,
    NetworkRaiseFailed,
    RaiseNetwork,
    Status,
)
from engine.eventlog.log import Context
from engine.networking.host import HostNetwork
from engine.services.core import Core
from engine.services.default_network import DefaultNetwork
from engine.services.firewall_rules import FirewallRules
from engine.services.recorder import caused_by


PAUSE_S = 0.2
"""So that what is removed with a network is not slowed down: a bridge that goes holds up whoever changes interfaces."""


class Bridges:
    """Every change is an intent with one outcome."""

    def __init__(self, core: Core, host: HostNetwork, rules: FirewallRules, default: DefaultNetwork) -> None:
        self._core = core
        self._host = host
        self._rules = rules
        self._default = default

    # --- up --------------------------------------------------------------------------------------------------------

    def raise_(self, network: Network, context: Context) -> Network:
        """Bridge, settings and rules, unless they are there; the network as it is then. Raises OSError, Conflict; then
        nothing of it is left."""
        if network.status is not Status.UP:
            with self._core.recorder.exclusive(f"network/{network.id}"):
                self._raise(self._default.settled(network, context), context)
        return self._core.log.get("network", network.id) or network

    def _raise(self, network: Network, context: Context) -> None:
        intents = self._core.recorder.decide("network", network.id, RaiseNetwork(), context)
        if not intents:
            return
        outcome = caused_by(context, intents[-1])
        try:
            evidence = self._host.raise_bridge(network, self._ports(network))
            evidence["hooks"] = self._rules.refresh(and_also=network)
        except BaseException as error:
            self._take_back(network)
            failed = NetworkRaiseFailed(network.id, describe(error))
            self._core.recorder.record("network", network.id, failed, outcome)
            raise
        self._core.recorder.record("network", network.id, NetworkRaised(network.id, evidence), outcome)

    def _ports(self, network: Network) -> list[str]:
        """The host's ends of containers that run on: the bridge was lost under them."""
        log = self._core.log
        found = [log.get("endpoint", one) for one in log.endpoints_of_network(network.id)]
        return [one.interface for one in found if one is not None and one.interface]

    def _take_back(self, network: Network) -> None:
        for action in (lambda: self._host.lower_bridge(network), self._rules.refresh):
            try:
                action()
            except (OSError, EngineError) as error:
                print(f"docket: network {network.name}: {describe(error)}", file=sys.stderr, flush=True)

    # --- down ------------------------------------------------------------------------------------------------------

    def users(self, network: Network) -> tuple[str, ...]:
        """Names of the containers that are on it now."""
        log = self._core.log
        found = [log.get("endpoint", one) for one in log.endpoints_of_network(network.id)]
        containers = [log.get("container", one.container_id) for one in found if one is not None and one.addresses]
        return tuple(one.name for one in containers if one is not None)

    def lower(self, network: Network, context: Context, *, for_good: bool = False) -> None:
        """Take everything of it out of the kernel; ``for_good``: what nothing can reach any more, a moment later.
        Raises Conflict where a container is on it, OSError."""
        with self._core.recorder.exclusive(f"network/{network.id}"):
            command = LowerNetwork(self.users(network))
            if intents := self._core.recorder.decide("network", network.id, command, context):
                self.finish_lowering(network, caused_by(context, intents[-1]), for_good=for_good)

    def finish_lowering(self, network: Network, context: Context, *, for_good: bool = False) -> None:
        """The effect and the outcome of an open intent; may be done again after a crash."""
        try:
            self._host.lower_bridge(network, later=for_good)
            self._rules.refresh(without=network)
        except Exception as error:
            failed = NetworkLowerFailed(network.id, describe(error))
            self._core.recorder.record("network", network.id, failed, context)
            raise
        self._core.recorder.record("network", network.id, NetworkLowered(network.id), context)
        if for_good:
            self._core.timers.later(PAUSE_S, "bridges", self.sweep)

    def sweep(self) -> None:
        """What is left of networks that are gone leaves the kernel."""
        try:
            self._host.delete_worn()
        except OSError as error:
            print(f"docket: networks that are gone: {describe(error)}", file=sys.stderr, flush=True)

    def rest(self, context: Context) -> None:
        """At the engine's end: what nobody is on leaves the kernel."""
        self.sweep()
        for network in self._core.log.all("network"):
            if network.status is Status.UP and not self.users(network):
                try:
                    self.lower(network, context)
                except (OSError, EngineError) as error:
                    print(f"docket: network {network.name}: {describe(error)}", file=sys.stderr, flush=True)
