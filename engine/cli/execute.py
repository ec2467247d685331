"""``docket exec``: one more process in a running container."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.environment import environment
from engine.cli.flags import Options, listed, switch, text
from engine.cli.output import CommandError
from engine.cli.session import Session
from engine.client.api import Client, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RESIZE_ATTEMPTS = 5
_NEVER_RAN = 126
"""The status where the engine knows of no end: it has said why on standard error."""


def execute(session: Session, options: Options, arguments: list[str]) -> int:
    """The exit status of the process; 0 at once with ``--detach``."""
    container, *command = arguments
    client = session.client
    if options.tty and options.interactive and not options.detach and not os.isatty(0):
        raise CommandError("the input device is not a TTY")
    body = _body(options, command)
    id = client.call("POST", path_of("containers", container, "exec"), body)["Id"]
    if options.detach:
        client.call("POST", path_of("exec", id, "start"), {"Detach": True, "Tty": options.tty})
        return 0
    ended = _carry(client, id, options)
    if not ended:
        return 0
    status = client.call("GET", path_of("exec", id, "json"))["ExitCode"]
    return _NEVER_RAN if status is None else status


def _body(options: Options, command: list[str]) -> dict[str, Any]:
    attached = not options.detach
    body: dict[str, Any] = {
        "AttachStdin": attached and options.interactive,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Cmd": command,
        "Detach": options.detach,
        "Tty": options.tty,
        "Privileged": options.privileged,
    }
    body.update({
        "User": options.user,
        "WorkingDir": options.workdir,
        "Env": environment(options.env_file, options.env),
        "DetachKeys": options.detach_keys,
    })  # fmt: skip
    return {name: value for name, value in body.items() if value not in ("", [])}


def _carry(client: Client, id: str, options: Options) -> bool:
    """Start it and carry its streams; False if the user detached."""
    from engine.cli.streams import Streams

    response = client.hijack(path_of("exec", id, "start"), {"Detach": False, "Tty": options.tty})
    if not options.tty:
        return Streams(response, framed=True, stdin=options.interactive).carry()
    from engine.cli.foreground import Nothing, resize_terminal
    from engine.cli.signals import Resizing
    from engine.cli.terminal import DetachKeys, RawMode, parse_detach_keys

    path = path_of("exec", id, "resize")
    keys = DetachKeys(parse_detach_keys(options.detach_keys)) if options.interactive else None
    with RawMode() if options.interactive else Nothing(), Resizing(lambda: resize_terminal(client, path)):
        resize_terminal(client, path, _RESIZE_ATTEMPTS)
        return Streams(response, framed=False, stdin=options.interactive, detach=keys).carry()


EXEC = Command(
    execute,
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    switch("-d, --detach", "Detached mode: run command in the background"),
    text("--detach-keys", "Override the key sequence for detaching a container"),
    listed("-e, --env", "Set environment variables"),
    listed("--env-file", "Read in a file of environment variables"),
    switch("-i, --interactive", "Keep STDIN open even if not attached"),
    switch("--privileged", "Give extended privileges to the command"),
    switch("-t, --tty", "Allocate a pseudo-TTY"),
    text("-u, --user", "Username or UID (format: <name|uid>[:<group|gid>])"),
    text("-w, --workdir", "Working directory inside the container"),
    least=2,
    interspersed=False,
    examples="""
docket exec web cat /proc/self/cgroup
echo hi | docket exec -i web cat
docket exec -u 1000 -w /tmp web pwd
""",
)
