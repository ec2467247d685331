"""``docket start``: in the background, or with ``-a``/``-i`` in front of the user."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.client.api import Client, path_of
from engine.client.errors import APIError


def start_containers(session: Session, options: Options, arguments: list[str]) -> int:
    if not (options.attach or options.interactive):
        return _start_all(session.client, arguments)
    if len(arguments) > 1:
        raise CommandError("you cannot start and attach multiple containers at once")
    return _start_attached(session.client, arguments[0], options)


def _start_all(client: Client, names: list[str]) -> int:
    failed = []
    for name in names:
        try:
            client.call("POST", path_of("containers", name, "start"))
        except APIError as error:
            err(f"Error response from daemon: {error}")
            failed.append(name)
        else:
            out(name + "\n")
    if failed:
        raise CommandError(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(client: Client, name: str, options: Options) -> int:
    from engine.cli.foreground import Foreground
    from engine.cli.run import exit_status

    found = client.inspect(name)
    id, config = found["Id"], found["Config"]
    stdin = options.interactive and config.get("OpenStdin", False)
    front = Foreground(client, id, tty=config["Tty"], stdin=stdin, detach_keys=options.detach_keys)
    with front.signals(enabled=options.sig_proxy and not config["Tty"]) as signals:
        streams = front.attach(["stdout", "stderr", *(["stdin"] if stdin else [])])
        goes = (found.get("HostConfig") or {}).get("AutoRemove", False)
        wait = {"condition": "removed" if goes else "next-exit"}
        ended = client.stream("POST", path_of("containers", id, "wait"), query=wait)
        try:
            client.call("POST", path_of("containers", id, "start"))
        except APIError:
            streams.close()
            raise
        signals.started()
        return exit_status(ended) if front.carry(streams) else 0


START = Command(
    start_containers,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    switch("-a, --attach", "Attach STDOUT/STDERR and forward signals"),
    text("--detach-keys", "Override the key sequence for detaching a container"),
    switch("-i, --interactive", "Attach container's STDIN"),
    switch("--sig-proxy", "Proxy all received signals to the process", default=True),
    least=1,
    examples="docket start web\ndocket start -a -i shell",
)
