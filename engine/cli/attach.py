"""``docket attach``: a running container's streams, in front of the user again."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.foreground import Foreground
from engine.cli.output import CommandError
from engine.cli.run import exit_status
from engine.cli.session import Session
from engine.client.api import path_of


def attach_container(session: Session, options: Options, arguments: list[str]) -> int:
    """The container's exit status if it ends meanwhile."""
    client = session.client
    found = client.inspect(arguments[0])
    id, config, state = found["Id"], found["Config"], found["State"]
    if not state["Running"]:
        raise CommandError("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandError("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandError("You cannot attach to a restarting container, wait until it is running")
    stdin = not options.no_stdin and config.get("OpenStdin", False)
    if config["Tty"] and stdin and not os.isatty(0):
        raise CommandError("the input device is not a TTY")
    front = Foreground(client, id, tty=config["Tty"], stdin=stdin, detach_keys=options.detach_keys)
    with front.signals(enabled=options.sig_proxy and not config["Tty"]) as signals:
        signals.started()
        ended = client.stream("POST", path_of("containers", id, "wait"))
        streams = front.attach(["stdout", "stderr", *(["stdin"] if stdin else [])])
        return exit_status(ended) if front.carry(streams) else 0


ATTACH = Command(
    attach_container,
    "[OPTIONS] CONTAINER",
    text("--detach-keys", "Override the key sequence for detaching a container"),
    switch("--no-stdin", "Do not attach STDIN"),
    switch("--sig-proxy", "Proxy all received signals to the process", default=True),
    least=1,
    most=1,
    examples="docket attach web\ndocket attach --no-stdin --sig-proxy=false web",
)
