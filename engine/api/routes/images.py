"""Images: list, inspect, history, import, load, tag, remove, prune."""

from __future__ import annotations

import itertools
from typing import Any, Iterator

from engine.api.documents import encode
from engine.api.exchange import Answer, Reply, Request, Stream, reply
from engine.api.filters import Filters, compile_glob, read_filters, read_prune_filters
from engine.api.router import Route
from engine.api.status import message_of
from engine.api.views import images as views
from engine.domain.errors import EngineError, InvalidArgument, NotSupported
from engine.services.as_of import parse_time_us

LIST_FILTERS = frozenset({"before", "dangling", "label", "reference", "since", "until"})


def list_images(services: Any, request: Request) -> Answer:
    """Docker's list; with ``as_of`` (Docket's own path) as it was at that moment."""
    filters = read_filters(request, LIST_FILTERS)
    shared = services.system.disk_usage()["image_shared_bytes"] if request.flag("shared-size") else {}
    chosen = _chosen(services, filters, request.now_us)
    found = [view for view in services.images.list(as_of=request.text("as_of") or None) if chosen(view)]
    found.sort(key=lambda view: (views.created_us(view), view.state.id), reverse=True)
    return reply(
        [views.summary(view, request.version, shared_bytes=shared.get(view.state.id, -1)) for view in found]
    )


def _chosen(services: Any, filters: Filters, now_us: int) -> Any:
    """A predicate over images; what the filters refer to is looked up once."""
    dangling = filters.boolean("dangling")
    before = [views.created_us(services.images.get(value)) for value in filters.get("before")]
    since = [views.created_us(services.images.get(value)) for value in filters.get("since")]
    before += [parse_time_us(value, now_us) for value in filters.get("until")]
    patterns = [compile_glob(value) for value in filters.get("reference")]

    def allows(view: Any) -> bool:
        created = views.created_us(view)
        names = [*views.tags_of(view), *views.digests_of(view)]
        return (
            dangling in (None, not names)
            and filters.allows_labels(views.labels_of(view) or {})
            and all(created < moment for moment in before)
            and all(created > moment for moment in since)
            and (not patterns or any(_refers(pattern, name) for pattern in patterns for name in names))
        )

    return allows


def _refers(pattern: Any, name: str) -> bool:
    """Whether a glob matches a familiar reference, with or without its tag or digest."""
    bare = name.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    return bool(pattern.fullmatch(name) or pattern.fullmatch(head + slash + last.partition(":")[0]))


def inspect(services: Any, request: Request) -> Answer:
    return reply(views.inspect(services.images.get(request.params[0]), request.version))


def history(services: Any, request: Request) -> Answer:
    return reply([views.history_entry(entry) for entry in services.images.history(request.params[0])])


def tag(services: Any, request: Request) -> Answer:
    repository, name = request.text("repo"), request.text("tag")
    if not repository:
        raise InvalidArgument("invalid reference format: repository name must have at least one component")
    services.images.tag(request.params[0], f"{repository}:{name}" if name else repository, request.context)
    return Reply(201)


def remove(services: Any, request: Request) -> Answer:
    return reply(
        services.images.remove(
            request.params[0],
            force=request.flag("force"),
            prune=not request.flag("noprune"),
            context=request.context,
        )
    )


def prune(services: Any, request: Request) -> Answer:
    filters = read_prune_filters(request, ("dangling", "label", "label!", "until"))
    removed, reclaimed = services.images.prune(filters, request.context)
    return reply({"ImagesDeleted": list(removed) or None, "SpaceReclaimed": reclaimed})


def create(services: Any, request: Request) -> Answer:
    """Import a root file system from the body. Pulling comes with registries."""
    if request.text("fromImage"):
        raise NotSupported(
            f'cannot pull "{request.text("fromImage")}": registries are not supported yet, load or import the image'
        )
    source = request.text("fromSrc")
    if source != "-":
        raise NotSupported("importing from a URL is not supported: send the archive with fromSrc=-")
    repository, name = request.text("repo"), request.text("tag")
    image_id = services.images.import_(
        request.body,
        reference=(f"{repository}:{name}" if name else repository) or None,
        changes=request.texts("changes"),
        message=request.text("message"),
        platform=request.text("platform") or None,
        source=source,
        context=request.context,
    )
    return Reply(200, _line({"status": image_id}), "application/json")


def load(services: Any, request: Request) -> Answer:
    """What goes wrong before the first line of progress has a status of its own; later it is a line."""
    lines = services.images.load(request.body, request.context)
    first = next(lines, None)
    return Stream(_progress(lines if first is None else itertools.chain([first], lines)), release=lines.close)


def _progress(lines: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    try:
        for line in lines:
            yield _line(line)
    except (EngineError, OSError) as error:
        message = message_of(error)
        yield _line({"errorDetail": {"message": message}, "error": message})


def _line(value: dict[str, Any]) -> bytes:
    """Docker ends the documents of a progress stream with CRLF."""
    return encode(value).rstrip(b"\n") + b"\r\n"


ROUTES: tuple[Route, ...] = (
    ("GET", "/images/json", list_images),
    ("POST", "/images/create", create),
    ("POST", "/images/load", load),
    ("POST", "/images/prune", prune),
    ("GET", "/images/{*}/json", inspect),
    ("GET", "/images/{*}/history", history),
    ("POST", "/images/{*}/tag", tag),
    ("DELETE", "/images/{*}", remove),
)
