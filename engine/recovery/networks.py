"""Networks and endpoints at start: what the kernel has against what the log says, before and after the containers."""

from __future__ import annotations

import sys
from typing import Any, Callable

from engine.domain.endpoint import (
    EndpointAttached,
    EndpointAttachFailed,
    EndpointDetached,
    EndpointReleased,
)
from engine.domain.endpoint import Status as EndpointStatus
from engine.domain.errors import EngineError, describe
from engine.domain.network import NetworkLost, NetworkRaiseFailed, Status
from engine.eventlog.log import Context
from engine.services.core import Core
from engine.services.networks import Networks

INTERRUPTED = "the engine ended before the outcome was known"


class NetworkRecovery:
    """Two passes: ``run`` before the containers are settled, ``finish`` after them."""

    def __init__(self, core: Core, networks: Networks, context: Context) -> None:
        self._core = core
        self._networks = networks
        self._context = context

    def run(self) -> None:
        """Every open intent of a network gets its outcome; a bridge that is gone is said to be lost."""
        for network in self._core.log.all("network"):
            match network.status:
                case Status.RAISING:
                    self._try(lambda one=network: self._networks.host.lower_bridge(one))
                    self._record("network", NetworkRaiseFailed(network.id, INTERRUPTED), network.id)
                case Status.LOWERING:
                    self._try(lambda one=network: self._networks.bridges.finish_lowering(one, self._context))
                case Status.UP if not self._networks.host.has_bridge(network):
                    self._record("network", NetworkLost(network.id, "its bridge is not there any more"), network.id)

    def finish(self) -> None:
        """Endpoints of containers that don't run are idle; interfaces, rules and names are what the log says."""
        for endpoint in self._core.log.all("endpoint"):
            if endpoint.status is not EndpointStatus.IDLE:
                self._settle(endpoint)
        self._try(self._networks.host.delete_worn)
        if not self._core.log.all("network"):
            return
        self._try(self._sweep)
        for network in self._core.log.all("network"):
            if network.status is Status.DOWN and self._networks.bridges.users(network):  # lost under its containers
                self._try(lambda one=network: self._networks.bridges.raise_(one, self._context))
        self._try(self._networks.rules.refresh)
        for network in self._core.log.all("network"):
            if network.status is Status.UP:
                self._try(lambda one=network: self._networks.names.write(one.id))

    def _settle(self, endpoint: Any) -> None:
        container = self._core.log.get("container", endpoint.container_id)
        alive = container is not None and container.alive
        match endpoint.status:
            case EndpointStatus.ATTACHING:
                evidence = self._evidence(endpoint) if alive else None
                if evidence is not None:
                    self._record("endpoint", EndpointAttached(endpoint.id, evidence), endpoint.id)
                    return
                self._try(lambda: self._networks.host.delete_interface(endpoint.interface))
                self._record("endpoint", EndpointAttachFailed(endpoint.id, INTERRUPTED), endpoint.id)
            case EndpointStatus.DETACHING if alive:
                self._try(lambda: self._networks.host.delete_interface(endpoint.interface))
                self._record("endpoint", EndpointDetached(endpoint.id), endpoint.id)
            case _ if not alive:
                self._record("endpoint", EndpointReleased(endpoint.id), endpoint.id)

    def _evidence(self, endpoint: Any) -> Any:
        """What the container's start made of this endpoint, if that is why it was being attached."""
        started = self._core.log.events(streams=[f"container/{endpoint.container_id}"], types=["container.started"])
        found = None
        for last in started:
            made = last.data["evidence"].get("interfaces") or ()
            found = next((one for one in made if one["endpoint_id"] == endpoint.id), None)
        return found

    def _sweep(self) -> None:
        """Interfaces of ours that no container is attached by."""
        owned = {endpoint.interface for endpoint in self._core.log.all("endpoint") if endpoint.interface}
        for name in self._networks.host.interfaces():
            if name not in owned:
                self._networks.host.delete_interface(name)

    def _record(self, noun: str, event: Any, identifier: str) -> None:
        self._core.recorder.record(noun, identifier, event, self._context)

    @staticmethod
    def _try(action: Callable[[], Any]) -> None:
        """One object that can't be settled must not stop the start."""
        try:
            action()
        except (OSError, EngineError) as error:
            print(f"docket: recovery of networks: {describe(error)}", file=sys.stderr, flush=True)
