"""Containers' places on networks: leases, interfaces, published ports, names; from the start of a container to its end.

    begin: networks up, addresses leased, ports held (the intent) -> rules, names -> the launcher makes the interfaces
    -> started: on record together with the start, or failed: everything taken back

Containers that run already are joined and taken off by ``network_connections``.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from engine.domain.container import Container
from engine.domain.endpoint import (
    CreateEndpoint,
    Endpoint,
    EndpointAttached,
    EndpointAttachFailed,
    EndpointCreated,
    EndpointPublished,
    EndpointReleased,
    EndpointRemoved,
)
from engine.domain.errors import NotFound, describe
from engine.domain.network import Network
from engine.eventlog.log import Change, Context
from engine.services import leases, network_config
from engine.services.core import Core
from engine.services.leases import Leases
from engine.services.network_config import EndpointRequest
from engine.services.network_requests import DEFAULT
from engine.services.networks import Networks
from engine.services.published_ports import HeldPorts, PublishedPorts
from engine.services.recorder import Fact
from engine.services.resolvers import upstream_servers

Json = dict[str, Any]


class Attachment:
    """One start's places on networks. ``interfaces`` are the plan's (see runtime.network); ``held`` are the ports that
    go to the shim; ``addresses`` are the container's own, ``gateway`` the host as it sees it."""

    def __init__(self) -> None:
        self.interfaces: list[Json] = []
        self.held = HeldPorts([], [], [])
        self.leases: list[tuple[Endpoint, Network, Context]] = []
        self.addresses: list[str] = []
        self.gateway = ""
        self.resolver = False
        self.warnings: list[str] = []

    def facts(self, evidence: Mapping[str, Any]) -> list[Fact]:
        """What the start's outcome says of the endpoints."""
        made = {one["endpoint_id"]: one for one in evidence.get("interfaces") or ()}
        return [
            ("endpoint", endpoint.id, EndpointAttached(endpoint.id, made[endpoint.id]))
            for endpoint, _, _ in self.leases if endpoint.id in made
        ]  # fmt: skip


class Endpoints:
    """What joins containers to networks when they start."""

    def __init__(self, core: Core, networks: Networks) -> None:
        self._core = core
        self._networks = networks
        self.leases = Leases(core, networks.host)
        self._ports = PublishedPorts(core)

    # --- creating --------------------------------------------------------------------------------------------------

    def requested(
        self, requests: Sequence[EndpointRequest], container_id: str, context: Context
    ) -> list[EndpointCreated]:
        """The endpoints of a container to be. Raises NotFound, InvalidArgument, Conflict."""
        return [self.created(request, container_id, context) for request in requests]

    def created(self, request: EndpointRequest, container_id: str, context: Context) -> EndpointCreated:
        """One of them."""
        network = self._networks.ensure(request.network, context)
        if network.name == DEFAULT:  # an id may have named it
            network_config.refuse_on_default(request)
        for address in request.addresses:
            self.leases.check(network, address)
        return EndpointCreated(
            self._core.randomness.hex(64), network.id, container_id, list(request.aliases), list(request.addresses),
            request.mac_address, links=list(request.links),
        )  # fmt: skip

    def of(self, container_id: str, as_of: int | None = None) -> list[tuple[Endpoint, Network]]:
        """A container's endpoints with their networks, the first being that of its NetworkMode."""
        log = self._core.log
        if as_of is None:
            found = [log.get("endpoint", one) for one in log.endpoints_of_container(container_id)]
        else:
            found = [one for one in log.all("endpoint", as_of=as_of) if one.container_id == container_id]
        pairs = [(one, log.get("network", one.network_id, as_of=as_of)) for one in found if one is not None]
        return [(endpoint, network) for endpoint, network in pairs if network is not None]

    def attached(self, container_id: str) -> list[Endpoint]:
        """The endpoints of a container that hold a lease."""
        found = [self._core.log.get("endpoint", one) for one in self._core.log.endpoints_of_container(container_id)]
        return [one for one in found if one is not None and one.addresses]

    # --- the start of a container ----------------------------------------------------------------------------------

    def begin(self, container: Container, settings: Mapping[str, Any], context: Context) -> Attachment:
        """Lease, hold, publish. Raises what stands in the way; then all of it is taken back."""
        mode = settings["HostConfig"]["NetworkMode"]
        attachment = Attachment()
        if mode in network_config.WITHOUT_ENDPOINT or mode.startswith("container:"):
            return attachment
        try:
            self._begin(attachment, container, settings, context)
        except BaseException as error:
            self.failed(attachment, describe(error))
            raise
        return attachment

    def _begin(
        self, attachment: Attachment, container: Container, settings: Mapping[str, Any], context: Context
    ) -> None:
        pairs = self._places(container, settings["HostConfig"]["NetworkMode"], context)
        if not pairs:
            return
        wanted = network_config.wanted_ports(settings["Config"], settings["HostConfig"])
        publishing = next((endpoint.id for endpoint, network in pairs if not network.internal), "")
        pairs = [(endpoint, self._networks.bridges.raise_(network, context)) for endpoint, network in pairs]
        for number, (endpoint, network) in enumerate(pairs):
            ports: list[Json] = []
            if endpoint.id == publishing and wanted:
                self._ports.hold(wanted, network, attachment.held)
                ports = attachment.held.ports
            leased = self.leases.lease(endpoint, network, ports, context)
            attachment.leases.append((leased, network, context))
            attachment.interfaces.append(leases.interface(leased, network, f"eth{number}"))
        leases.lead_out(attachment.interfaces, [network for _, network in pairs])
        self._finish(attachment, container)

    def _places(self, container: Container, mode: str, context: Context) -> list[tuple[Endpoint, Network]]:
        """Its networks: none where it was taken off all of them; where that of its mode went, the one that has its name
        now. Raises NotFound where one is gone."""
        endpoints = self._core.log.endpoints_of_container(container.id)
        pairs = self.of(container.id)
        if len(pairs) < len(endpoints):
            there = {endpoint.id for endpoint, _ in pairs}
            gone = [self._core.log.get("endpoint", one) for one in endpoints if one not in there]
            first = next((one.network_id for one in gone if one is not None), "")
            raise NotFound(f"network {mode if self._is_gone(mode) else first} not found")
        if pairs or self._was_taken_off(container, mode):
            return pairs
        created = self.created(EndpointRequest(mode), container.id, context)
        self._core.recorder.decide("endpoint", created.endpoint_id, CreateEndpoint(created), context)
        return self.of(container.id)

    def _was_taken_off(self, container: Container, mode: str) -> bool:
        """Whether somebody disconnected it from the network of its mode. An endpoint that goes with its network has no
        event of its own."""
        trail = self._core.log.trail("container", container.id)
        created = [recorded for recorded in trail if recorded.type == EndpointCreated.TYPE]
        networks = {created[0].data["network_id"]} if created else set()
        if not self._is_gone(mode):
            networks.add(self._networks.resolve(mode).id)
        ours = [recorded.stream for recorded in created if recorded.data["network_id"] in networks]
        removed = {recorded.stream for recorded in trail if recorded.type == EndpointRemoved.TYPE}
        return bool(ours) and ours[-1] in removed

    def _is_gone(self, reference: str) -> bool:
        try:
            self._networks.resolve(reference)
        except NotFound:
            return True
        return False

    def _finish(self, attachment: Attachment, container: Container) -> None:
        first = attachment.leases[0]
        attachment.addresses = list(first[0].addresses)
        attachment.gateway = first[1].subnets[0]["gateway"]
        attachment.warnings = list(self._networks.rules.warnings)
        attachment.resolver = any(network.name != DEFAULT for _, network, _ in attachment.leases)
        if attachment.held.ports:
            self._networks.rules.refresh()
            attachment.held.aim(attachment.addresses)
        for endpoint, network, _ in attachment.leases:
            if network.name != DEFAULT:
                self._networks.names.write(network.id, [endpoint.id])
        if attachment.resolver:
            self.write_resolver(container.id, [network for _, network, _ in attachment.leases])

    def publish_anew(self, container: Container, context: Context) -> None:
        """The ports of a running container go to the first of its networks that leads out, where none has them now;
        without such a network the shim lets go of them. Raises Conflict, OSError, NotFound where it has ended."""
        pairs = self.of(container.id)
        settings = self._core.settings_of(container)
        wanted = network_config.wanted_ports(settings["Config"], settings["HostConfig"])
        if not wanted or any(endpoint.ports for endpoint, _ in pairs):
            return
        self._core.runtime.release_ports(container.id)
        place = next((pair for pair in pairs if pair[0].addresses and not pair[1].internal), None)
        if place is None:
            return
        endpoint, network = place
        held = HeldPorts([], [], [])
        try:
            self._ports.hold(wanted, network, held)
            held.aim(endpoint.addresses)
            self._core.runtime.hold_ports(container.id, [sock.fileno() for sock in held.sockets], held.listeners)
        finally:
            held.let_go()
        published = EndpointPublished(endpoint.id, held.ports)
        self._core.recorder.record("endpoint", endpoint.id, published, context)
        self._networks.rules.refresh()

    def write_resolver(self, container_id: str, networks: Iterable[Network]) -> None:
        """What the container's resolver is to know of: these networks, and the servers for everything else."""
        settings = self._core.settings_of(self._core.log.get("container", container_id))
        links = {network.id: endpoint.links for endpoint, network in self.of(container_id)}
        named = [
            {"file": str(self._networks.names.path(network.id)), "internal": network.internal,
             "links": dict(reversed(link.lower().split(":")) for link in links.get(network.id, ()))}
            for network in networks if network.name != DEFAULT
        ]  # fmt: skip
        servers = list(settings["HostConfig"].get("Dns") or self._core.network.dns) or upstream_servers()
        self._networks.names.write_container(self._core.store.container(container_id), named, servers)

    # --- outcomes --------------------------------------------------------------------------------------------------

    def failed(self, attachment: Attachment, reason: str) -> None:
        """Nothing came of the start: leases end, rules, names and sockets go."""
        attachment.held.let_go()
        for endpoint, _, context in attachment.leases:
            self._core.recorder.record("endpoint", endpoint.id, EndpointAttachFailed(endpoint.id, reason), context)
        self.gone([endpoint for endpoint, _, _ in attachment.leases])

    def ending(self, container_id: str) -> list[Fact]:
        """What the end of a container says of its endpoints, for the same entry in the log."""
        facts: list[Fact] = []
        for endpoint_id in self._core.log.endpoints_of_container(container_id):
            facts.append(("endpoint", endpoint_id, EndpointReleased(endpoint_id)))
        return facts

    def renamed(self, container_id: str) -> None:
        """Its neighbours find it by its new name, and no longer by the old one."""
        for endpoint in self.attached(container_id):
            self._networks.names.write(endpoint.network_id, [endpoint.id])

    def gone(self, endpoints: Sequence[Endpoint]) -> None:
        """After the record of their end: ``endpoints`` as they were while they were attached."""
        if any(endpoint.ports for endpoint in endpoints):
            self._networks.rules.refresh()
        for endpoint in endpoints:
            network = self._core.log.get("network", endpoint.network_id)
            if network is not None and network.name != DEFAULT:
                self._networks.names.write(network.id, [endpoint.id])


def change_of(created: EndpointCreated) -> Change:
    """For the same entry in the log as the container's creation."""
    return Change("endpoint", created.endpoint_id, 0, [created])
