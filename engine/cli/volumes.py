"""Volumes: create, list, remove."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, listed, refused, switch, text
from engine.cli.listing import Row, filter_flag, filters_query, format_flag, labels_text, show
from engine.cli.outcomes import for_each
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.client.api import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_HEADERS = {
    "Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS",
    "Links": "LINKS", "Size": "SIZE", "Status": "STATUS", "Availability": "AVAILABILITY", "Group": "GROUP",
}  # fmt: skip


def create_volume(session: Session, options: Options, arguments: list[str]) -> int:
    if arguments and options.name:
        raise CommandError("conflicting options: cannot specify a volume-name through both --name and an argument")
    name = arguments[0] if arguments else options.name
    body = {
        "Name": name,
        "Driver": options.driver,
        "DriverOpts": pairs(options.opt),
        "Labels": pairs(options.label),
    }
    out(session.client.call("POST", "/volumes/create", body)["Name"] + "\n")
    return 0


def pairs(given: Sequence[str]) -> dict[str, str]:
    """"name=value" strings as a mapping; a name alone gets an empty value."""
    return {name: value for name, _, value in (entry.partition("=") for entry in given)}


def list_volumes(session: Session, options: Options, arguments: list[str]) -> int:
    answer = session.client.call("GET", "/volumes", query={"filters": filters_query(options.filter)})
    for warning in answer.get("Warnings") or ():
        err(f"WARNING: {warning}")
    found = answer.get("Volumes") or []
    if options.quiet and not options.format:
        out("".join(name + "\n" for name in sorted(volume["Name"] for volume in found)))
    else:
        show_volumes(found, options.format, quiet=options.quiet)
    return 0


_RAW = (("name", "Name"), ("driver", "Driver"))


def show_volumes(found: Sequence[dict[str, Any]], form: str, *, quiet: bool = False) -> None:
    """As a table or in another ``--format``, by name."""
    rows = [volume_row(volume) for volume in sorted(found, key=lambda volume: volume["Name"])]
    show(rows, [(_HEADERS[field], field) for field in ("Driver", "Name")], form, _HEADERS, _RAW[:1] if quiet else _RAW)


def volume_row(volume: dict[str, Any]) -> Row:
    from engine.cli.quantities import human_size

    usage = volume.get("UsageData") or {"RefCount": -1, "Size": -1}
    labels = volume.get("Labels") or {}
    return Row(
        Name=volume["Name"],
        Driver=volume.get("Driver", ""),
        Scope=volume.get("Scope", ""),
        Mountpoint=volume.get("Mountpoint", ""),
        Labels=labels_text(labels),
        Links="N/A" if usage["RefCount"] == -1 else str(usage["RefCount"]),
        Size="N/A" if usage["Size"] == -1 else human_size(usage["Size"]),
        Availability="N/A",
        Group="N/A",
        Status="N/A",
        Label=lambda name: labels.get(name, ""),
    )


def remove_volumes(session: Session, options: Options, arguments: list[str]) -> int:
    query, client = {"force": options.force}, session.client
    return for_each(arguments, lambda name: client.call("DELETE", path_of("volumes", name), query=query))


CREATE = Command(
    create_volume,
    "[OPTIONS] [VOLUME]",
    text("-d, --driver", "Specify volume driver name", "local"),
    listed("--label", "Set metadata for a volume"),
    text("--name", "Specify volume name (older form)"),
    listed("-o, --opt", "Set driver specific options", "map"),
    *refused(
        "it is for volumes of a cluster", "--group", "--limit-bytes", "--required-bytes", "--scope", "--secret",
        "--sharing", "--topology-preferred", "--topology-required", "--type",
    ),
    most=1,
    examples="docket volume create data\ndocket volume create --label team=web",
)
LIST = Command(
    list_volumes,
    "[OPTIONS]",
    filter_flag(help='Provide filter values (e.g. "dangling=true")'),
    format_flag(),
    switch("-q, --quiet", "Only display volume names"),
    most=0,
    examples="docket volume ls\ndocket volume ls -q --filter dangling=true",
)
REMOVE = Command(
    remove_volumes,
    "[OPTIONS] VOLUME [VOLUME...]",
    switch("-f, --force", "Force the removal of one or more volumes"),
    least=1,
    examples="docket volume rm data",
)
