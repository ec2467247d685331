"""``docket compose`` exec, attach, cp, commit, export and wait: the plain commands on a service's container."""

from __future__ import annotations

import os

from engine.cli import attach as plain_attach
from engine.cli import changes as plain_changes
from engine.cli import copy as plain_copy
from engine.cli import execute as plain_execute
from engine.cli.compose.borrowed import Borrowed
from engine.cli.compose.invocation import Invocation, Verb
from engine.cli.compose.ps import index_flag
from engine.cli.compose.scene import Scene
from engine.cli.flags import Options, listed, switch, text
from engine.cli.output import CommandError, out
from engine.client.api import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from engine.client.connection import Response
    from engine.compose.running.actual import Container


def execute(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    service, *command = arguments
    with Scene(invocation, "exec", [service]) as scene:
        one = scene.running_container(service, options.index)
        _complete(options, tty=not options.no_tty and os.isatty(0) and os.isatty(1), env_file=[], detach_keys="")
        return plain_execute.execute(Borrowed(scene, service), options, [one.id, *command])


def _complete(options: Options, **more: object) -> None:
    """What the plain command's flags would have set, too."""
    vars(options).update(more)


def attach(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    (service,) = arguments
    with Scene(invocation, "attach", arguments) as scene:
        one = scene.running_container(service, options.index)
        return plain_attach.attach_container(Borrowed(scene, service), options, [one.id])


def copy(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    """``SERVICE:PATH`` on one side; into a service it goes to all of its containers, unless one is meant."""
    names = [plain_copy.split(argument)[0] for argument in arguments]
    if all(names) or not any(names):
        raise CommandError("copying between services is not supported" if all(names) else "unknown copy direction")
    service = names[0] or names[1]
    _complete(options, quiet=True)
    with Scene(invocation, "cp", [service]) as scene:
        found = [
            one for one in scene.containers(one_off=options.all)
            if one.service == service and options.index in (0, one.number)
        ]  # fmt: skip
        if not found:
            raise CommandError(f'no container found for service "{service}"')
        if names[0]:
            del found[1:]
        for one in found:
            given = [
                f"{one.id}:{plain_copy.split(argument)[1]}" if name else argument
                for name, argument in zip(names, arguments)
            ]
            plain_copy.copy(Borrowed(scene, service), options, given)
    return 0


def commit(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    service, *reference = arguments
    with Scene(invocation, "commit", [service]) as scene:
        return plain_changes.commit(
            Borrowed(scene, service), options, [scene.container(service, options.index).id, *reference]
        )


def export(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    (service,) = arguments
    with Scene(invocation, "export", arguments) as scene:
        return plain_copy.export(Borrowed(scene, service), options, [scene.container(service, options.index).id])


def wait(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    """The exit code of the container that ended first."""
    from engine.cli.run import exit_status

    with Scene(invocation, "wait", arguments) as scene:
        found = scene.containers(arguments)
        if not found:
            raise CommandError(f'no containers for project "{scene.any_project.name}"')
        waits = [(one, scene.client.stream("POST", path_of("containers", one.id, "wait"))) for one in found]
        code = 0
        for number, (one, answer) in enumerate(_as_they_end(waits)):
            status = exit_status(answer)
            out(f'container "{one.id}" exited with status code {status}\n')
            code = code if number else status
            if options.down_project:
                from engine.compose.running.plan_down import DownOptions

                scene.operations.down((), DownOptions())
                break
    return code


def _as_they_end(waits: list[tuple[Container, Response]]) -> Iterator[tuple[Container, Response]]:
    """Pairs of container and answer, as the answers come."""
    import select

    poll = select.poll()
    by_fd = {answer.connection.fileno(): (one, answer) for one, answer in waits}
    for fd, (_, answer) in list(by_fd.items()):
        if answer.connection.has_early_bytes:
            yield by_fd.pop(fd)
        else:
            poll.register(fd, select.POLLIN)
    while by_fd:
        for fd, _ in poll.poll():
            poll.unregister(fd)
            yield by_fd.pop(fd)


EXEC = Verb(
    execute,
    "[OPTIONS] SERVICE COMMAND [ARGS...]",
    switch("-d, --detach", "Detached mode: Run command in the background"),
    listed("-e, --env", "Set environment variables"),
    index_flag(),
    switch("-i, --interactive", "Keep STDIN open even if not attached", default=True),
    switch("-T, --no-tty", "Disable pseudo-TTY allocation. By default a terminal is allocated where there is one."),
    switch("--privileged", "Give extended privileges to the process"),
    text("-u, --user", "Run the command as this user"),
    text("-w, --workdir", "Path to workdir directory for this command"),
    least=2,
    interspersed=False,
    examples="docket compose exec web sh\ndocket compose exec -T db pg_dump shop > shop.sql",
)
ATTACH = Verb(
    attach,
    "[OPTIONS] SERVICE",
    text("--detach-keys", "Override the key sequence for detaching from a container"),
    index_flag(),
    switch("--no-stdin", "Do not attach STDIN"),
    switch("--sig-proxy", "Proxy all received signals to the process", default=True),
    least=1,
    most=1,
)
COPY = Verb(
    copy,
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n        docket compose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
    switch("--all", "Include containers created by the run command"),
    switch("-a, --archive", "Archive mode (copy all uid/gid information)"),
    switch("-L, --follow-link", "Always follow symbol link in SRC_PATH"),
    index_flag(),
    least=2,
    most=2,
)
COMMIT = Verb(
    commit,
    "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
    *plain_changes.COMMIT.flags,
    index_flag(),
    least=1,
    most=2,
    examples="docket compose commit web web:patched",
)
EXPORT = Verb(
    export,
    "[OPTIONS] SERVICE",
    *plain_copy.EXPORT.flags,
    index_flag(),
    least=1,
    most=1,
    examples="docket compose export -o web.tar web",
)
WAIT = Verb(
    wait,
    "SERVICE [SERVICE...] [OPTIONS]",
    switch("--down-project", "Drops project when the first container stops"),
    least=1,
)
