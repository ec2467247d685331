"""``docket compose`` ls and version: what is not about one project."""

from __future__ import annotations

from engine import __version__
from engine.cli.compose.invocation import Invocation, Verb
from engine.cli.flags import Options, filter_by, switch, text
from engine.cli.output import CommandError, out
from engine.cli.table import layout
from engine.client import jsontext
from engine.compose import labels

_COLUMN_WIDTH = 20


def list_projects(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    if options.format not in ("table", "json"):
        raise CommandError(f'format value "{options.format}" could not be parsed: use table or json')
    query = {"all": options.all, "filters": {"label": {labels.PROJECT: True}}}
    projects: dict[str, list[dict[str, object]]] = {}
    for one in invocation.session.client.call("GET", "/containers/json", query=query):
        projects.setdefault(one["Labels"][labels.PROJECT], []).append(one)
    names = [name for name in sorted(projects) if all(wanted in name for wanted in options.filter)]
    if options.quiet:
        out("".join(f"{name}\n" for name in names))
        return 0
    rows = [(name, _status(projects[name]), _files(projects[name])) for name in names]
    if options.format == "json":
        out(jsontext.encode([dict(zip(("Name", "Status", "ConfigFiles"), row)) for row in rows]) + "\n")
    else:
        out(layout([("NAME", "STATUS", "CONFIG FILES"), *rows], _COLUMN_WIDTH))
    return 0


def _status(containers: list[dict[str, object]]) -> str:
    """"exited(1), running(2)"."""
    states = [str(one["State"]) for one in containers]
    return ", ".join(f"{state}({states.count(state)})" for state in sorted(set(states)))


def _files(containers: list[dict[str, object]]) -> str:
    found = [one["Labels"].get(labels.CONFIG_FILES, "") for one in containers]  # type: ignore[attr-defined]
    files = dict.fromkeys(file for text_found in found for file in text_found.split(",") if file)
    return ",".join(files) or "N/A"


def show_version(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    if options.short:
        out(f"{__version__}\n")
    elif options.format == "json":
        out(jsontext.encode({"version": f"v{__version__}"}) + "\n")
    elif options.format in ("", "pretty"):
        out(f"Docket Compose version v{__version__}\n")
    else:
        raise CommandError(f'unsupported format "{options.format}": use pretty or json')
    return 0


LIST = Verb(
    list_projects,
    "[OPTIONS]",
    switch("-a, --all", "Show all stopped Compose projects"),
    filter_by("name", "Filter output based on conditions provided"),
    text("--format", "Format the output. Values: [table | json]", "table"),
    switch("-q, --quiet", "Only display project names"),
    most=0,
)
VERSION = Verb(
    show_version,
    "[OPTIONS]",
    text("-f, --format", "Format the output. Values: [pretty | json]"),
    switch("--short", "Shows only the version number"),
    most=0,
)
