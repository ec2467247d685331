"""An endpoint's life: a container's place on a network. Idle, attaching, attached, detaching, removed.

Addresses are leased by the intent to attach and held until the endpoint is idle again; those that were asked for are
held all the time. They are unique names in the log, so that none is ever handed out twice, and who held one at a moment
of the past is one query.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    IDLE = "idle"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    REMOVED = "removed"


class EndpointCreated(Event):
    """The container is to be on the network whenever it runs. ``requested`` are the addresses that it is to have, empty
    where any will do; ``aliases`` are names beside its own; ``links`` (NAME:ALIAS) are names of others on the network
    that this container alone knows."""

    TYPE: ClassVar[str] = "endpoint.created"
    endpoint_id: str
    network_id: str
    container_id: str
    aliases: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    mac_address: str = ""
    options: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)


class EndpointAttaching(Event):
    """Intent: a pair of interfaces is about to be made. ``addresses`` are leased from here on. ``ports`` have
    "protocol", "container_port", "host_address" and "host_port"."""

    TYPE: ClassVar[str] = "endpoint.attaching"
    OPENS: ClassVar[str] = "attach"
    endpoint_id: str
    addresses: list[str]
    mac_address: str
    interface: str
    ports: list[dict[str, Any]] = field(default_factory=list)


class EndpointAttached(Event):
    """``evidence`` is what the kernel has: indexes and names of both interfaces."""

    TYPE: ClassVar[str] = "endpoint.attached"
    CLOSES: ClassVar[str] = "attach"
    endpoint_id: str
    evidence: dict[str, Any] = field(default_factory=dict)


class EndpointPublished(Event):
    """The ports of a running container have come to this endpoint, since the one that had them is gone or there was
    none. ``ports`` as in EndpointAttaching: the shim holds them."""

    TYPE: ClassVar[str] = "endpoint.published"
    endpoint_id: str
    ports: list[dict[str, Any]]


class EndpointAttachFailed(Event):
    TYPE: ClassVar[str] = "endpoint.attach_failed"
    CLOSES: ClassVar[str] = "attach"
    endpoint_id: str
    reason: str


class EndpointDetaching(Event):
    """Intent: the interfaces of a running container are about to go."""

    TYPE: ClassVar[str] = "endpoint.detaching"
    OPENS: ClassVar[str] = "detach"
    endpoint_id: str


class EndpointDetached(Event):
    TYPE: ClassVar[str] = "endpoint.detached"
    CLOSES: ClassVar[str] = "detach"
    endpoint_id: str


class EndpointDetachFailed(Event):
    TYPE: ClassVar[str] = "endpoint.detach_failed"
    CLOSES: ClassVar[str] = "detach"
    endpoint_id: str
    reason: str


class EndpointReleased(Event):
    """The container ended, and its interfaces went with its network namespace."""

    TYPE: ClassVar[str] = "endpoint.released"
    endpoint_id: str


class EndpointRemoved(Event):
    TYPE: ClassVar[str] = "endpoint.removed"
    endpoint_id: str


EVENTS: tuple[type[Event], ...] = (
    EndpointCreated, EndpointAttaching, EndpointAttached, EndpointPublished, EndpointAttachFailed, EndpointDetaching,
    EndpointDetached, EndpointDetachFailed, EndpointReleased, EndpointRemoved,
)  # fmt: skip

S = Status
TRANSITIONS: Table[Status] = {
    (None, EndpointCreated): S.IDLE,
    (S.IDLE, EndpointAttaching): S.ATTACHING,
    (S.ATTACHING, EndpointAttached): S.ATTACHED,
    (S.ATTACHING, EndpointAttachFailed): S.IDLE,
    (S.ATTACHED, EndpointPublished): S.ATTACHED,
    (S.ATTACHED, EndpointDetaching): S.DETACHING,
    (S.DETACHING, EndpointDetached): S.IDLE,
    (S.DETACHING, EndpointDetachFailed): S.ATTACHED,
    **{(status, EndpointReleased): S.IDLE for status in (S.ATTACHED, S.DETACHING)},
    (S.IDLE, EndpointRemoved): S.REMOVED,
}


class Endpoint(Record):
    """The fold of an endpoint's stream. ``addresses``, ``interface`` and ``ports`` are empty while it is idle."""

    id: str
    status: Status
    network_id: str
    container_id: str
    aliases: list[str]
    requested: list[str]
    requested_mac: str
    options: dict[str, str]
    links: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    mac_address: str = ""
    interface: str = ""
    ports: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    intents: tuple[str, ...] = ()

    @property
    def held(self) -> tuple[str, ...]:
        """The addresses that nobody else on the network may have."""
        return tuple(dict.fromkeys([*self.requested, *self.addresses]))


def evolve(state: Endpoint | None, event: Event) -> Endpoint:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    if state is None:
        assert isinstance(event, EndpointCreated)
        return Endpoint(
            event.endpoint_id, status, event.network_id, event.container_id, event.aliases, event.requested,
            event.mac_address, event.options, event.links,
        )  # fmt: skip
    intents = next_intents(state.intents, event)
    facts: dict[str, Any] = {"error": ""}
    match event:
        case EndpointAttaching():
            facts |= {
                "addresses": event.addresses, "mac_address": event.mac_address, "interface": event.interface,
                "ports": event.ports,
            }  # fmt: skip
        case EndpointPublished(ports=ports):
            facts["ports"] = ports
        case EndpointAttachFailed(reason=reason):
            facts = _IDLE | {"error": reason}
        case EndpointDetachFailed(reason=reason):
            facts["error"] = reason
        case EndpointReleased():
            facts, intents = _IDLE, ()  # the end of the container is the outcome of what was under way
        case EndpointDetached() | EndpointRemoved():
            facts = _IDLE
    return changed(state, {"status": status, "intents": intents, **facts})


_IDLE: dict[str, Any] = {"addresses": [], "mac_address": "", "interface": "", "ports": [], "error": ""}


class CreateEndpoint(Record):
    created: EndpointCreated


class AttachEndpoint(Record):
    attaching: EndpointAttaching


class DetachEndpoint(Record):
    pass


class RemoveEndpoint(Record):
    pass


Command = CreateEndpoint | AttachEndpoint | DetachEndpoint | RemoveEndpoint


def decide(state: Endpoint | None, command: Command) -> list[Event]:
    """Answer a command with events. Raises NotFound or Conflict."""
    if isinstance(command, CreateEndpoint):
        if state is not None:
            raise Conflict(f"endpoint {state.id} exists already")
        return [command.created]
    if state is None:
        raise NotFound("no such endpoint")
    wanted = S.ATTACHED if isinstance(command, DetachEndpoint) else S.IDLE
    if state.status is not wanted:
        raise Conflict(f"endpoint {state.id[:12]} of container {state.container_id[:12]} is {state.status}: try again")
    match command:
        case AttachEndpoint(attaching=attaching):
            return [attaching]
        case DetachEndpoint():
            return [EndpointDetaching(state.id)]
        case RemoveEndpoint():
            return [EndpointRemoved(state.id)]


def is_possible(state: Endpoint | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
