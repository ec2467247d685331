"""``docket search``: what an index knows of images."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, integer, switch
from engine.cli.listing import Row, filter_flag, filters_query, format_flag, shorten, show
from engine.cli.output import printable
from engine.cli.pull import auth_of
from engine.cli.session import Session
from engine.client import jsontext

_HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}
_DESCRIPTION_COLUMNS = 45


def search(session: Session, options: Options, arguments: list[str]) -> int:
    (term,) = arguments
    query = {"term": term, "limit": options.limit or None, "filters": filters_query(options.filter)}
    response = session.client.stream("GET", "/images/search", query=query, headers=auth_of(term))
    found = jsontext.decode(response.read())
    response.close()
    rows = []
    for one in found:
        description = printable(" ".join((one.get("description") or "").split()))
        rows.append(
            Row(
                Name=printable(one["name"]),
                Description=description if options.no_trunc else shorten(description, _DESCRIPTION_COLUMNS),
                StarCount=str(one.get("star_count", 0)),
                IsOfficial="[OK]" if one.get("is_official") else "",
                IsAutomated="[OK]" if one.get("is_automated") else "",
            )
        )
    show(rows, [(title, field) for field, title in _HEADERS.items()], options.format, _HEADERS)
    return 0


SEARCH = Command(
    search,
    "[OPTIONS] TERM",
    filter_flag(),
    format_flag(),
    integer("--limit", "Max number of search results", 0),
    switch("--no-trunc", "Don't truncate output"),
    least=1,
    most=1,
    examples="docket search alpine\ndocket search --filter is-official=true --limit 5 nginx",
)
