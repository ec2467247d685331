"""Containers' places on networks: leases, interfaces, published ports, names; from the start of a container to its end.

    begin: networks up, addresses leased, ports held (the intent) -> rules, names -> the launcher makes the interfaces
    -> started: on record together with the start, or failed: everything taken back
"""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any, Iterable, Mapping, Sequence

from engine.domain.container import Container
from engine.domain.endpoint import (
    AttachEndpoint,
    CreateEndpoint,
    DetachEndpoint,
    Endpoint,
    EndpointAttached,
    EndpointAttachFailed,
    EndpointAttaching,
    EndpointCreated,
    EndpointDetached,
    EndpointDetachFailed,
    EndpointReleased,
    RemoveEndpoint,
)
from engine.domain.errors import Conflict, EngineError, Forbidden, InvalidArgument, NameTaken, NotFound, describe
from engine.domain.network import Network
from engine.eventlog.log import Change, Context
from engine.kernel.steps import step
from engine.networking import held_ports
from engine.networking.subnets import address_in, free_address, mac_for
from engine.services import network_config
from engine.services.container_files import write_network_files
from engine.services.core import Core, resolve_container
from engine.services.network_config import EndpointRequest, PortRequest
from engine.services.networks import DEFAULT, Networks
from engine.services.recorder import Fact, caused_by
from engine.services.resolvers import upstream_servers
from engine.services.views import parse_document

_ATTEMPTS = 64

Json = dict[str, Any]


class Attachment:
    """One start's places on networks. ``interfaces`` are the plan's (see runtime.network); ``sockets`` hold ports and
    go to the shim; ``addresses`` are the container's own, ``gateway`` the host as it sees it."""

    def __init__(self) -> None:
        self.interfaces: list[Json] = []
        self.sockets: list[socket.socket] = []
        self.listeners: list[Json] = []
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

    def let_go(self) -> None:
        """Close our copies of the sockets: the shim has its own."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


class Endpoints:
    """What joins containers to networks and takes them off."""

    def __init__(self, core: Core, networks: Networks) -> None:
        self._core = core
        self._networks = networks
        self._cursors: dict[str, str] = {}

    # --- creating --------------------------------------------------------------------------------------------------

    def requested(
        self, requests: Sequence[EndpointRequest], container_id: str, context: Context
    ) -> list[EndpointCreated]:
        """The endpoints of a container to be. Raises NotFound, InvalidArgument, Conflict."""
        return [self._created(request, container_id, context) for request in requests]

    def _created(self, request: EndpointRequest, container_id: str, context: Context) -> EndpointCreated:
        network = self._networks.ensure(request.network, context)
        for address in request.addresses:
            self._check_address(network, address)
        return EndpointCreated(
            self._core.randomness.hex(64), network.id, container_id, list(request.aliases), list(request.addresses),
            request.mac_address,
        )  # fmt: skip

    def _check_address(self, network: Network, address: str) -> None:
        for entry in network.subnets:
            subnet = ip_network(entry["subnet"])
            if subnet.version == ip_address(address).version:
                address_in(subnet, address)
                if address == entry["gateway"]:
                    raise Conflict(f"address {address} of network {network.name} is its gateway's")
                return
        raise InvalidArgument(f"network {network.name} has no subnet for address {address}")

    def taken(self, error: NameTaken) -> Conflict:
        """The error for an address that another container holds."""
        network_id, _, address = error.name.partition("/")
        network, holder = self._core.log.get("network", network_id), self._core.log.get("endpoint", error.holder)
        container = self._core.log.get("container", holder.container_id) if holder else None
        whose = f"container {container.name}" if container else "another container"
        return Conflict(f"Address already in use: {address} of network {network.name if network else '?'} is {whose}'s")

    def of(self, container_id: str, as_of: int | None = None) -> list[tuple[Endpoint, Network]]:
        """A container's endpoints with their networks, the first being that of its NetworkMode."""
        log = self._core.log
        if as_of is None:
            found = [log.get("endpoint", one) for one in log.endpoints_of_container(container_id)]
        else:
            found = [one for one in log.all("endpoint", as_of=as_of) if one.container_id == container_id]
        pairs = [(one, log.get("network", one.network_id, as_of=as_of)) for one in found if one is not None]
        return [(endpoint, network) for endpoint, network in pairs if network is not None]

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
            self.failed(attachment, describe(error) if isinstance(error, OSError) else str(error))
            raise
        return attachment

    def _begin(
        self, attachment: Attachment, container: Container, settings: Mapping[str, Any], context: Context
    ) -> None:
        pairs = self.of(container.id)
        mode = settings["HostConfig"]["NetworkMode"]
        if not pairs or not any(mode in (network.name, network.id) for _, network in pairs):
            raise NotFound(f"network {mode} not found")
        wanted = network_config.wanted_ports(settings["Config"], settings["HostConfig"])
        publishing = next((endpoint.id for endpoint, network in pairs if not network.internal), "")
        pairs = [(endpoint, self._networks.raise_(network, context)) for endpoint, network in pairs]
        for number, (endpoint, network) in enumerate(pairs):
            ports: list[Json] = []
            if endpoint.id == publishing and wanted:
                ports = self._hold(attachment, wanted, network)
            lease = self._lease(endpoint, network, ports, context)
            attachment.leases.append((*lease, context))
            attachment.interfaces.append(self._interface(lease[0], network, f"eth{number}"))
        self._lead_out(attachment, pairs)
        self._finish(attachment, container)

    def _finish(self, attachment: Attachment, container: Container) -> None:
        first = attachment.leases[0]
        attachment.addresses = list(first[0].addresses)
        attachment.gateway = first[1].subnets[0]["gateway"]
        attachment.warnings = list(self._networks.warnings)
        attachment.resolver = any(network.name != DEFAULT for _, network, _ in attachment.leases)
        if any(endpoint.ports for endpoint, _, _ in attachment.leases):
            self._networks.refresh()
            targets = {ip_address(address).version: address for address in reversed(attachment.addresses)}
            for listener in filter(None, attachment.listeners):
                listener["target"] = targets.get(4) or targets.get(6)
        for _, network, _ in attachment.leases:
            if network.name != DEFAULT:
                self._networks.names.write(network.id)
        if attachment.resolver:
            self._write_resolver(container.id, [network for _, network, _ in attachment.leases])

    def _write_resolver(self, container_id: str, networks: Iterable[Network]) -> None:
        settings = parse_document(self._core.log.document(self._core.log.get("container", container_id).config_digest))
        named = [
            {"file": str(self._networks.names.path(network.id)), "internal": network.internal}
            for network in networks if network.name != DEFAULT
        ]  # fmt: skip
        servers = list(settings["HostConfig"].get("Dns") or []) or upstream_servers()
        self._networks.names.write_container(self._core.store.container(container_id), named, servers)

    def _lease(
        self, endpoint: Endpoint, network: Network, ports: list[Json], context: Context
    ) -> tuple[Endpoint, Network]:
        """Record the intent with addresses that nobody holds: the log refuses one that is taken."""
        for _ in range(_ATTEMPTS):
            held = self._core.log.addresses_of_network(network.id)
            addresses = [self._address(endpoint, entry, held) for entry in network.subnets]
            event = EndpointAttaching(
                endpoint.id, addresses, endpoint.requested_mac or mac_for(addresses[0]),
                self._networks.host.interface_name(endpoint.id), ports,
            )  # fmt: skip
            try:
                self._core.recorder.decide("endpoint", endpoint.id, AttachEndpoint(event), context)
            except NameTaken:
                continue
            return self._core.log.get("endpoint", endpoint.id), network
        raise Conflict(f"no address of network {network.name} could be leased: too many ask at once, try again")

    def _address(self, endpoint: Endpoint, entry: Mapping[str, Any], held: set[str]) -> str:
        subnet = ip_network(entry["subnet"])
        for address in endpoint.requested:
            if ip_address(address) in subnet:
                return address
        address = free_address(entry, held, self._cursors.get(entry["subnet"], ""))
        self._cursors[entry["subnet"]] = address
        return address

    @staticmethod
    def _interface(endpoint: Endpoint, network: Network, name: str) -> Json:
        lengths = [ip_network(entry["subnet"]).prefixlen for entry in network.subnets]
        return {
            "endpoint_id": endpoint.id, "bridge": network.bridge, "host_interface": endpoint.interface, "name": name,
            "mac_address": endpoint.mac_address, "mtu": network.mtu, "gateways": [],
            "addresses": [f"{address}/{length}" for address, length in zip(endpoint.addresses, lengths)],
        }  # fmt: skip

    @staticmethod
    def _lead_out(attachment: Attachment, pairs: Sequence[tuple[Endpoint, Network]]) -> None:
        """The default route of each family leads through the first network that has a way out."""
        led: set[int] = set()
        for interface, (_, network) in zip(attachment.interfaces, pairs):
            for entry in network.subnets if not network.internal else ():
                version = ip_network(entry["subnet"]).version
                if version not in led:
                    led.add(version)
                    interface["gateways"].append(entry["gateway"])

    # --- ports -----------------------------------------------------------------------------------------------------

    def _hold(self, attachment: Attachment, wanted: Sequence[PortRequest], network: Network) -> list[Json]:
        found: list[Json] = []
        with step("network.ports"):
            everywhere = [network.host_address]
            if network.host_address == "0.0.0.0" and held_ports.has_ipv6():
                everywhere.append("::")
            for request in wanted:
                addresses = [request.host_address] if request.host_address else everywhere
                ports = request.host_ports or held_ports.any_port()
                self._refuse_held(request, addresses)
                for sock in held_ports.hold_on_all(request.protocol, addresses, ports):
                    address, port = sock.getsockname()[:2]
                    attachment.sockets.append(sock)
                    is_proxied = request.protocol == "tcp" and ":" in address
                    attachment.listeners.append({"port": request.container_port} if is_proxied else {})
                    found.append({
                        "protocol": request.protocol, "container_port": request.container_port,
                        "host_address": address, "host_port": port,
                    })  # fmt: skip
        return found

    def _refuse_held(self, request: PortRequest, addresses: Sequence[str]) -> None:
        """Where another container has the one port that was asked for, say which. Raises Conflict."""
        if len(request.host_ports) != 1:
            return
        wild = ("0.0.0.0", "::")
        for endpoint in self._core.log.all("endpoint"):
            for port in endpoint.ports:
                same = (port["protocol"], port["host_port"]) == (request.protocol, request.host_ports[0])
                meets = port["host_address"] in addresses or port["host_address"] in wild or set(addresses) & set(wild)
                if same and meets:
                    container = self._core.log.get("container", endpoint.container_id)
                    holder = container.name if container else endpoint.container_id[:12]
                    raise Conflict(
                        f"Bind for {addresses[0]}:{request.host_ports[0]} failed: port is already allocated (by "
                        f"container {holder})"
                    )

    # --- outcomes --------------------------------------------------------------------------------------------------

    def failed(self, attachment: Attachment, reason: str) -> None:
        """Nothing came of the start: leases end, rules, names and sockets go."""
        attachment.let_go()
        for endpoint, _, context in attachment.leases:
            self._core.recorder.record("endpoint", endpoint.id, EndpointAttachFailed(endpoint.id, reason), context)
        self._gone([endpoint for endpoint, _, _ in attachment.leases])

    def ending(self, container_id: str) -> list[Fact]:
        """What the end of a container says of its endpoints, for the same entry in the log."""
        facts: list[Fact] = []
        for endpoint_id in self._core.log.endpoints_of_container(container_id):
            facts.append(("endpoint", endpoint_id, EndpointReleased(endpoint_id)))
        return facts

    def attached(self, container_id: str) -> list[Endpoint]:
        """The endpoints of a container that hold a lease."""
        found = [self._core.log.get("endpoint", one) for one in self._core.log.endpoints_of_container(container_id)]
        return [one for one in found if one is not None and one.addresses]

    def renamed(self, container_id: str) -> None:
        """Its neighbours find it by its new name, and no longer by the old one."""
        for endpoint in self.attached(container_id):
            self._networks.names.write(endpoint.network_id)

    def ended(self, endpoints: Sequence[Endpoint]) -> None:
        """After the record: ``endpoints`` as they were while they were attached."""
        self._gone(endpoints)

    def _gone(self, endpoints: Sequence[Endpoint]) -> None:
        if any(endpoint.ports for endpoint in endpoints):
            self._networks.refresh()
        for endpoint in endpoints:
            network = self._core.log.get("network", endpoint.network_id)
            if network is not None and network.name != DEFAULT:
                self._networks.names.write(network.id)

    # --- containers that are there ---------------------------------------------------------------------------------

    def connect(self, network: str, container: str, settings: Mapping[str, Any], context: Context) -> None:
        """Docker's connect: now where the container runs, else from its next start on. Raises NotFound, Conflict ..."""
        found = resolve_container(self._core.log, container)
        request = network_config.endpoint_request(network, settings)
        with self._core.recorder.exclusive(f"container/{found.id}"):
            current = resolve_container(self._core.log, found.id)
            config = parse_document(self._core.log.document(current.config_digest))
            mode = config["HostConfig"]["NetworkMode"]
            if mode in network_config.WITHOUT_ENDPOINT or mode.startswith("container:"):
                raise Forbidden(f"container {current.name} has network mode {mode}: it can't be connected to a network")
            created = self._created(request, current.id, context)
            if any(one.network_id == created.network_id for one, _ in self.of(current.id)):
                raise Forbidden(f"endpoint with name {current.name} already exists in network {network}")
            try:
                self._core.recorder.decide("endpoint", created.endpoint_id, CreateEndpoint(created), context)
            except NameTaken as error:
                raise self.taken(error) from error
            if current.alive:
                self._attach(current, created, context)

    def _attach(self, container: Container, created: EndpointCreated, context: Context) -> None:
        network = self._core.log.get("network", created.network_id)
        endpoint = self._core.log.get("endpoint", created.endpoint_id)
        attachment = Attachment()
        try:
            network = self._networks.raise_(network, context)
            lease = self._lease(endpoint, network, [], context)
            attachment.leases.append((*lease, context))
            names = self._interface_names(container.id)
            free = next(f"eth{number}" for number in range(len(names) + 1) if f"eth{number}" not in names)
            attachment.interfaces.append(self._interface(lease[0], network, free))
            if not any(not other.internal for one, other in self.of(container.id) if one.id != endpoint.id):
                self._lead_out(attachment, [(endpoint, network)])
            job = {**self._namespace(container), "interfaces": attachment.interfaces}
            made = self._core.runtime.run_job("network.attach", job)["interfaces"][0]
        except (OSError, EngineError) as error:
            self.failed(attachment, describe(error))
            self._core.recorder.decide("endpoint", created.endpoint_id, RemoveEndpoint(), context)
            raise
        attached = EndpointAttached(endpoint.id, made)
        self._core.recorder.record("endpoint", endpoint.id, attached, context)
        self._after_change(container, network)

    def _namespace(self, container: Container) -> Json:
        """Names the network namespace of a running container."""
        started = list(self._core.log.events(streams=[f"container/{container.id}"], types=["container.started"]))
        return {"pid": container.pid, "inode": started[-1].data["evidence"]["namespaces"]["network"]}

    def _interface_names(self, container_id: str) -> dict[str, str]:
        """Name inside -> endpoint's id, of a running container's interfaces, as the evidence has it."""
        names = {}
        for endpoint in self.attached(container_id):
            attached = self._core.log.events(streams=[f"endpoint/{endpoint.id}"], types=["endpoint.attached"])
            for last in attached:
                names[last.data["evidence"]["name"]] = endpoint.id
        return names

    def _after_change(self, container: Container, network: Network) -> None:
        if network.name != DEFAULT:
            self._networks.names.write(network.id)
        networks = [one for endpoint, one in self.of(container.id) if endpoint.addresses]
        self._write_resolver(container.id, networks)
        if any(one.name != DEFAULT for one in networks):
            self._core.runtime.serve_names(container.id)
        settings = parse_document(self._core.log.document(container.config_digest))
        addresses = [address for endpoint in self.attached(container.id) for address in endpoint.addresses]
        write_network_files(
            self._core.store.container(container.id), settings["Config"], settings["HostConfig"], addresses,
            networks[0].subnets[0]["gateway"] if networks else "", any(one.name != DEFAULT for one in networks),
            container.id,
        )  # fmt: skip

    def disconnect(self, network: str, container: str, *, force: bool, context: Context) -> None:
        """Docker's disconnect. Raises NotFound, Forbidden where it isn't connected, OSError."""
        found = resolve_container(self._core.log, container)
        place = self._networks.resolve(network)
        with self._core.recorder.exclusive(f"container/{found.id}"):
            pairs = [(one, other) for one, other in self.of(found.id) if other.id == place.id]
            if not pairs:
                raise Forbidden(f"container {found.id} is not connected to network {place.name}")
            endpoint = pairs[0][0]
            if endpoint.addresses:
                self._detach(found, endpoint, place, context)
            self._core.recorder.decide("endpoint", endpoint.id, RemoveEndpoint(), context)
            if (current := self._core.log.get("container", found.id)) is not None and current.alive:
                self._after_change(current, place)

    def _detach(self, container: Container, endpoint: Endpoint, network: Network, context: Context) -> None:
        intents = self._core.recorder.decide("endpoint", endpoint.id, DetachEndpoint(), context)
        outcome = caused_by(context, intents[-1])
        self._networks.names.write(network.id)  # from now on nobody is told of it any more
        try:
            self._networks.host.delete_interface(endpoint.interface)
        except OSError as error:
            failed = EndpointDetachFailed(endpoint.id, describe(error))
            self._core.recorder.record("endpoint", endpoint.id, failed, outcome)
            raise
        self._core.recorder.record("endpoint", endpoint.id, EndpointDetached(endpoint.id), outcome)
        self._gone([endpoint])
        self._lead_out_again(container)

    def _lead_out_again(self, container: Container) -> None:
        """The way out went with the interface: the next network has one."""
        names = {endpoint_id: name for name, endpoint_id in self._interface_names(container.id).items()}
        for endpoint, network in self.of(container.id):
            if endpoint.addresses and not network.internal and endpoint.id in names:
                gateways = [entry["gateway"] for entry in network.subnets]
                job = {**self._namespace(container), "name": names[endpoint.id], "gateways": gateways}
                self._core.runtime.run_job("network.route", job)
                return


def change_of(created: EndpointCreated) -> Change:
    """For the same entry in the log as the container's creation."""
    return Change("endpoint", created.endpoint_id, 0, [created])
