"""The engine itself: _ping, version, info, events, system/df."""

from __future__ import annotations

from typing import Any, Iterator

from engine.api.event_tail import Told
from engine.api.events import FILTERS, matches
from engine.api.exchange import Answer, Reply, Request, Stream, reply
from engine.api.filters import Filters, read_filters
from engine.api.router import Route
from engine.api.views import builds as build_views
from engine.api.views import containers as container_views
from engine.api.views import images as image_views
from engine.api.views import system as system_views
from engine.api.views import volumes as volume_views
from engine.domain.errors import InvalidArgument
from engine.services.as_of import parse_time_us, sequence_number
from engine.services.events import Moment

_PING_HEADERS = {
    "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Swarm": "inactive",
    "Builder-Version": "1",
}  # fmt: skip
"""Builder 1 is Docker's classic protocol for builds."""


def ping(services: Any, request: Request) -> Answer:
    return Reply(200, b"OK", "text/plain; charset=utf-8", _PING_HEADERS)


def ping_head(services: Any, request: Request) -> Answer:
    return Reply(200, b"", "text/plain; charset=utf-8", _PING_HEADERS)


def version(services: Any, request: Request) -> Answer:
    return reply(system_views.version())


def info(services: Any, request: Request) -> Answer:
    facts = {**services.system.info(), "NEventsListener": services.events.followers}
    return reply(system_views.info(facts, request.now_us))


def events(services: Any, request: Request) -> Answer:
    filters = read_filters(request, FILTERS)
    since, until = _moment(request, "since"), _moment(request, "until")
    if since and until and (since.seq is None) == (until.seq is None) and until < since:
        raise InvalidArgument("`since` time cannot be after `until` time")
    # following begins before the head leaves: whoever has seen the head misses nothing of what he does next
    records = services.events.follow(since, until, request.departed)
    return Stream(_event_lines(request.tell(records), filters), release=records.close)


def _moment(request: Request, name: str) -> Moment | None:
    """As Docker has it, and ``seq:12`` for an event of the log: a place that no clock can move."""
    text = request.text(name)
    if not text or text == "0":
        return None
    seq = sequence_number(text)
    return Moment(parse_time_us(text, request.now_us)) if seq is None else Moment(seq=seq)


def _event_lines(told: Iterator[Told], filters: Filters) -> Iterator[bytes]:
    for event, line in told:
        if matches(event, filters):
            yield line


_DISK_TYPES = ("container", "image", "volume", "build-cache")


def disk_usage(services: Any, request: Request) -> Answer:
    types = request.texts("type") or _DISK_TYPES
    for kind in types:
        if kind not in _DISK_TYPES:
            raise InvalidArgument(f"unknown object type: {kind}")
    usage = services.system.disk_usage()
    containers = services.containers.list(as_of=None)
    answer: dict[str, Any] = {}
    if "image" in types:
        users: dict[str, int] = {}
        for view in containers:
            users[view.state.image_id] = users.get(view.state.image_id, 0) + 1
        answer["LayersSize"] = usage["layers_bytes"]
        if usage["layer_copies"]:  # Docket's own, where there are some
            answer["Docket"] = {"LayerCopies": [image_views.layer_copy(one) for one in usage["layer_copies"]]}
        answer["Images"] = [
            image_views.summary(
                view,
                request.version,
                shared_bytes=usage["image_shared_bytes"].get(view.state.id, 0),
                containers=users.get(view.state.id, 0),
            )
            for view in services.images.list(as_of=None)
        ]
    if "container" in types:
        sizes = usage["container_bytes"]
        answer["Containers"] = [
            container_views.summary(view, request.now_us, size=sizes.get(view.state.id)) for view in containers
        ]
    if "volume" in types:
        sizes = usage["volume_bytes"]
        answer["Volumes"] = [
            volume_views.with_usage(view, sizes.get(view.state.id, -1)) for view in services.volumes.list()
        ]
    if "build-cache" in types:
        answer["BuildCache"] = [build_views.cache_record(usage) for usage in services.builds.usage()]
        if request.version < (1, 42):
            answer["BuilderSize"] = sum(record["Size"] for record in answer["BuildCache"])
    return reply(answer)


ROUTES: tuple[Route, ...] = (
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping_head),
    ("GET", "/version", version),
    ("GET", "/info", info),
    ("GET", "/events", events),
    ("GET", "/system/df", disk_usage),
)
