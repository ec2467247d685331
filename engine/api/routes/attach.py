"""Attach: the connection itself becomes the container's standard streams."""

from __future__ import annotations

import os
import socket
from typing import Any, Callable

from engine.api.detach_keys import parse_detach_keys
from engine.api.exchange import Answer, Hijack, Request, frame, given_back, stream_type
from engine.api.router import Route
from engine.domain.errors import Conflict
from engine.runtime.attachment import Attachment


def attach(services: Any, request: Request) -> Answer:
    """Hand the connection to the container's shim; with ``logs`` and no ``stream``, replay its log and close."""
    return _attachment(services, request)


def attach_websocket(services: Any, request: Request) -> Answer:
    """The same in messages; both outputs are one, as at a terminal."""
    from engine.api import websocket  # hashes and threads of their own, which few clients ask for

    stream = _attachment(services, request, one_output=True)
    accept = websocket.accept_of(request.headers)

    def take(fd: int, early: bytes, send_head: Callable[[], None]) -> None:
        client = socket.socket(fileno=fd)
        ours, theirs = socket.socketpair()
        carried = False

        def announce() -> None:
            nonlocal carried
            send_head()
            carried = True
            websocket.carry(client, ours, early)

        try:
            stream.take(theirs.detach(), b"", announce)
        finally:
            if not carried:
                client.close()
                ours.close()

    return Hijack(take, False, "", accept)


def _attachment(services: Any, request: Request, *, one_output: bool = False) -> Hijack:
    ref = request.params[0]
    view = services.containers.get(ref)
    if view.state.public_status == "paused":
        raise Conflict(f"container {ref} is paused, unpause the container before attach")
    tty = bool(view.config.get("Tty"))
    keys = parse_detach_keys(request.text("detachKeys"))
    stdin, stdout, stderr = request.flag("stdin"), request.flag("stdout"), request.flag("stderr")
    logs, stream = request.flag("logs"), request.flag("stream")
    framed = not (tty or one_output)

    def take(fd: int, early: bytes, send_head: Callable[[], None]) -> None:
        if not stream:
            with given_back(fd):
                send_head()
            _replay(services, ref, fd, stdout=stdout, stderr=stderr, framed=framed, wanted=logs)
            return
        attachment = Attachment(
            fd,
            stdin=stdin and bool(view.config.get("OpenStdin")),
            stdout=stdout,
            stderr=stderr,
            framed=framed,
            detach_keys=keys if tty else b"",
            early=early,
        )
        services.containers.attach(ref, attachment, request.context, logs=logs, announce=send_head)

    return Hijack(take, framed, stream_type(request, framed=framed))


def _replay(services: Any, ref: str, fd: int, *, stdout: bool, stderr: bool, framed: bool, wanted: bool) -> None:
    """Write the log into the connection and close it."""
    if not (wanted and (stdout or stderr)):
        os.close(fd)
        return
    with socket.socket(fileno=fd) as sock:
        lines = services.containers.logs(
            ref, stdout=stdout, stderr=stderr, since_us=None, until_us=None, tail=None, timestamps=False, follow=False,
            stop=None,
        )  # fmt: skip
        for stream, data in lines:
            sock.sendall(frame(stream, data) if framed else data)


ROUTES: tuple[Route, ...] = (
    ("POST", "/containers/{*}/attach", attach), ("GET", "/containers/{*}/attach/ws", attach_websocket),
)
