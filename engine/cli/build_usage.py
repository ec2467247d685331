"""``docket builder du``: what the cache of builds takes on the disk."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, switch
from engine.cli.listing import Row, for_terminal, format_flag, short_id, shorten, show
from engine.cli.output import out
from engine.cli.quantities import ago, human_size
from engine.cli.session import Session
from engine.cli.table import layout
from engine.client.moments import moment_to_unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADERS = {
    "ID": "ID", "Reclaimable": "RECLAIMABLE", "Size": "SIZE", "LastAccessed": "LAST ACCESSED",
    "Description": "DESCRIPTION",
}  # fmt: skip
_SHOWN_CHARACTERS = 60


def show_cache(session: Session, options: Options, arguments: list[str]) -> int:
    records = session.client.call("GET", "/system/df", query={"type": "build-cache"})["BuildCache"]
    if options.verbose:
        out(for_terminal("\n".join(_details(record) for record in records)))
    else:
        rows = [_row(record, whole=options.no_trunc or bool(options.format)) for record in records]
        show(rows, [(_HEADERS[field], field) for field in _HEADERS], options.format, _HEADERS)
    if not options.format:
        out(totals(records))
    return 0


def is_reclaimable(record: dict[str, Any]) -> bool:
    return not record["InUse"] and not record["Shared"]


def _row(record: dict[str, Any], *, whole: bool) -> Row:
    description = record["Description"]
    return Row(
        ID=record["ID"] if whole else short_id(record["ID"]),
        Reclaimable="true" if is_reclaimable(record) else "false",
        Size=human_size(record["Size"], 4),
        LastAccessed=ago(float(moment_to_unix(record["LastUsedAt"]))),
        Description=description if whole else shorten(description, _SHOWN_CHARACTERS),
        Type=record["Type"],
        UsageCount=str(record["UsageCount"]),
        Shared=str(record["Shared"]).lower(),
    )


def _details(record: dict[str, Any]) -> str:
    fields = [
        ("ID:", record["ID"]), ("Created at:", record["CreatedAt"]), ("Last used:", record["LastUsedAt"]),
        ("Usage count:", str(record["UsageCount"])), ("Type:", record["Type"]),
        ("Shared:", str(record["Shared"]).lower()), ("In use:", str(record["InUse"]).lower()),
        ("Size:", human_size(record["Size"], 4)), ("Description:", record["Description"]),
    ]  # fmt: skip
    return layout(fields)


def totals(records: list[dict[str, Any]]) -> str:
    """What images hold as well is freed by no prune."""
    every = sum(record["Size"] for record in records)
    shared = sum(record["Size"] for record in records if record["Shared"])
    free = sum(record["Size"] for record in records if is_reclaimable(record))
    lines = [("Shared:", shared), ("Private:", every - shared), ("Reclaimable:", free), ("Total:", every)]
    return "".join(f"{title:<13} {human_size(size, 4)}\n" for title, size in lines)


BUILDER_DU = Command(
    show_cache,
    "[OPTIONS]",
    format_flag(),
    switch("--no-trunc", "Don't truncate output"),
    switch("--verbose", "Show all of each record"),
    most=0,
    examples="docket builder du\ndocket builder du --verbose",
)
