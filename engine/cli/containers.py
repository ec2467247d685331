"""``docket ps``: what it asks for, and a container as a row."""

from __future__ import annotations

from engine.cli import quantities
from engine.cli.command import Command
from engine.cli.flags import Options, integer, switch, text
from engine.cli.listing import Row, filter_flag, filters_query, format_flag, labels_text, short_id, shorten, show
from engine.cli.output import out, quoted
from engine.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
    "Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS",
    "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Platform": "PLATFORM",
}  # fmt: skip
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_RAW = (
    ("container_id", "ID"), ("image", "Image"), ("command", "Command"), ("created_at", "CreatedAt"),
    ("state", "State"), ("status", "Status"), ("names", "Names"), ("labels", "Labels"), ("ports", "Ports"),
)  # fmt: skip
AS_OF_HELP = "As it was then: RFC 3339, unix seconds, a duration ago (2h), or seq:NUMBER of an event"


def list_containers(session: Session, options: Options, arguments: list[str]) -> int:
    last = 1 if options.latest and options.last <= 0 else options.last
    needs_size = options.size or "Size" in options.format or "{{json .}}" in options.format
    query = {
        "all": options.all or last > 0,
        "limit": last if last > 0 else None,
        "size": needs_size,
        "filters": filters_query(options.filter),
    }
    path = "/containers/json"
    if options.as_of:
        path, query["as_of"] = "/docket/containers/json", options.as_of
    found = session.client.call("GET", path, query=query)
    if options.quiet and not options.format:
        out("".join((one["Id"] if options.no_trunc else short_id(one["Id"])) + "\n" for one in found))
        return 0
    fields = _COLUMNS + (("Size",) if options.size else ())
    rows = [container_row(one, whole=options.no_trunc, with_virtual=needs_size) for one in found]
    raw = _RAW[:1] if options.quiet else _RAW + ((("size", "Size"),) if options.size else ())
    show(rows, [(_HEADERS[field], field) for field in fields], options.format, _HEADERS, raw)
    return 0


def container_row(one: dict[str, Any], *, whole: bool, with_virtual: bool) -> Row:
    """A container of the API's list; ``whole`` shows its fields uncut."""
    labels = one.get("Labels") or {}
    mounts = [mount.get("Name") or mount.get("Source", "") for mount in one.get("Mounts") or ()]
    command = one.get("Command", "")
    row = Row(
        ID=one["Id"] if whole else short_id(one["Id"]),
        Names=_names(one.get("Names") or (), whole),
        Image=_image(one, whole),
        Command=quoted(command if whole else shorten(command, 20)),
        CreatedAt=quantities.local_time(one["Created"]),
        RunningFor=quantities.ago(one["Created"]),
        Ports=_ports(one.get("Ports") or ()),
        State=one.get("State", ""),
        Status=one.get("Status", ""),
        Size=_size(one, with_virtual),
        Labels=labels_text(labels),
        Mounts=",".join(mount if whole else shorten(mount, 15) for mount in mounts),
        LocalVolumes=str(sum(mount.get("Driver") == "local" for mount in one.get("Mounts") or ())),
        Networks=",".join(sorted((one.get("NetworkSettings") or {}).get("Networks") or ())),
        Platform=None,
        Label=lambda name: labels.get(name, ""),
    )
    return row


def _names(names: list[str], whole: bool) -> str:
    plain = [name.removeprefix("/") for name in names]
    return ",".join(name for name in plain if whole or "/" not in name)


def _image(one: dict[str, Any], whole: bool) -> str:
    image = one.get("Image", "")
    if not image:
        return "<no image>"
    if whole:
        return image
    if short_id(one.get("ImageID", "")) == short_id(image):
        return short_id(image)
    return image.partition("@")[0]


def _size(one: dict[str, Any], with_virtual: bool) -> str:
    text_shown = quantities.human_size(one.get("SizeRw") or 0)
    if with_virtual and one.get("SizeRootFs"):
        text_shown += f" (virtual {quantities.human_size(one['SizeRootFs'])})"
    return text_shown


def _ports(ports: list[dict[str, Any]]) -> str:
    if not ports:
        return ""
    from engine.cli.ports import describe_ports

    return describe_ports(ports)


LIST = Command(
    list_containers,
    "[OPTIONS]",
    switch("-a, --all", "Show all containers (default shows just running)"),
    text("--as-of", AS_OF_HELP),
    filter_flag(),
    format_flag(),
    integer("-n, --last", "Show n last created containers (includes all states)", -1),
    switch("-l, --latest", "Show the latest created container (includes all states)"),
    switch("--no-trunc", "Don't truncate output"),
    switch("-q, --quiet", "Only display container IDs"),
    switch("-s, --size", "Display total file sizes"),
    most=0,
    examples="""
docket ps -a --filter status=exited --filter label=team=web
docket ps --format 'table {{.ID}}\\t{{.Names}}\\t{{.Status}}'
docket ps -a --as-of 2026-11-23T10:00:00Z
docket ps -a --as-of 2h
""",
)
