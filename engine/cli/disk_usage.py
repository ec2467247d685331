"""``docket system df``: how much disk images, containers and volumes take, and how much of it is in use."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.containers import container_row
from engine.cli.flags import Options, switch
from engine.cli.images import image_rows
from engine.cli.listing import Row, for_terminal, format_flag, short_id, show
from engine.cli.output import out
from engine.cli.quantities import ago, human_size
from engine.cli.session import Session
from engine.cli.table import layout
from engine.cli.volumes import volume_row
from engine.client.moments import moment_to_unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADERS = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
_RUNNING = ("running", "paused", "restarting")


def show_disk_usage(session: Session, options: Options, arguments: list[str]) -> int:
    usage = session.client.call("GET", "/system/df")
    if options.verbose and options.format:
        out(for_terminal(_rendered(usage, options.format)))
    elif options.verbose:
        out(_details(usage))
    else:
        columns = [(_HEADERS[field], field) for field in _HEADERS]
        raw = [(title.lower(), field) for title, field in columns]
        show(_totals(usage), columns, options.format, _HEADERS, raw)
    return 0


def _totals(usage: dict[str, Any]) -> list[Row]:
    images = usage.get("Images") or []
    used = [image for image in images if image.get("Containers", 0) > 0]
    layers = usage.get("LayersSize", 0)
    in_use = sum(image["Size"] - max(image.get("SharedSize", 0), 0) for image in used if image.get("Size", -1) != -1)
    containers = usage.get("Containers") or []
    running = [one for one in containers if one.get("State") in _RUNNING]
    size, busy = (sum(one.get("SizeRw") or 0 for one in some) for some in (containers, running))
    volumes = usage.get("Volumes") or []
    data = [volume.get("UsageData") or {"Size": 0, "RefCount": 0} for volume in volumes]
    held, mounted = sum(max(one["Size"], 0) for one in data), [one for one in data if one["RefCount"] > 0]
    free = sum(max(one["Size"], 0) for one in data if one["RefCount"] <= 0)
    return [
        _total("Images", len(images), len(used), layers, layers - in_use if used else layers),
        _total("Containers", len(containers), len(running), size, size - busy),
        _total("Local Volumes", len(volumes), len(mounted), held, free),
        _cache_total(usage.get("BuildCache") or []),
        *_copies_total(_copies(usage)),
    ]


def _cache_total(records: list[dict[str, Any]]) -> Row:
    """What images have as well counts as theirs."""
    own = [record for record in records if not record.get("Shared")]
    free = sum(record["Size"] for record in own if not record.get("InUse"))
    in_use = sum(bool(record.get("InUse")) for record in records)
    return _total("Build Cache", len(records), in_use, sum(record["Size"] for record in own), free)


def _copies(usage: dict[str, Any]) -> list[dict[str, Any]]:
    return (usage.get("Docket") or {}).get("LayerCopies") or []


def _copies_total(copies: list[dict[str, Any]]) -> list[Row]:
    """Layers whose owners were shifted for containers with a user namespace: no line where there are none."""
    used = [one for one in copies if one["Containers"] > 0]
    size, busy = (sum(one["Size"] for one in some) for some in (copies, used))
    return [_total("Layer Copies", len(copies), len(used), size, size - busy)] if copies else []


def _total(kind: str, count: int, active: int, size_bytes: int, reclaimable_bytes: int) -> Row:
    share = f" ({reclaimable_bytes * 100 // size_bytes}%)" if size_bytes > 0 else ""
    return Row(
        Type=kind,
        TotalCount=str(count),
        Active=str(active),
        Size=human_size(size_bytes, 4),
        Reclaimable=human_size(reclaimable_bytes, 4) + share,
    )


def _rendered(usage: dict[str, Any], format: str) -> str:
    """A template over everything, as Docker has it: Images, Containers, Volumes, BuildCache."""
    from engine.cli.template import parse_format

    template, _ = parse_format(format)
    rows = {
        "Images": [row for image in usage.get("Images") or () for row in image_rows(image, whole=True)],
        "Containers": [container_row(one, whole=True, with_virtual=False) for one in usage.get("Containers") or ()],
        "Volumes": [volume_row(volume) for volume in usage.get("Volumes") or ()],
        "BuildCache": [_cache_row(record) for record in usage.get("BuildCache") or ()],
    }
    return template.execute({kind: [_plain(row) for row in some] for kind, some in rows.items()})


def _plain(row: Row) -> Row:
    return Row({name: value for name, value in sorted(row.items()) if not callable(value)})


def _cache_row(record: dict[str, Any]) -> Row:
    return Row(
        ID=short_id(record["ID"]), Parent=record.get("Parent") or "", CacheType=record.get("Type", ""),
        Description=record.get("Description", ""), Shared=str(bool(record.get("Shared"))).lower(),
        InUse=str(bool(record.get("InUse"))).lower(), Size=human_size(record["Size"]),
        UsageCount=str(record.get("UsageCount", 0)),
    )  # fmt: skip


def _details(usage: dict[str, Any]) -> str:
    images = [row for image in usage.get("Images") or () for row in image_rows(image, whole=False)]
    fields = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    heads = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
    text = "Images space usage:\n\n" + layout([heads, *([row[field] for field in fields] for row in images)])
    containers = [container_row(one, whole=False, with_virtual=False) for one in usage.get("Containers") or ()]
    fields = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    heads = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")
    text += "\nContainers space usage:\n\n" + layout([heads, *([row[field] for field in fields] for row in containers)])
    volumes = [volume_row(volume) for volume in usage.get("Volumes") or ()]
    rows = [("VOLUME NAME", "LINKS", "SIZE"), *((row["Name"], row["Links"], row["Size"]) for row in volumes)]
    text += "\nLocal Volumes space usage:\n\n" + layout(rows)
    records = sorted(usage.get("BuildCache") or (), key=lambda record: float(moment_to_unix(record["LastUsedAt"])))
    rows = [("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"), *map(_cache_line, records)]
    text += f"\nBuild cache usage: {_cache_total(records)['Size']}\n\n" + layout(rows)
    return text + _copies_text(_copies(usage))


def _copies_text(copies: list[dict[str, Any]]) -> str:
    """``docket image prune`` removes those that no container needs."""
    if not copies:
        return ""
    rows = [("COPY ID", "LAYER ID", "USERS", "SIZE", "CONTAINERS")]
    for one in copies:
        users = ", ".join(":".join(line.split()) for line in one["Users"].splitlines())
        ids = (short_id(one[field]) for field in ("ID", "LayerID"))
        rows.append((*ids, users, human_size(one["Size"], 3), str(one["Containers"])))
    return "\nCopies of layers for user namespaces:\n\n" + layout(rows)


def _cache_line(record: dict[str, Any]) -> tuple[str, ...]:
    row = _cache_row(record)
    created, used = (ago(float(moment_to_unix(record[field]))) for field in ("CreatedAt", "LastUsedAt"))
    return row["ID"], row["CacheType"], row["Size"], created, used, row["UsageCount"], row["Shared"]


DISK_USAGE = Command(
    show_disk_usage,
    "[OPTIONS]",
    format_flag(),
    switch("-v, --verbose", "Show detailed information on space usage"),
    most=0,
    examples="docket system df\ndocket system df -v",
)
