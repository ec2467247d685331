"""``docket history``: how an image came to be, newest step first."""

from __future__ import annotations

from engine.cli import quantities
from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.listing import Row, format_flag, short_id, shorten, show
from engine.cli.output import out
from engine.cli.session import Session
from engine.client.api import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADERS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE",
    "Comment": "COMMENT",
}  # fmt: skip
_COMMAND_WIDTH = 45


def show_history(session: Session, options: Options, arguments: list[str]) -> int:
    query = {"platform": options.platform or None}
    steps = session.client.call("GET", path_of("images", arguments[0], "history"), query=query)
    if options.quiet and not options.format:
        ids = [step["Id"] for step in steps]
        out("".join((id if options.no_trunc else short_id(id)) + "\n" for id in ids))
        return 0
    rows = [_row(step, whole=options.no_trunc, human=options.human) for step in steps]
    fields = ("ID", "CreatedSince" if options.human else "CreatedAt", "CreatedBy", "Size", "Comment")
    show(rows, [(_HEADERS[field], field) for field in fields], options.format, _HEADERS)
    return 0


def _row(step: dict[str, Any], *, whole: bool, human: bool) -> Row:
    created_by = step.get("CreatedBy", "").replace("\t", " ")
    size = step.get("Size", 0)
    return Row(
        ID=step["Id"] if whole else short_id(step["Id"]),
        CreatedAt=_rfc3339(step["Created"]),
        CreatedSince=quantities.ago(step["Created"]) if step["Created"] > 0 else "N/A",
        CreatedBy=created_by if whole else shorten(created_by, _COMMAND_WIDTH),
        Size=quantities.human_size(size) if human else str(size),
        Comment=step.get("Comment", ""),
    )


def _rfc3339(unix_s: int) -> str:
    import time

    moment = time.localtime(unix_s)
    zone = time.strftime("%z", moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


HISTORY = Command(
    show_history,
    "[OPTIONS] IMAGE",
    format_flag(),
    switch("-H, --human", "Print sizes and dates in human readable format", default=True),
    switch("--no-trunc", "Don't truncate output"),
    text("--platform", "Show the history only if the image is for this platform, as linux/arm64"),
    switch("-q, --quiet", "Only show image IDs"),
    least=1,
    most=1,
    examples="docket history base\ndocket history --no-trunc --format '{{.CreatedBy}}' base",
)
