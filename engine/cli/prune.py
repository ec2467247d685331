"""The ``prune`` commands: ask, remove what is unused, say what that freed."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.images import removal_lines
from engine.cli.listing import filter_flag, filters_query
from engine.cli.output import CommandError, out
from engine.cli.quantities import human_size, parse_size
from engine.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_QUESTION = "Are you sure you want to continue? [y/N] "


def _confirmed(options: Options, warning: str) -> bool:
    """Whether the user agrees; without ``--force`` the question is asked, and no answer means no."""
    if options.force:
        return True
    out(f"WARNING! {warning}\n{_QUESTION}")
    answer = _read_line()
    if not answer.endswith("\n") and os.isatty(0):
        out("\n")  # after Ctrl-D; a pipe that has ended gets no line, as with Docker
    return answer.strip().lower() in ("y", "yes")


def _read_line() -> str:
    """One line of standard input, byte by byte, so that nothing is taken from whoever reads on."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode("utf-8", "replace")


def _filters(options: Options, *more: tuple[str, str]) -> dict[str, Any]:
    return {"filters": filters_query([*options.filter, *more])}


def _print_freed(title: str, lines: str, freed_bytes: int) -> None:
    if lines:
        out(f"{title}:\n{lines}\n")
    out(f"Total reclaimed space: {human_size(freed_bytes, 4)}\n")


def _named(names: Sequence[str] | None) -> str:
    return "".join(f"{name}\n" for name in names or ())


def prune_containers(session: Session, options: Options, arguments: list[str]) -> int:
    if not _confirmed(options, "This will remove all stopped containers."):
        return 0
    answer = session.client.call("POST", "/containers/prune", query=_filters(options))
    _print_freed("Deleted Containers", _named(answer["ContainersDeleted"]), answer["SpaceReclaimed"])
    return 0


def prune_images(session: Session, options: Options, arguments: list[str]) -> int:
    if not _confirmed(options, f"This will remove {_which_images(options)}."):
        return 0
    answer = _prune_images(session, options)
    _print_freed("Deleted Images", removal_lines(answer["ImagesDeleted"] or []), answer["SpaceReclaimed"])
    return 0


def _which_images(options: Options) -> str:
    return "all images without at least one container associated to them" if options.all else "all dangling images"


def _prune_images(session: Session, options: Options) -> dict[str, Any]:
    dangling = ("dangling", "false" if options.all else "true")
    return session.client.call("POST", "/images/prune", query=_filters(options, dangling))


def prune_volumes(session: Session, options: Options, arguments: list[str]) -> int:
    which = "all" if options.all else "anonymous"
    if not _confirmed(options, f"This will remove {which} local volumes not used by at least one container."):
        return 0
    answer = _prune_volumes(session, options, every=options.all)
    _print_freed("Deleted Volumes", _named(answer["VolumesDeleted"]), answer["SpaceReclaimed"])
    return 0


def _prune_volumes(session: Session, options: Options, *, every: bool) -> dict[str, Any]:
    more = [("all", "true")] if every else []
    return session.client.call("POST", "/volumes/prune", query=_filters(options, *more))


def prune_builder(session: Session, options: Options, arguments: list[str]) -> int:
    if not _confirmed(options, "This will remove all build cache."):
        return 0
    query = {**_filters(options), "keep-storage": options.keep_storage or None}
    answer = session.client.call("POST", "/build/prune", query=query)
    _print_freed("Deleted build cache objects", _named(answer["CachesDeleted"]), answer["SpaceReclaimed"])
    return 0


def prune_networks(session: Session, options: Options, arguments: list[str]) -> int:
    if not _confirmed(options, "This will remove all custom networks not used by at least one container."):
        return 0
    answer = session.client.call("POST", "/networks/prune", query=_filters(options))
    if names := answer["NetworksDeleted"]:
        out(f"Deleted Networks:\n{_named(names)}\n")
    return 0


def _listed(items: Sequence[str]) -> str:
    return "".join(f"  - {item}\n" for item in items)


def prune_system(session: Session, options: Options, arguments: list[str]) -> int:
    if options.volumes and any(name == "until" for name, _ in options.filter):
        raise CommandError('ERROR: The "until" filter is not supported with "--volumes"')
    items = ["all stopped containers", "all networks not used by at least one container"]
    if options.volumes:
        items.append("all anonymous volumes not used by at least one container")
    items += [_which_images(options), "unused build cache"]
    listed_items = _listed(items)
    if options.filter:
        given = sorted(f"{name}={value}" for name, value in options.filter)
        listed_items += f"\n  Items to be pruned will be filtered with:\n{_listed(given)}"
    if not _confirmed(options, f"This will remove:\n{listed_items}"):
        return 0
    client = session.client
    containers = client.call("POST", "/containers/prune", query=_filters(options))
    freed = containers["SpaceReclaimed"]
    networks = client.call("POST", "/networks/prune", query=_filters(options))
    parts = [
        ("Deleted Containers", _named(containers["ContainersDeleted"])),
        ("Deleted Networks", _named(networks["NetworksDeleted"])),
    ]
    if options.volumes:
        volumes = _prune_volumes(session, options, every=False)
        freed += volumes["SpaceReclaimed"]
        parts.append(("Deleted Volumes", _named(volumes["VolumesDeleted"])))
    images = _prune_images(session, options)
    freed += images["SpaceReclaimed"]
    parts.append(("Deleted Images", removal_lines(images["ImagesDeleted"] or [])))
    cache = client.call("POST", "/build/prune", query=_filters(options))
    freed += cache["SpaceReclaimed"]
    parts.append(("Deleted build cache objects", _named(cache["CachesDeleted"])))
    out("".join(f"{title}:\n{lines}\n" for title, lines in parts if lines))
    out(f"Total reclaimed space: {human_size(freed, 4)}\n")
    return 0


_FORCE = switch("-f, --force", "Do not prompt for confirmation")
_UNTIL = filter_flag("--filter", 'Provide filter values (e.g. "until=<timestamp>")')
_LABEL = filter_flag("--filter", 'Provide filter values (e.g. "label=<label>")')
CONTAINER_PRUNE = Command(
    prune_containers, "[OPTIONS]", _UNTIL, _FORCE, most=0, examples="docket container prune -f --filter until=24h"
)
IMAGE_PRUNE = Command(
    prune_images,
    "[OPTIONS]",
    switch("-a, --all", "Remove all unused images, not just dangling ones"),
    _UNTIL,
    _FORCE,
    most=0,
    examples="docket image prune\ndocket image prune -a -f",
)
BUILDER_PRUNE = Command(
    prune_builder,
    "[OPTIONS]",
    switch("-a, --all", "Remove all unused build cache: it is always all"),
    filter_flag("--filter", 'Provide filter values (e.g. "until=24h", "id=<prefix>", "type=regular|exec.cachemount")'),
    text("--keep-storage", "Amount of disk space to keep for cache", kind="bytes", parse=parse_size),
    _FORCE,
    most=0,
    examples="docket builder prune -f\ndocket builder prune -f --filter until=24h --keep-storage 10g",
)
NETWORK_PRUNE = Command(
    prune_networks,
    "[OPTIONS]",
    _UNTIL,
    _FORCE,
    most=0,
    examples="docket network prune -f",
)
VOLUME_PRUNE = Command(
    prune_volumes,
    "[OPTIONS]",
    switch("-a, --all", "Remove all unused volumes, not just anonymous ones"),
    _LABEL,
    _FORCE,
    most=0,
    examples="docket volume prune -a -f",
)
SYSTEM_PRUNE = Command(
    prune_system,
    "[OPTIONS]",
    switch("-a, --all", "Remove all unused images not just dangling ones"),
    _LABEL,
    _FORCE,
    switch("--volumes", "Prune anonymous volumes"),
    most=0,
    examples="docket system prune -f --volumes",
)
