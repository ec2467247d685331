"""Commands that move containers from one state to another: stop, restart, kill, pause, unpause, rename, rm, wait."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, integer, switch, text
from engine.cli.outcomes import for_each
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.client.api import path_of
from engine.client.errors import APIError

_NAMES = "CONTAINER [CONTAINER...]"
_NOT_FOUND = 404


def stop_containers(session: Session, options: Options, arguments: list[str]) -> int:
    return _stop(session, options, arguments, "stop")


def restart_containers(session: Session, options: Options, arguments: list[str]) -> int:
    return _stop(session, options, arguments, "restart")


def _stop(session: Session, options: Options, names: list[str], action: str) -> int:
    timeout_s = options.timeout if options.timeout is not None else options.time
    query = {"t": timeout_s, "signal": options.signal or None}
    client = session.client
    return for_each(names, lambda name: client.call("POST", path_of("containers", name, action), query=query))


def kill_containers(session: Session, options: Options, arguments: list[str]) -> int:
    query = {"signal": options.signal or None}
    client = session.client
    return for_each(arguments, lambda name: client.call("POST", path_of("containers", name, "kill"), query=query))


def pause_containers(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client
    return for_each(arguments, lambda name: client.call("POST", path_of("containers", name, "pause")))


def unpause_containers(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client
    return for_each(arguments, lambda name: client.call("POST", path_of("containers", name, "unpause")))


def rename_container(session: Session, options: Options, arguments: list[str]) -> int:
    old, new = (word.strip() for word in arguments)
    if not old or not new:
        raise CommandError("Error: Neither old nor new names may be empty")
    session.client.call("POST", path_of("containers", old, "rename"), query={"name": new})
    return 0


def remove_containers(session: Session, options: Options, arguments: list[str]) -> int:
    """With ``--force`` a container that is gone already is no failure."""
    query = {"force": options.force, "v": options.volumes, "link": options.link}
    status = 0
    for name in arguments:
        try:
            session.client.call("DELETE", path_of("containers", name.removeprefix("/")), query=query)
        except APIError as error:
            err(f"Error response from daemon: {error}")
            if not (options.force and error.status == _NOT_FOUND):
                status = 1
        else:
            out(f"{name}\n")
    return status


def wait_containers(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client

    def wait(name: str) -> int:
        ended = client.call("POST", path_of("containers", name, "wait"))
        if message := (ended.get("Error") or {}).get("Message"):
            raise APIError(500, message)
        return ended["StatusCode"]

    return for_each(arguments, wait)


_GRACE = (
    text("-s, --signal", "Signal to send to the container"),
    integer("-t, --timeout", "Seconds to wait before killing the container", None),
    integer("--time", "Seconds to wait before killing the container (older name of --timeout)", None),
)
STOP = Command(
    stop_containers, f"[OPTIONS] {_NAMES}", *_GRACE, least=1, examples="docket stop web\ndocket stop -t 2 web 3f2a"
)
RESTART = Command(restart_containers, f"[OPTIONS] {_NAMES}", *_GRACE, least=1, examples="docket restart -t 2 web")
KILL = Command(
    kill_containers,
    f"[OPTIONS] {_NAMES}",
    text("-s, --signal", "Signal to send to the container (default: KILL)"),
    least=1,
    examples="docket kill web\ndocket kill -s HUP web",
)
PAUSE = Command(pause_containers, _NAMES, least=1, examples="docket pause web")
UNPAUSE = Command(unpause_containers, _NAMES, least=1, examples="docket unpause web")
RENAME = Command(rename_container, "CONTAINER NEW_NAME", least=2, most=2, examples="docket rename web web-old")
REMOVE = Command(
    remove_containers,
    f"[OPTIONS] {_NAMES}",
    switch("-f, --force", "Force the removal of a running container (uses SIGKILL)"),
    switch("-l, --link", "Remove the specified link"),
    switch("-v, --volumes", "Remove anonymous volumes associated with the container"),
    least=1,
    examples="docket rm web\ndocket rm -f -v web db",
)
WAIT = Command(wait_containers, _NAMES, least=1, examples="docket wait web")
