"""Networks: the engine's own, and the two predefined ones that need no bridge."""

from __future__ import annotations

from typing import Any

from engine.api.exchange import NO_CONTENT, OK, Answer, Request, reply
from engine.api.filters import Filters, read_filters, read_prune_filters
from engine.api.router import Route
from engine.api.views import networks as views
from engine.api.views.containers import network_mode
from engine.domain.errors import InvalidArgument, NotFound

LIST_FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
DEFAULT = "bridge"


def list_networks(services: Any, request: Request) -> Answer:
    """Docker's list; with ``as_of`` (Docket's own) as it was at that moment."""
    filters = read_filters(request, LIST_FILTERS)
    dangling, as_of = filters.boolean("dangling"), request.text("as_of") or None
    for value in filters.get("type"):
        if value not in ("builtin", "custom"):
            raise InvalidArgument(f"invalid filter: 'type'='{value}'")
    if not as_of and services.networks.has_default:
        services.networks.ensure(DEFAULT, request.context)
    found = []
    for view in services.networks.list(as_of=as_of):
        is_dangling = not view.members and view.state.name != DEFAULT
        if dangling in (None, is_dangling) and _allows(filters, shown := views.inspect_own(view, with_members=False)):
            found.append(shown)
    if dangling is not True:
        found += [shown for shown in map(views.inspect, views.DRIVERS) if _allows(filters, shown)]
    return reply(found)


def _allows(filters: Filters, shown: dict[str, Any]) -> bool:
    kind = "builtin" if shown["Name"] in (DEFAULT, *views.DRIVERS) else "custom"
    return (
        filters.allows("driver", shown["Driver"])
        and filters.allows("scope", "local")
        and filters.allows("type", kind)
        and filters.allows_labels(shown["Labels"])
        and filters.allows_name(shown["Name"])
        and ("id" not in filters or any(value in shown["Id"] for value in filters.get("id")))
    )


def inspect(services: Any, request: Request) -> Answer:
    reference, as_of = request.params[0], request.text("as_of") or None
    name = _predefined(reference)
    if name is None:
        if reference == DEFAULT and not as_of and services.networks.has_default:
            services.networks.ensure(DEFAULT, request.context)
        return reply(views.inspect_own(services.networks.get(reference, as_of=as_of)))
    attached = [
        view
        for view in services.containers.list(as_of=as_of)
        if view.state.alive and network_mode(view.host_config) == name
    ]
    return reply(views.inspect(name, attached))


def _predefined(ref: str) -> str | None:
    """"none" or "host", by name, id or the beginning of one; None for everything else."""
    for name in views.DRIVERS:
        if ref == name or (len(ref) >= 4 and views.network_id(name).startswith(ref)):
            return name
    return None


def create(services: Any, request: Request) -> Answer:
    network_id, warnings = services.networks.create(request.json(), request.context)
    return reply({"Id": network_id, "Warning": "; ".join(warnings)}, 201)


def remove(services: Any, request: Request) -> Answer:
    services.networks.remove(_predefined(request.params[0]) or request.params[0], request.context)
    return NO_CONTENT


def connect(services: Any, request: Request) -> Answer:
    body = request.json()
    services.network_connections.connect(
        request.params[0], _container(body), body.get("EndpointConfig") or {}, request.context
    )
    return OK


def disconnect(services: Any, request: Request) -> Answer:
    body = request.json()
    services.network_connections.disconnect(
        request.params[0], _container(body), force=bool(body.get("Force")), context=request.context
    )
    return OK


def _container(body: dict[str, Any]) -> str:
    container = body.get("Container")
    if not isinstance(container, str) or not container:
        raise InvalidArgument("no container named: Container must name one")
    return container


def prune(services: Any, request: Request) -> Answer:
    names = services.networks.prune(read_prune_filters(request, ("label", "label!", "until")), request.context)
    return reply({"NetworksDeleted": list(names) or None})


def holder(services: Any, request: Request) -> Answer:
    """Docket's own: who has, or had at a moment, an address."""
    network, address = request.params
    found = services.networks.holder(network, address, as_of=request.text("as_of") or None)
    if found is None:
        raise NotFound(f"nobody holds {address} on network {network} at that moment")
    return reply({"Container": found.id, "Name": found.name})


ROUTES: tuple[Route, ...] = (
    ("GET", "/networks", list_networks),
    ("GET", "/networks/{}", inspect),
    ("DELETE", "/networks/{}", remove),
    ("POST", "/networks/create", create),
    ("POST", "/networks/prune", prune),
    ("POST", "/networks/{}/connect", connect),
    ("POST", "/networks/{}/disconnect", disconnect),
    ("GET", "/docket/networks", list_networks),
    ("GET", "/docket/networks/{}", inspect),
    ("GET", "/docket/networks/{}/holder/{}", holder),
)
