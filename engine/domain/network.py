"""A network's life: down, raising, up, lowering, removed. It is up while its bridge and rules are in the kernel.

Creating one is one event and no effect; what the kernel is to have begins with ``raising``.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from engine.domain.errors import Conflict, NotFound
from engine.domain.machine import Event, Statuses, Table, changed, next_intents, next_status
from engine.domain.record import Record


class Status(Statuses):
    DOWN = "down"
    RAISING = "raising"
    UP = "up"
    LOWERING = "lowering"
    REMOVED = "removed"


class NetworkCreated(Event):
    """``subnets`` have "subnet", "gateway", "range" and "reserved" (name -> address); ``bridge`` is the interface's
    name, and ``adopted`` one of the host's, which is neither made nor removed. ``mtu`` is in bytes. ``attachable`` is
    kept for who asks: containers may be connected to every network of one host. ``tells_ipam_options``: Docker shows
    none as {} where the client gave none, and as null where it said nothing."""

    TYPE: ClassVar[str] = "network.created"
    network_id: str
    name: str
    created_at_us: int
    driver: str
    bridge: str
    subnets: list[dict[str, Any]]
    mtu: int
    internal: bool = False
    ipv6: bool = False
    masquerade: bool = True
    neighbours: bool = True
    host_address: str = "0.0.0.0"
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    adopted: bool = False
    attachable: bool = False
    tells_ipam_options: bool = False


class NetworkRaising(Event):
    """Intent: bridge, addresses, settings of the host and rules are about to be made."""

    TYPE: ClassVar[str] = "network.raising"
    OPENS: ClassVar[str] = "raise"
    network_id: str


class NetworkRaised(Event):
    """``evidence`` is what the kernel has now: the bridge's index and address, settings of the host that were changed
    (name, before, after), rules in chains that are not ours."""

    TYPE: ClassVar[str] = "network.raised"
    CLOSES: ClassVar[str] = "raise"
    network_id: str
    evidence: dict[str, Any] = field(default_factory=dict)


class NetworkRaiseFailed(Event):
    TYPE: ClassVar[str] = "network.raise_failed"
    CLOSES: ClassVar[str] = "raise"
    network_id: str
    reason: str


class NetworkLowering(Event):
    """Intent: everything of it in the kernel is about to go."""

    TYPE: ClassVar[str] = "network.lowering"
    OPENS: ClassVar[str] = "lower"
    network_id: str


class NetworkLowered(Event):
    TYPE: ClassVar[str] = "network.lowered"
    CLOSES: ClassVar[str] = "lower"
    network_id: str


class NetworkLowerFailed(Event):
    TYPE: ClassVar[str] = "network.lower_failed"
    CLOSES: ClassVar[str] = "lower"
    network_id: str
    reason: str


class NetworkLost(Event):
    """The bridge is not there any more, and it was not the engine that took it away: a reboot, or somebody's hand."""

    TYPE: ClassVar[str] = "network.lost"
    network_id: str
    reason: str


class NetworkMoved(Event):
    """Other subnets, since the host has come to use the former ones itself: of the default network, which nobody chose
    any for."""

    TYPE: ClassVar[str] = "network.moved"
    network_id: str
    subnets: list[dict[str, Any]]


class NetworkConfigured(Event):
    """The operator's settings of the default network are others than before. Fields as in ``network.created``."""

    TYPE: ClassVar[str] = "network.configured"
    network_id: str
    bridge: str
    subnets: list[dict[str, Any]]
    mtu: int
    ipv6: bool
    masquerade: bool
    neighbours: bool
    host_address: str
    adopted: bool


class NetworkHooked(Event):
    """Our rules in chains of other firewalls are others than before: ``rules`` are all that there are now, as "family
    table chain interface". Another firewall came, went, or wrote its rules anew."""

    TYPE: ClassVar[str] = "network.hooked"
    network_id: str
    rules: list[str] = field(default_factory=list)


class NetworkRemoved(Event):
    TYPE: ClassVar[str] = "network.removed"
    network_id: str


EVENTS: tuple[type[Event], ...] = (
    NetworkCreated, NetworkRaising, NetworkRaised, NetworkRaiseFailed, NetworkLowering, NetworkLowered,
    NetworkLowerFailed, NetworkLost, NetworkMoved, NetworkConfigured, NetworkHooked,
    NetworkRemoved,
)  # fmt: skip

TRANSITIONS: Table[Status] = {
    (None, NetworkCreated): Status.DOWN,
    (Status.DOWN, NetworkRaising): Status.RAISING,
    (Status.RAISING, NetworkRaised): Status.UP,
    (Status.RAISING, NetworkRaiseFailed): Status.DOWN,
    (Status.UP, NetworkLowering): Status.LOWERING,
    (Status.LOWERING, NetworkLowered): Status.DOWN,
    (Status.LOWERING, NetworkLowerFailed): Status.UP,
    (Status.UP, NetworkLost): Status.DOWN,
    (Status.UP, NetworkHooked): Status.UP,
    (Status.DOWN, NetworkMoved): Status.DOWN,
    (Status.DOWN, NetworkConfigured): Status.DOWN,
    (Status.DOWN, NetworkRemoved): Status.REMOVED,
}


class Network(Record):
    """The fold of a network's stream."""

    id: str
    name: str
    status: Status
    created_at_us: int
    driver: str
    bridge: str
    subnets: list[dict[str, Any]]
    mtu: int
    internal: bool
    ipv6: bool
    masquerade: bool
    neighbours: bool
    host_address: str
    labels: dict[str, str]
    options: dict[str, str]
    adopted: bool = False
    attachable: bool = False
    tells_ipam_options: bool = False
    error: str = ""
    intents: tuple[str, ...] = ()


def evolve(state: Network | None, event: Event) -> Network:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    if state is None:
        assert isinstance(event, NetworkCreated)
        return Network(
            event.network_id, event.name, status, event.created_at_us, event.driver, event.bridge, event.subnets,
            event.mtu, event.internal, event.ipv6, event.masquerade, event.neighbours, event.host_address,
            event.labels, event.options, event.adopted, event.attachable, event.tells_ipam_options,
        )  # fmt: skip
    if isinstance(event, NetworkMoved):
        return changed(state, {"subnets": event.subnets})
    if isinstance(event, NetworkConfigured):
        return changed(state, {
            "bridge": event.bridge, "subnets": event.subnets, "mtu": event.mtu, "ipv6": event.ipv6,
            "masquerade": event.masquerade, "neighbours": event.neighbours, "host_address": event.host_address,
            "adopted": event.adopted,
        })  # fmt: skip
    failed = isinstance(event, NetworkRaiseFailed | NetworkLowerFailed | NetworkLost)
    error = event.reason if failed else ""  # type: ignore[attr-defined]
    return changed(state, {"status": status, "intents": next_intents(state.intents, event), "error": error})


class CreateNetwork(Record):
    created: NetworkCreated


class RaiseNetwork(Record):
    pass


class LowerNetwork(Record):
    """``used_by`` are names of containers that are on the network now."""

    used_by: tuple[str, ...] = ()


class RemoveNetwork(Record):
    """``used_by`` as above."""

    used_by: tuple[str, ...] = ()


Command = CreateNetwork | RaiseNetwork | LowerNetwork | RemoveNetwork


def decide(state: Network | None, command: Command) -> list[Event]:
    """Answer a command with events ([]: it is so already). Raises NotFound or Conflict."""
    if isinstance(command, CreateNetwork):
        if state is not None:
            raise Conflict(f"network {state.id} exists already")
        return [command.created]
    if state is None or state.status is Status.REMOVED:
        raise NotFound("no such network")
    if state.status in (Status.RAISING, Status.LOWERING):
        raise Conflict(f"network {state.name} is being changed already: try again")
    if isinstance(command, RaiseNetwork):
        return [] if state.status is Status.UP else [NetworkRaising(state.id)]
    if command.used_by:
        raise Conflict(f"network {state.name} has active endpoints: {', '.join(command.used_by)}")
    if isinstance(command, LowerNetwork):
        return [NetworkLowering(state.id)] if state.status is Status.UP else []
    if state.status is Status.UP:
        raise Conflict(f"network {state.name} is up: it must be taken down first")
    return [NetworkRemoved(state.id)]


def is_possible(state: Network | None, event: Event) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
