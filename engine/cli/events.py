"""``docket events``: what happens, as it happens, or what has happened."""

from __future__ import annotations

import time

from engine.cli.command import Command
from engine.cli.flags import Options, text
from engine.cli.listing import filter_flag, filters_query, for_terminal, format_flag
from engine.cli.logs import moment
from engine.cli.output import out, printable
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.moments import place_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def show_events(session: Session, options: Options, arguments: list[str]) -> int:
    show = _shown_as(options.format)
    query = {
        "since": moment(options.since, "since", place_of),
        "until": moment(options.until, "until", place_of),
        "filters": filters_query(options.filter),
    }
    response = session.client.stream("GET", "/events", query=query)
    try:
        for line in response.lines():
            out(show(line.decode("utf-8", "replace")))
    finally:
        response.close()
    return 0


def _shown_as(format: str) -> Callable[[str], str]:
    """From a line of the stream to what is printed."""
    if not format:
        return lambda line: event_line(jsontext.decode(line)) + "\n"
    if format in ("json", "{{json .}}"):  # as the engine has it, without names of old
        return lambda line: line + "\n"
    from engine.cli.template import parse_format

    template, _ = parse_format(format)
    return lambda line: for_terminal(template.execute(_with_legacy_fields(jsontext.decode(line))) + "\n")


def _with_legacy_fields(event: dict[str, Any]) -> dict[str, Any]:
    """The names from before API 1.22, which templates of old still use; newer engines leave them out."""
    actor = event.get("Actor") or {}
    return {
        "ID": actor.get("ID"), "id": actor.get("ID"), "Status": event.get("Action"), "status": event.get("Action"),
        "From": (actor.get("Attributes") or {}).get("image"), "TimeNano": event.get("timeNano"),
        "Time": event.get("time"), "Scope": event.get("scope"), **event,
    }  # fmt: skip


def event_line(event: dict[str, Any]) -> str:
    """"2006-01-02T15:04:05.000000000Z container start 3f2a... (image=base, name=web)"."""
    seconds, nanoseconds = divmod(event["timeNano"], 1_000_000_000)
    moment_of = time.localtime(seconds)
    zone = time.strftime("%z", moment_of)
    shown_zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    line = (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment_of)}.{nanoseconds:09d}{shown_zone} "
        f"{event['Type']} {event['Action']} {actor.get('ID', '')}"
    )
    return printable(f"{line} ({attributes})" if attributes else line)


EVENTS = Command(
    show_events,
    "[OPTIONS]",
    filter_flag(),
    format_flag("Format output: 'json', or a Go TEMPLATE, as in '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'"),
    text("--since", "Show all events created since timestamp, or from 'seq:NUMBER' of the log on"),
    text("--until", "Stream events until this timestamp, or up to 'seq:NUMBER'"),
    most=0,
    examples="""
docket events --since 1h --until 0s --filter type=container
docket events --filter event=die --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}'
docket events --since "seq:$(cat last)" --format '{{index .Actor.Attributes "docket.seq"}} {{.Action}}'
""",
)
