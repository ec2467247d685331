"""Execs: one more process in a running container."""

from __future__ import annotations

from typing import Any, Callable

from engine.api.detach_keys import parse_detach_keys
from engine.api.exchange import OK, Answer, Hijack, Request, given_back, reply, stream_type
from engine.api.router import Route
from engine.api.routes.containers import window_of
from engine.api.views import execs as views
from engine.domain.errors import Conflict, EngineError, InvalidArgument
from engine.domain.exec import Status
from engine.runtime.attachment import Attachment


def create(services: Any, request: Request) -> Answer:
    body = request.json()
    if not body.get("Cmd"):
        raise InvalidArgument("No exec command specified")
    parse_detach_keys(str(body.get("DetachKeys") or ""))
    return reply({"Id": services.execs.create(request.params[0], body, request.context)}, 201)


def inspect(services: Any, request: Request) -> Answer:
    return reply(views.inspect(services.execs.get(request.params[0])))


def start(services: Any, request: Request) -> Answer:
    """Start detached, or over the connection itself."""
    exec_id = request.params[0]
    body = request.json(required=False)
    view = services.execs.get(exec_id)
    if view.state.status is not Status.CREATED:
        raise Conflict(f"exec command {exec_id} has already run")
    console = _console_size(body)
    context = request.context
    if body.get("Detach"):
        services.execs.start(exec_id, None, context)
        return OK
    config = view.config
    framed = not body.get("Tty")
    keys = parse_detach_keys(str(config.get("DetachKeys") or "")) if config.get("Tty") else b""

    def take(fd: int, early: bytes, send_head: Callable[[], None]) -> None:
        with given_back(fd):
            send_head()
        attachment = Attachment(
            fd,
            stdin=bool(config.get("AttachStdin")),
            stdout=bool(config.get("AttachStdout")),
            stderr=bool(config.get("AttachStderr")),
            framed=framed,
            detach_keys=keys,
            early=early,
        )
        services.execs.start(exec_id, attachment, context)
        if console and config.get("Tty"):
            try:
                services.execs.resize(exec_id, *console)
            except (EngineError, OSError):
                return  # it has ended already: the connection is the shim's, and nothing may be said on it any more

    return Hijack(take, framed, stream_type(request, framed=framed))


def _console_size(body: dict[str, Any]) -> tuple[int, int] | None:
    size = body.get("ConsoleSize")
    if size is None:
        return None
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and 0 <= n <= 0xFFFF for n in size)):
        raise InvalidArgument("invalid ConsoleSize: two numbers, rows and columns, are expected")
    return size[0], size[1]


def resize(services: Any, request: Request) -> Answer:
    rows, columns = window_of(request)
    services.execs.resize(request.params[0], rows, columns)
    return OK


ROUTES: tuple[Route, ...] = (
    ("POST", "/containers/{*}/exec", create),
    ("GET", "/exec/{}/json", inspect),
    ("POST", "/exec/{}/start", start),
    ("POST", "/exec/{}/resize", resize),
)
