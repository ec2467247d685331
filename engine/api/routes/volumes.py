"""Volumes."""

from __future__ import annotations

from typing import Any

from engine.api.exchange import NO_CONTENT, Answer, Request, reply
from engine.api.filters import read_filters, read_prune_filters
from engine.api.router import Route
from engine.api.views import volumes as views

LIST_FILTERS = frozenset({"dangling", "driver", "label", "name"})


def list_volumes(services: Any, request: Request) -> Answer:
    filters = read_filters(request, LIST_FILTERS)
    dangling = filters.boolean("dangling")
    found = [
        views.inspect(view)
        for view in services.volumes.list()
        if dangling in (None, not view.users)
        and filters.allows("driver", view.state.driver)
        and filters.allows_labels(view.state.labels)
        and filters.allows_name(view.state.id)
    ]
    return reply({"Volumes": found, "Warnings": None})


def create(services: Any, request: Request) -> Answer:
    return reply(views.inspect(services.volumes.create(request.json(), request.context)), 201)


def inspect(services: Any, request: Request) -> Answer:
    return reply(views.inspect(services.volumes.get(request.params[0])))


def remove(services: Any, request: Request) -> Answer:
    services.volumes.remove(request.params[0], force=request.flag("force"), context=request.context)
    return NO_CONTENT


def prune(services: Any, request: Request) -> Answer:
    filters = read_prune_filters(request, ("all", "label", "label!"))
    if request.version < (1, 42):
        filters["all"] = ["true"]  # clients before 1.42 mean named volumes too
    names, reclaimed = services.volumes.prune(filters, request.context)
    return reply({"VolumesDeleted": list(names), "SpaceReclaimed": reclaimed})


ROUTES: tuple[Route, ...] = (
    ("GET", "/volumes", list_volumes),
    ("POST", "/volumes/create", create),
    ("POST", "/volumes/prune", prune),
    ("GET", "/volumes/{}", inspect),
    ("DELETE", "/volumes/{}", remove),
)
