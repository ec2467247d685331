"""``docket compose`` ps, port, top and stats."""

from __future__ import annotations

from engine.cli.compose.invocation import Invocation, Verb
from engine.cli.compose.scene import Scene
from engine.cli.containers import container_row
from engine.cli.flags import Flag, Options, filter_by, integer, listed, switch, text
from engine.cli.listing import Row, format_flag, show
from engine.cli.output import CommandError, out
from engine.cli.table import layout
from engine.client import jsontext
from engine.client.api import path_of
from engine.compose.running.actual import Container, exit_code_in, health_in, list_containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_HEADERS = {
    "ID": "CONTAINER ID", "Name": "NAME", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND",
    "Project": "PROJECT", "Service": "SERVICE", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
    "Status": "STATUS", "State": "STATE", "Health": "HEALTH", "ExitCode": "EXIT CODE", "Ports": "PORTS",
    "Publishers": "PUBLISHERS", "Size": "SIZE", "Labels": "LABELS", "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS", "Networks": "NETWORKS",
}  # fmt: skip
_COLUMNS = ("Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports")
_STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")


def show_containers(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    states = [*options.status, *options.filter]
    for state in states:
        if state not in _STATES:
            raise CommandError(f'unknown status "{state}": use one of {", ".join(_STATES)}')
    with Scene(invocation, "ps", arguments) as scene:
        containers = _chosen(scene, options, arguments, states)
        if options.quiet:
            out("".join(f"{one.id}\n" for one in containers))
        elif options.services:
            out("".join(f"{name}\n" for name in dict.fromkeys(one.service for one in containers)))
        else:
            _show_rows(scene, options, containers)
    return 0


def _chosen(scene: Scene, options: Options, arguments: list[str], states: Sequence[str]) -> list[Container]:
    found = scene.containers(arguments, one_off=options.all)
    if not options.orphans:
        found = [one for one in found if one.service in scene.any_project.model["services"]]
    if states:
        return [one for one in found if one.state in states]
    return found if options.all else [one for one in found if one.up]


def _show_rows(scene: Scene, options: Options, containers: Sequence[Container]) -> None:
    summaries = {one["Id"]: one for one in list_containers(scene.client, scene.any_project.name)}
    rows = [
        _row(one, summaries[one.id], scene.any_project.name, whole=options.no_trunc)
        for one in containers if one.id in summaries
    ]  # fmt: skip
    if options.format == "json":
        out("".join(jsontext.encode({k: v for k, v in row.items() if not callable(v)}) + "\n" for row in rows))
        return
    show(rows, [(_HEADERS[field], field) for field in _COLUMNS], options.format, _HEADERS)


def _row(one: Container, summary: dict[str, Any], project: str, *, whole: bool) -> Row:
    row = container_row(summary, whole=whole, with_virtual=False)
    row.pop("Platform")
    status = summary.get("Status") or ""
    row.update(
        Name=one.name,
        Names=one.name,
        Project=project,
        Service=one.service,
        Health=health_in(status),
        ExitCode=exit_code_in(status) or 0,
        Publishers=[_publisher(port) for port in summary.get("Ports") or ()],
    )
    return row


def _publisher(port: dict[str, Any]) -> dict[str, Any]:
    return {
        "URL": port.get("IP", ""), "TargetPort": port.get("PrivatePort", 0),
        "PublishedPort": port.get("PublicPort", 0), "Protocol": port.get("Type", "tcp"),
    }  # fmt: skip


def show_port(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    service, text_given = arguments
    if not text_given.isdecimal():
        raise CommandError(f'invalid port "{text_given}": a number is expected')
    with Scene(invocation, "port", [service]) as scene:
        one = scene.running_container(service, options.index)
        found = scene.client.inspect(one.id)
        published = (found.get("NetworkSettings") or {}).get("Ports") or {}
        key = f"{text_given}/{options.protocol.lower()}"
        places = published.get(key)
        if not places:
            others = ", ".join(
                f"{place['HostPort']}->{port}" for port, each in published.items() for place in each or ()
            )
            raise CommandError(f"no port {key} for container {one.name}" + (f": {others}" if others else ""))
        address = places[0]["HostIp"]
        out(f"{f'[{address}]' if ':' in address else address}:{places[0]['HostPort']}\n")
    return 0


def show_processes(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "top", arguments) as scene:
        rows: list[list[str]] = []
        titles: list[str] = []
        for one in scene.containers(arguments, one_off=True):
            if one.state != "running":
                continue
            found = scene.client.call("GET", path_of("containers", one.id, "top"))
            titles = titles or found["Titles"]
            number = "" if one.one_off else str(one.number)
            rows += [[one.service, number, *process] for process in found.get("Processes") or ()]
        if rows:
            out(layout([["SERVICE", "#", *titles], *rows], 4, 2))
    return 0


def show_stats(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    from engine.cli import stats
    from engine.cli.compose.borrowed import Borrowed

    with Scene(invocation, "stats", arguments) as scene:
        ids = [one.id for one in scene.containers(arguments) if options.all or one.up]
        if not ids:
            raise CommandError("no container is running" if not options.all else "there are no containers")
        return stats.show_stats(Borrowed(scene), options, ids)


def index_flag() -> Flag:
    return integer("--index", "Index of the container if service has multiple replicas")


PS = Verb(
    show_containers,
    "[OPTIONS] [SERVICE...]",
    switch("-a, --all", "Show all stopped containers (including those created by the run command)"),
    filter_by("status", "Filter services by a property (supported filters: status)", "string"),
    format_flag(),
    switch("--no-trunc", "Don't truncate output"),
    switch("--orphans", "Include orphaned services (not declared by project)", default=True),
    switch("-q, --quiet", "Only display IDs"),
    switch("--services", "Display services"),
    listed("--status", f"Filter services by status. Values: [{' | '.join(_STATES)}]"),
    examples="docket compose ps -a\ndocket compose ps --format '{{.Name}}: {{.Status}}'",
)
PORT = Verb(
    show_port,
    "[OPTIONS] SERVICE PRIVATE_PORT",
    index_flag(),
    text("--protocol", "tcp or udp", "tcp"),
    least=2,
    most=2,
    examples="docket compose port web 80",
)
TOP = Verb(show_processes, "[SERVICES...]")
STATS = Verb(
    show_stats,
    "[OPTIONS] [SERVICE...]",
    switch("-a, --all", "Show all containers (default shows just running)"),
    format_flag(),
    switch("--no-stream", "Disable streaming stats and only pull the first result"),
    switch("--no-trunc", "Do not truncate output"),
)
