"""``docket compose run``: one more container of a service, with another command, for one purpose."""

from __future__ import annotations

import os

from engine.cli.compose.invocation import DRY_RUN, Invocation, Verb
from engine.cli.compose.progress import progress_for
from engine.cli.compose.scene import Scene
from engine.cli.create_network import published
from engine.cli.environment import environment
from engine.cli.flags import Options, listed, switch, text
from engine.cli.foreground import Foreground
from engine.cli.output import CommandError, out
from engine.cli.run import exit_status
from engine.client.api import path_of
from engine.client.errors import APIError
from engine.compose.running.desired import desired_state
from engine.compose.running.one_off import OneOff, create_one_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    service, *command = arguments
    progress = progress_for(
        invocation.progress, invocation.ansi, quiet_pull=options.quiet_pull or options.quiet,
        quiet_build=options.quiet_build or options.quiet,
    )  # fmt: skip
    with Scene(invocation, "run", [service], progress=progress) as scene:
        desired = desired_state(scene.project, (service,), with_needs=not options.no_deps)
        pull = "" if options.pull == "policy" else options.pull
        images = scene.operations.prepare_images(desired, pull=pull, build=options.build)
        scene.operations.up_for(service, desired, images, remove_orphans=options.remove_orphans)
        if invocation.dry_run:
            return 0
        wanted = _one_off(options, command)
        container_id = create_one_off(scene.client, desired, desired.services[service], wanted, images)
        scene.progress.close()
        return _run(scene, container_id, wanted, options)


def _one_off(options: Options, command: list[str]) -> OneOff:
    tty = not (options.no_tty or options.no_TTY) and os.isatty(0) and os.isatty(1)
    return OneOff(
        name=options.name,
        command=command,
        entrypoint=options.entrypoint if "entrypoint" in options.given else None,
        environment=environment(options.env_from_file, options.env),
        labels=dict(entry.partition("=")[::2] for entry in options.label),
        user=options.user,
        working_dir=options.workdir,
        volumes=list(options.volume),
        ports=[pair for given in options.publish for pair in published(given)],
        service_ports=options.service_ports,
        use_aliases=options.use_aliases,
        remove=options.rm,
        cap_add=list(options.cap_add),
        cap_drop=list(options.cap_drop),
        stdin=options.interactive,
        tty=tty,
    )


def _run(scene: Scene, container_id: str, wanted: OneOff, options: Options) -> int:
    client = scene.client
    if options.detach:
        client.call("POST", path_of("containers", container_id, "start"))
        out(container_id + "\n")
        return 0
    front = Foreground(client, container_id, tty=wanted.tty, stdin=wanted.stdin, detach_keys="")
    with front.signals(enabled=not wanted.tty) as signals:
        streams = front.attach(["stdout", "stderr", *(["stdin"] if wanted.stdin else [])])
        query = {"condition": "removed" if wanted.remove else "next-exit"}
        ended = client.stream("POST", path_of("containers", container_id, "wait"), query=query)
        try:
            client.call("POST", path_of("containers", container_id, "start"))
        except APIError as error:
            streams.close()
            if wanted.remove:
                _discard(client, container_id)
            raise CommandError(f"Error response from daemon: {error}", 1) from error
        signals.started()
        return exit_status(ended) if front.carry(streams) else 0


def _discard(client: Any, container_id: str) -> None:
    try:
        client.call("DELETE", path_of("containers", container_id), query={"force": True, "v": True})
    except APIError:
        return  # the engine has done it already


RUN = Verb(
    run,
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    DRY_RUN,
    switch("--build", "Build image before starting container"),
    listed("--cap-add", "Add Linux capabilities"),
    listed("--cap-drop", "Drop Linux capabilities"),
    switch("-d, --detach", "Run container in background and print container ID"),
    text("--entrypoint", "Override the entrypoint of the image"),
    listed("-e, --env", "Set environment variables"),
    listed("--env-from-file", "Set environment variables from file"),
    switch("-i, --interactive", "Keep STDIN open even if not attached", default=True),
    listed("-l, --label", "Add or override a label"),
    text("--name", "Assign a name to the container"),
    switch("-T, --no-tty", "Disable pseudo-TTY allocation (default: auto-detected)"),
    switch("--no-TTY", "The same as --no-tty"),
    switch("--no-deps", "Don't start linked services"),
    listed("-p, --publish", "Publish a container's port(s) to the host"),
    text("--pull", 'Pull image before running ("always"|"missing"|"never")', "policy"),
    switch("-q, --quiet", "Don't print anything about images"),
    switch("--quiet-build", "Suppress progress output from the build process"),
    switch("--quiet-pull", "Pull without printing progress information"),
    switch("--remove-orphans", "Remove containers for services not defined in the Compose file"),
    switch("--rm", "Automatically remove the container when it exits"),
    switch("-P, --service-ports", "Run command with all service's ports enabled and mapped to the host"),
    switch("--use-aliases", "Use the service's network aliases in the network(s) the container connects to"),
    text("-u, --user", "Run as specified username or uid"),
    listed("-v, --volume", "Bind mount a volume"),
    text("-w, --workdir", "Working directory inside the container"),
    least=1,
    interspersed=False,
    examples="docket compose run --rm web sh\ndocket compose run --rm --no-deps web env",
)
