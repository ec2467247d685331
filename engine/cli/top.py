"""``docket top``: the processes of a container as the host sees them."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options
from engine.cli.output import out
from engine.cli.session import Session
from engine.cli.table import layout
from engine.client.api import path_of

_COLUMN_WIDTH = 20


def show_processes(session: Session, options: Options, arguments: list[str]) -> int:
    container, *ps_options = arguments
    query = {"ps_args": " ".join(ps_options) or None}
    found = session.client.call("GET", path_of("containers", container, "top"), query=query)
    out(layout([found["Titles"], *(found.get("Processes") or ())], _COLUMN_WIDTH))
    return 0


TOP = Command(
    show_processes,
    "CONTAINER [ps OPTIONS]",
    least=1,
    interspersed=False,
    examples="docket top web\ndocket top web -o pid,args",
)
