"""Networks: the two that need no bridge. Whatever would make or change one is refused."""

from __future__ import annotations

from typing import Any

from engine.api.exchange import Answer, Request, reply
from engine.api.filters import Filters, read_filters
from engine.api.router import Route
from engine.api.views import networks as views
from engine.api.views.containers import network_mode
from engine.domain.errors import Forbidden, NotFound, NotSupported

LIST_FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


def list_networks(services: Any, request: Request) -> Answer:
    filters = read_filters(request, LIST_FILTERS)
    dangling = filters.boolean("dangling")
    return reply([views.inspect(name) for name in views.DRIVERS if dangling is not True and _allows(filters, name)])


def _allows(filters: Filters, name: str) -> bool:
    return (
        filters.allows("driver", views.DRIVERS[name])
        and filters.allows("scope", "local")
        and filters.allows("type", "builtin")
        and filters.allows_labels({})
        and ("name" not in filters or any(value in name for value in filters.get("name")))
        and ("id" not in filters or any(value in views.network_id(name) for value in filters.get("id")))
    )


def inspect(services: Any, request: Request) -> Answer:
    name = _find(request.params[0])
    attached = [
        view
        for view in services.containers.list(as_of=None)
        if view.state.alive and network_mode(view.host_config) == name
    ]
    return reply(views.inspect(name, attached))


def _find(ref: str) -> str:
    """A name, an id or the beginning of one. Raises NotFound."""
    for name in views.DRIVERS:
        if ref == name or (len(ref) >= 4 and views.network_id(name).startswith(ref)):
            return name
    raise NotFound(f"network {ref} not found")


def remove(services: Any, request: Request) -> Answer:
    name = _find(request.params[0])
    raise Forbidden(f"{name} is a pre-defined network and cannot be removed")


def change(services: Any, request: Request) -> Answer:
    raise NotSupported("networks other than none and host are not supported yet")


def prune(services: Any, request: Request) -> Answer:
    read_filters(request, ("label", "label!", "until"))
    return reply({"NetworksDeleted": None})  # predefined networks are never pruned


ROUTES: tuple[Route, ...] = (
    ("GET", "/networks", list_networks),
    ("GET", "/networks/{}", inspect),
    ("DELETE", "/networks/{}", remove),
    ("POST", "/networks/create", change),
    ("POST", "/networks/prune", prune),
    ("POST", "/networks/{}/connect", change),
    ("POST", "/networks/{}/disconnect", change),
)
