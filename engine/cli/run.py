"""``docket create`` and ``docket run``.

    create -> (image missing: ask for it, create again) -> attach -> wait -> start -> carry the streams -> exit status

Attach and wait come before the start, so that nothing is missed of a container that ends at once.
"""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.create_body import create_body
from engine.cli.create_flags import CREATE_FLAGS
from engine.cli.flags import Options, grouped, switch
from engine.cli.output import STDERR, CommandError, err, out
from engine.cli.pull import pull_image
from engine.cli.references import familiar
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.api import path_of
from engine.client.errors import APIError, ClientError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.client.api import Client
    from engine.client.connection import Response

FAILURE = 125
_NOT_FOUND = 404
_BAD_REQUEST = 400
_COMMAND_NOT_FOUND, _COMMAND_NOT_EXECUTABLE = 127, 126
_NOT_EXECUTABLE_WORDS = ("permission denied", "is a directory", "exec format error")
_PULL_CHOICES = ("always", "missing", "never")


def create_container(session: Session, options: Options, arguments: list[str]) -> int:
    out(_create(session.client, options, arguments)["Id"] + "\n")
    return 0


def run_container(session: Session, options: Options, arguments: list[str]) -> int:
    if options.detach and options.attach:
        raise CommandError("conflicting options: cannot specify both --attach and --detach")
    body_attach = options.attach or (
        [] if options.detach else ["stdout", "stderr", *(["stdin"] if options.interactive else [])]
    )
    if options.tty and "stdin" in body_attach and not os.isatty(0):
        raise CommandError("the input device is not a TTY")
    try:
        container = _create(session.client, options, arguments)["Id"]
        if not body_attach:
            _start(session.client, container, remove=options.rm)
            out(container + "\n")
            return 0
        return _run_attached(session.client, container, options, body_attach)
    except ClientError as error:
        raise _failure(error) from error


def _failure(error: ClientError, status: int = FAILURE) -> CommandError:
    prefix = "docket: Error response from daemon: " if isinstance(error, APIError) else "docket: "
    return CommandError(f"{prefix}{error}", status)


# --- create ----------------------------------------------------------------------------------------------------------


def _create(client: Client, options: Options, arguments: list[str]) -> dict[str, Any]:
    """Id and warnings of a new container; the warnings are printed."""
    image, *command = arguments
    if options.pull not in _PULL_CHOICES:
        choices = ", ".join(f'"{choice}"' for choice in _PULL_CHOICES)
        raise CommandError(f"docket: invalid pull option: '{options.pull}': must be one of {choices}", FAILURE)
    try:
        body = create_body(options, image, command)
    except CommandError as error:
        raise CommandError(f"docket: {error}", FAILURE) from error
    with _IdFile(options.cidfile) as id_file:
        if options.pull == "always":
            pull_image(client, image, platform=options.platform, fd=STDERR, quiet=options.quiet)
        created = _post_create(client, options, image, body)
        id_file.write(created["Id"])
    for warning in created.get("Warnings") or ():
        err(f"WARNING: {warning}")
    return created


def _post_create(client: Client, options: Options, image: str, body: dict[str, Any]) -> dict[str, Any]:
    query = {"name": options.name or None, "platform": options.platform or None}
    try:
        return client.call("POST", "/containers/create", body, query=query)
    except APIError as error:
        if error.status != _NOT_FOUND or options.pull != "missing" or "no such image" not in str(error).lower():
            raise
    err(f"Unable to find image '{familiar(image)}' locally")
    pull_image(client, image, platform=options.platform, fd=STDERR, quiet=options.quiet)
    return client.call("POST", "/containers/create", body, query=query)


class _IdFile:
    """--cidfile: reserved before the container is made, taken away if none was made."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> _IdFile:
        if self._path:
            try:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError as error:
                raise CommandError(
                    "docket: container ID file found, make sure the other container isn't running or delete "
                    f"{self._path}", FAILURE
                ) from error  # fmt: skip
            except OSError as error:
                message = f"docket: failed to create the container ID file: {self._path}: {error.strerror}"
                raise CommandError(message, FAILURE) from error
        return self

    def write(self, id: str) -> None:
        if self._fd >= 0:
            os.write(self._fd, id.encode())

    def __exit__(self, kind: object, *exception: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            if kind is not None:
                os.unlink(self._path)


# --- start and follow ------------------------------------------------------------------------------------------------


def _start(client: Client, container: str, *, remove: bool) -> None:
    """Start it; a refusal becomes Docker's exit status, and what was only made to run once goes again."""
    try:
        client.call("POST", path_of("containers", container, "start"))
    except APIError as error:
        if remove:
            _discard(client, container)
        raise _failure(error, start_status(error)) from error


def _discard(client: Client, container: str) -> None:
    try:
        client.call("DELETE", path_of("containers", container), query={"force": True, "v": True})
    except APIError:
        return  # the engine has done it already (--rm)


def start_status(error: APIError) -> int:
    """127 for a command that is not there, 126 for one that can't be executed, else 125."""
    if error.status != _BAD_REQUEST:
        return FAILURE
    message = str(error).lower()  # crun begins its reasons with a capital
    if "executable file not found" in message or "no such file or directory" in message:
        return _COMMAND_NOT_FOUND
    if any(words in message for words in _NOT_EXECUTABLE_WORDS):
        return _COMMAND_NOT_EXECUTABLE
    return FAILURE


def _run_attached(client: Client, container: str, options: Options, attached: list[str]) -> int:
    from engine.cli.foreground import Foreground

    front = Foreground(client, container, tty=options.tty, stdin="stdin" in attached, detach_keys=options.detach_keys)
    with front.signals(enabled=options.sig_proxy) as signals:
        streams = front.attach(attached)
        ended = client.stream(
            "POST",
            path_of("containers", container, "wait"),
            query={"condition": "removed" if options.rm else "next-exit"},
        )
        try:
            _start(client, container, remove=options.rm)
        except CommandError:
            streams.close()
            raise
        signals.started()
        if not front.carry(streams):
            return 0
        return exit_status(ended)


def exit_status(ended: Response) -> int:
    """The status in the answer to a wait. Raises CommandError where the container ended without one."""
    try:
        answer = jsontext.decode(ended.read())
    except (ProtocolError, ValueError) as error:
        raise CommandError(f"docket: error waiting for container: {error}", FAILURE) from error
    if message := (answer.get("Error") or {}).get("Message"):
        raise CommandError(f"docket: Error waiting for container: {message}", FAILURE)
    return answer["StatusCode"]


_EXAMPLES = """
docket run --rm base echo hi
docket run -d --name web -m 64m --cpus 0.5 --pids-limit 50 base sleep 1000
docket run --rm -i base cat < file
docket run --rm -v data:/data -v /srv:/srv:ro --read-only --tmpfs /run -u 1000:1000 base ls /data
"""
CREATE = Command(
    create_container,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    *CREATE_FLAGS,
    least=1,
    interspersed=False,
    examples="docket create --name web -m 64m base sleep 1000",
)
RUN = Command(
    run_container,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    *CREATE_FLAGS,
    *grouped(
        "The process and its streams",
        switch("-d, --detach", "Run container in background and print container ID"),
        switch("--sig-proxy", "Proxy received signals to the process", default=True),
    ),
    least=1,
    interspersed=False,
    failure=FAILURE,
    examples=_EXAMPLES,
)
