"""Docker's connect and disconnect: networks of containers that are there already, also while they run."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from engine.domain.container import Container
from engine.domain.endpoint import (
    CreateEndpoint,
    DetachEndpoint,
    Endpoint,
    EndpointAttached,
    EndpointCreated,
    EndpointDetached,
    EndpointDetachFailed,
    RemoveEndpoint,
)
from engine.domain.errors import Conflict, Forbidden, NameTaken, NotFound, describe
from engine.domain.network import Network
from engine.eventlog.log import Context
from engine.networking.subnets import way_out
from engine.services import leases, links, network_config, request_shapes
from engine.services.container_files import with_defaults, write_network_files
from engine.services.core import Core, resolve_container
from engine.services.endpoints import Attachment, Endpoints
from engine.services.launch_plan import hostname_of
from engine.services.network_requests import DEFAULT
from engine.services.networks import Networks
from engine.services.recorder import caused_by

Json = dict[str, Any]


class NetworkConnections:
    def __init__(self, core: Core, networks: Networks, endpoints: Endpoints) -> None:
        self._core = core
        self._networks = networks
        self._endpoints = endpoints

    def connect(self, network: str, container: str, settings: Mapping[str, Any], context: Context) -> None:
        """Docker's connect: now where the container runs, else from its next start on. Raises NotFound, Conflict ..."""
        found = resolve_container(self._core.log, container)
        if network in network_config.UNCONNECTABLE:
            raise Forbidden(network_config.UNCONNECTABLE[network])
        request_shapes.check(settings, request_shapes.ENDPOINT, "EndpointConfig")
        request = network_config.endpoint_request(network, settings)
        with self._core.recorder.exclusive(f"container/{found.id}"):
            current = resolve_container(self._core.log, found.id)
            config = self._core.settings_of(current)
            mode = config["HostConfig"]["NetworkMode"]
            if mode in network_config.WITHOUT_ENDPOINT or mode.startswith("container:"):
                raise Forbidden(f"container {current.name} has network mode {mode}: it can't be connected to a network")
            created = self._endpoints.created(request, current.id, context)
            if any(one.network_id == created.network_id for one, _ in self._endpoints.of(current.id)):
                raise Forbidden(f"endpoint with name {current.name} already exists in network {network}")
            try:
                self._core.recorder.decide("endpoint", created.endpoint_id, CreateEndpoint(created), context)
            except NameTaken as error:
                raise self._endpoints.leases.taken(error) from error
            if current.alive:
                self._attach(current, created, context)

    def _attach(self, container: Container, created: EndpointCreated, context: Context) -> None:
        network = self._core.log.get("network", created.network_id)
        endpoint = self._core.log.get("endpoint", created.endpoint_id)
        attachment = Attachment()
        try:
            network = self._networks.bridges.raise_(network, context)
            leased = self._endpoints.leases.lease(endpoint, network, [], context)
            attachment.leases.append((leased, network, context))
            names = self._interface_names(container.id)
            free = next(f"eth{number}" for number in range(len(names) + 1) if f"eth{number}" not in names)
            attachment.interfaces.append(leases.interface(leased, network, free))
            if not any(not other.internal for one, other in self._endpoints.of(container.id) if one.id != endpoint.id):
                leases.lead_out(attachment.interfaces, [network])
            job = {**self._namespace(container), "interfaces": attachment.interfaces}
            made = self._core.runtime.run_job("network.attach", job)["interfaces"][0]
        except Exception as error:
            self._endpoints.failed(attachment, describe(error))
            self._core.recorder.decide("endpoint", created.endpoint_id, RemoveEndpoint(), context)
            if isinstance(error, OSError) and str(error.filename).startswith(f"/proc/{container.pid}/"):
                raise Conflict(f"container {container.name} ended while it was being connected") from error
            raise
        attached = EndpointAttached(endpoint.id, made)
        self._core.recorder.record("endpoint", endpoint.id, attached, context)
        try:
            self._endpoints.publish_anew(container, context)
        except Exception:
            self._leave(container, self._core.log.get("endpoint", endpoint.id), network, context)
            raise
        self._after_change(container, network)

    def _namespace(self, container: Container) -> Json:
        """Names the network namespace of a running container."""
        started = list(self._core.log.events(streams=[f"container/{container.id}"], types=["container.started"]))
        return {"pid": container.pid, "inode": started[-1].data["evidence"]["namespaces"]["network"]}

    def _interface_names(self, container_id: str) -> dict[str, str]:
        """Name inside -> endpoint's id, of a running container's interfaces, as the evidence has it."""
        names = {}
        for endpoint in self._endpoints.attached(container_id):
            last = self._core.log.last_event(f"endpoint/{endpoint.id}", ["endpoint.attached"])
            if last is not None:
                names[last.data["evidence"]["name"]] = endpoint.id
        return names

    def linked_has_started(self, parents: Sequence[Container]) -> None:
        """A container runs, with addresses that those who link to it are to know."""
        for parent in parents:
            try:
                self._write_files(parent, [one for end, one in self._endpoints.of(parent.id) if end.addresses])
            except FileNotFoundError:
                continue  # it was removed at this moment

    def _after_change(self, container: Container, network: Network) -> None:
        if network.name != DEFAULT:
            self._networks.names.write(network.id, self._core.log.endpoints_of_container(container.id))
        networks = [one for endpoint, one in self._endpoints.of(container.id) if endpoint.addresses]
        self._endpoints.write_resolver(container.id, networks)
        if any(one.name != DEFAULT for one in networks):
            self._core.runtime.serve_names(container.id)
        self._write_files(container, networks)

    def _write_files(self, container: Container, networks: Sequence[Network]) -> None:
        settings = self._core.settings_of(container)
        config, host = settings["Config"], settings["HostConfig"]
        gateway = networks[0].subnets[0]["gateway"] if networks else ""
        with self._core.recorder.exclusive(f"hosts/{container.id}"):
            attached = self._endpoints.attached(container.id)
            write_network_files(
                self._core.store.container(container.id), hostname_of(container.id, config, host), config,
                with_defaults(host, self._core.network),
                [address for endpoint in attached for address in endpoint.addresses], gateway,
                any(one.name != DEFAULT for one in networks),
                links.host_lines(list(links.of(self._core, host))),
            )  # fmt: skip

    def disconnect(self, network: str, container: str, *, force: bool, context: Context) -> None:
        """Docker's disconnect. Raises NotFound, Forbidden where it isn't connected, OSError."""
        found = resolve_container(self._core.log, container)
        if network in network_config.UNCONNECTABLE:
            raise Forbidden(f"container {found.id} is not connected to network {network}")
        place = self._networks.resolve(network)
        with self._core.recorder.exclusive(f"container/{found.id}"):
            pairs = [(one, other) for one, other in self._endpoints.of(found.id) if other.id == place.id]
            if not pairs:
                raise Forbidden(f"container {found.id} is not connected to network {place.name}")
            self._leave(found, pairs[0][0], place, context)
            if pairs[0][0].ports and (current := self._core.log.get("container", found.id)) is not None:
                self._publish_elsewhere(current, context)

    def _leave(self, container: Container, endpoint: Endpoint, network: Network, context: Context) -> None:
        if endpoint.addresses:
            self._detach(endpoint, network, context)
        self._core.recorder.decide("endpoint", endpoint.id, RemoveEndpoint(), context)
        self._endpoints.gone([endpoint])
        if (current := self._core.log.get("container", container.id)) is not None and current.alive:
            self._lead_out_again(current)
            self._after_change(current, network)

    def _publish_elsewhere(self, container: Container, context: Context) -> None:
        if not container.alive:
            return
        try:
            self._endpoints.publish_anew(container, context)
        except NotFound:
            return  # it has ended, and its shim with it

    def _detach(self, endpoint: Endpoint, network: Network, context: Context) -> None:
        intents = self._core.recorder.decide("endpoint", endpoint.id, DetachEndpoint(), context)
        outcome = caused_by(context, intents[-1])
        self._networks.names.write(network.id, [endpoint.id])  # from now on nobody is told of it any more
        try:
            self._networks.host.delete_interface(endpoint.interface)
        except Exception as error:
            failed = EndpointDetachFailed(endpoint.id, describe(error))
            self._core.recorder.record("endpoint", endpoint.id, failed, outcome)
            self._networks.names.write(network.id, [endpoint.id])  # it is there still
            raise
        self._core.recorder.record("endpoint", endpoint.id, EndpointDetached(endpoint.id), outcome)

    def _lead_out_again(self, container: Container) -> None:
        """The way out went with the interface: the next network has one."""
        names = {endpoint_id: name for name, endpoint_id in self._interface_names(container.id).items()}
        for endpoint, network in self._endpoints.of(container.id):
            if endpoint.addresses and not network.internal and endpoint.id in names:
                gateways = [way_out(entry) for entry in network.subnets]
                job = {**self._namespace(container), "name": names[endpoint.id], "gateways": gateways}
                self._core.runtime.run_job("network.route", job)
                return
