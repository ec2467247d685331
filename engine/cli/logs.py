"""``docket logs``: what a container has written, as it wrote it."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.output import STDERR, STDOUT, CommandError, write_all
from engine.cli.session import Session
from engine.client import framing
from engine.client.api import path_of
from engine.client.moments import moment_to_unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


def show_logs(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client
    found = client.inspect(arguments[0])
    query = {
        "stdout": True,
        "stderr": True,
        "follow": options.follow,
        "timestamps": options.timestamps,
        "details": options.details,
        "tail": options.tail,
        "since": moment(options.since, "since"),
        "until": moment(options.until, "until"),
    }
    response = client.stream("GET", path_of("containers", found["Id"], "logs"), query=query)
    frames = None if found["Config"]["Tty"] else framing.FrameReader()
    try:
        while piece := response.read_some():
            if frames is None:
                write_all(STDOUT, piece)
                continue
            for stream, payload in frames.feed(piece):
                write_all(STDERR if stream in (framing.STDERR, framing.SYSTEM_ERROR) else STDOUT, payload)
    finally:
        response.close()
    return 0


def moment(given: str, flag: str, read: Callable[[str], str] = moment_to_unix) -> str | None:
    """A moment of the command line as the engine takes it; None for none. Raises CommandError."""
    if not given:
        return None
    try:
        return read(given)
    except ValueError as error:
        raise CommandError(f'invalid value for "{flag}": {error}') from error


_MOMENTS = '(e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'
LOGS = Command(
    show_logs,
    "[OPTIONS] CONTAINER",
    switch("--details", "Show extra details provided to logs"),
    switch("-f, --follow", "Follow log output"),
    text("--since", f"Show logs since timestamp {_MOMENTS}"),
    text("-n, --tail", "Number of lines to show from the end of the logs", "all"),
    switch("-t, --timestamps", "Show timestamps"),
    text("--until", f"Show logs before a timestamp {_MOMENTS}"),
    least=1,
    most=1,
    examples="docket logs web\ndocket logs -f --tail 10 -t web\ndocket logs --since 10m web",
)
