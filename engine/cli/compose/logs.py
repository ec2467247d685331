"""``docket compose`` logs and events."""

from __future__ import annotations

import os
import time

from engine.cli.compose.invocation import Invocation, Verb
from engine.cli.compose.log_lines import LogPrinter
from engine.cli.compose.outputs import Outputs
from engine.cli.compose.scene import Scene
from engine.cli.flags import Options, integer, switch, text
from engine.cli.logs import moment
from engine.cli.output import STDOUT, out, printable
from engine.client import jsontext
from engine.compose import labels
from engine.compose.running.names import log_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show_logs(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "logs", arguments) as scene:
        containers = [
            one for one in scene.containers(arguments, one_off=not arguments)
            if one.state != "created" and options.index in (0, one.number)
        ]  # fmt: skip
        names = {one.id: log_name(scene.any_project.name, one.name) for one in containers}
        printer = LogPrinter(
            names.values(), colour=not options.no_color and invocation.ansi != "never", prefix=not options.no_log_prefix
        )
        outputs = Outputs(scene.operations.make_client, printer)
        query = {
            "tail": options.tail,
            "timestamps": options.timestamps,
            "since": moment(options.since, "since"),
            "until": moment(options.until, "until"),
        }
        for one in containers:
            if options.follow:
                outputs.follow(one.id, names[one.id], query)
            else:
                outputs.print_logs(scene.operations.make_client(), one.id, names[one.id], query)
        outputs.join()
    return 0


def show_events(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "events", arguments) as scene:
        project = scene.any_project
        query = {
            "filters": {"type": ["container"], "label": [f"{labels.PROJECT}={project.name}"]},
            "since": moment(options.since, "since"),
            "until": moment(options.until, "until"),
        }
        response = scene.client.stream("GET", "/events", query=query)
        try:
            for line in response.lines():
                event = jsontext.decode(line)
                attributes = event["Actor"].get("Attributes") or {}
                service = attributes.get(labels.SERVICE, "")
                if attributes.get(labels.ONE_OFF) == labels.TRUE or (arguments and service not in arguments):
                    continue
                out(_event_json(event, service) if options.json else _event_line(event))
        finally:
            response.close()
    return 0


def _own_attributes(event: dict[str, Any]) -> dict[str, str]:
    attributes = event["Actor"].get("Attributes") or {}
    hidden = (labels.PREFIX, labels.SERVICE_DOCUMENT)
    return {name: value for name, value in sorted(attributes.items()) if not name.startswith(hidden)}


def _event_line(event: dict[str, Any]) -> str:
    seconds, nanoseconds = divmod(event["timeNano"], 10**9)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    shown = ", ".join(f"{name}={value}" for name, value in _own_attributes(event).items())
    line = f"{stamp}.{nanoseconds // 1000:06d} {event['Type']} {event['Action']} {event['Actor']['ID']} ({shown})"
    return printable(line) + "\n"


def _event_json(event: dict[str, Any], service: str) -> str:
    seconds, nanoseconds = divmod(event["timeNano"], 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    shown = {
        "action": event["Action"], "attributes": _own_attributes(event), "id": event["Actor"]["ID"],
        "service": service, "time": f"{stamp}.{nanoseconds:09d}Z", "type": event["Type"],
    }  # fmt: skip
    return jsontext.encode(shown, ascii_only=os.isatty(STDOUT)) + "\n"


LOGS = Verb(
    show_logs,
    "[OPTIONS] [SERVICE...]",
    switch("-f, --follow", "Follow log output"),
    integer("--index", "Index of the container if service has multiple replicas"),
    switch("--no-color", "Produce monochrome output"),
    switch("--no-log-prefix", "Don't print prefix in logs"),
    text("--since", "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"),
    text("-n, --tail", "Number of lines to show from the end of the logs for each container", "all"),
    switch("-t, --timestamps", "Show timestamps"),
    text("--until", "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"),
    examples="docket compose logs -f --tail 10 web",
)
EVENTS = Verb(
    show_events,
    "[OPTIONS] [SERVICE...]",
    switch("--json", "Output events as a stream of json objects"),
    text("--since", "Show all events created since timestamp"),
    text("--until", "Stream events until this timestamp"),
    examples="docket compose events --json --since 1h --until 0s",
)
