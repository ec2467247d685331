"""Images: list, inspect, history, pull and import, load, save, tag, remove, prune."""

from __future__ import annotations

from typing import Any

from engine.api.documents import platform_name
from engine.api.exchange import Answer, Reply, Request, reply
from engine.api.filters import Filters, compile_glob, read_filters, read_prune_filters
from engine.api.router import Route
from engine.api.routes import registries
from engine.api.streams import byte_stream, encode_line, json_lines
from engine.api.views import images as views
from engine.domain.errors import InvalidArgument, NotSupported
from engine.domain.image import ImageTagged
from engine.services.as_of import parse_time_us

LIST_FILTERS = frozenset({"before", "dangling", "label", "reference", "since", "until"})


def list_images(services: Any, request: Request) -> Answer:
    """Docker's list; with ``as_of`` (Docket's own path) as it was at that moment."""
    filters = read_filters(request, LIST_FILTERS)
    shared = services.system.disk_usage()["image_shared_bytes"] if request.flag("shared-size") else {}
    chosen = _chosen(services, filters, request.now_us)
    patterns = [compile_glob(value) for value in filters.get("reference")]
    found = [view for view in services.images.list(as_of=request.text("as_of") or None) if chosen(view)]
    found.sort(key=lambda view: (views.created_us(view), view.state.id), reverse=True)
    return reply(
        [
            views.summary(
                view, request.version, shared_bytes=shared.get(view.state.id, -1),
                shows=lambda name: not patterns or any(_refers(pattern, name) for pattern in patterns),
            )
            for view in found
        ]
    )  # fmt: skip


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
    view = services.images.get(request.params[0], platform=_platform(request))
    trail = services.audit.trail("image", view.state.id)
    tagged = [record.time_us for record in trail if isinstance(record.event, ImageTagged)]
    return reply(views.inspect(view, request.version, tagged_at_us=max(tagged, default=0)))


def history(services: Any, request: Request) -> Answer:
    entries = services.images.history(request.params[0], platform=_platform(request))
    return reply([views.history_entry(entry) for entry in entries])


def tag(services: Any, request: Request) -> Answer:
    repository, name = request.text("repo"), request.text("tag")
    if not repository:
        raise InvalidArgument("invalid reference format: repository name must have at least one component")
    services.images.tag(request.params[0], f"{repository}:{name}" if name else repository, request.context)
    return Reply(201)


def remove(services: Any, request: Request) -> Answer:
    return reply(
        services.image_removal.remove(
            request.params[0],
            force=request.flag("force"),
            prune=not request.flag("noprune"),
            platforms=[platform_name(text) for text in request.texts("platforms")],
            context=request.context,
        )
    )


def prune(services: Any, request: Request) -> Answer:
    filters = read_prune_filters(request, ("dangling", "label", "label!", "until"))
    removed, reclaimed = services.image_removal.prune(filters, request.context)
    return reply({"ImagesDeleted": list(removed) or None, "SpaceReclaimed": reclaimed})


def create(services: Any, request: Request) -> Answer:
    """Pull an image, or import a root file system from the body."""
    if request.text("fromImage"):
        return registries.pull(services, request)
    source = request.text("fromSrc")
    if source != "-":
        raise NotSupported("importing from a URL is not supported: send the archive with fromSrc=-")
    repository, name = request.text("repo"), request.text("tag")
    image_id = services.archives.import_(
        request.body,
        reference=(f"{repository}:{name}" if name else repository) or None,
        changes=request.texts("changes"),
        message=request.text("message"),
        platform=request.text("platform") or None,
        source=source,
        context=request.context,
    )
    return Reply(200, encode_line({"status": image_id}), "application/json")


def load(services: Any, request: Request) -> Answer:
    return json_lines(services.archives.load(request.body, request.context, _platform(request) or None))


def _platform(request: Request) -> str:
    return platform_name(request.text("platform"))


def save(services: Any, request: Request) -> Answer:
    names = [request.params[0]] if request.params else request.texts("names")
    if not names:
        raise InvalidArgument("no image named: give at least one in names")
    return byte_stream(services.archives.save(names, request.context, _platform(request)), "application/x-tar")


ROUTES: tuple[Route, ...] = (
    ("GET", "/images/json", list_images),
    ("POST", "/images/create", create),
    ("POST", "/images/load", load),
    ("POST", "/images/prune", prune),
    ("GET", "/images/get", save),
    ("GET", "/images/{*}/json", inspect),
    ("GET", "/images/{*}/get", save),
    ("GET", "/images/{*}/history", history),
    ("POST", "/images/{*}/tag", tag),
    ("DELETE", "/images/{*}", remove),
)
