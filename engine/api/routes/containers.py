"""Containers: from create to remove, and what is asked about them. Attach is a module of its own."""

from __future__ import annotations

import sys
import threading
from typing import Any, Iterator

from engine.api.documents import encode
from engine.api.exchange import NO_CONTENT, OK, Answer, Request, Stream, frame, reply, stream_type
from engine.api.filters import read_filters, read_prune_filters
from engine.api.router import Route
from engine.api.routes import container_filters
from engine.api.views import containers as views
from engine.api.views.system import go_architecture
from engine.api.status import message_of
from engine.domain.errors import Conflict, InvalidArgument, NotFound, NotSupported
from engine.services.as_of import parse_time_us

MEANINGLESS_BODY_BYTES = 7
"""Some clients send {} or null with a start; a longer body is the configuration that Docker took there before 1.24."""
DEPARTURE_S = 2.0
"""How long after its client's departure a wait may go on waiting."""


def list_containers(services: Any, request: Request) -> Answer:
    """Docker's list; with ``as_of`` (Docket's own path) as it was at that moment."""
    limit = request.number("limit", 0) or 0
    chosen = container_filters.ContainerFilter(services, read_filters(request, container_filters.NAMES))
    as_of = request.text("as_of") or None
    now_us = services.audit.moment_us(as_of) if as_of else request.now_us
    everything = request.flag("all") or limit > 0 or chosen.wants_stopped
    found = [
        view
        for view in services.containers.list(as_of=as_of, only_up=not everything)
        if chosen.allows(view)
    ]
    found.sort(key=lambda view: (view.state.created_at_us, view.state.id), reverse=True)
    if limit > 0:
        del found[limit:]
    with_size = request.flag("size")
    return reply([views.summary(view, now_us, size=view.size() if with_size else None) for view in found])


def create(services: Any, request: Request) -> Answer:
    platform = request.text("platform")
    if platform and platform not in ("linux", f"linux/{go_architecture()}"):
        raise NotSupported(f'platform "{platform}" is not supported: this engine runs linux/{go_architecture()}')
    name = request.text("name").removeprefix("/") or None
    body = request.json()
    try:
        container_id, warnings = services.containers.create(body, name, request.context)
    except NotFound as error:
        if message_of(error).startswith("No such image"):
            raise
        # Docker's client takes every 404 of this path for a missing image, and pulls one
        raise InvalidArgument(message_of(error)) from error
    return reply({"Id": container_id, "Warnings": list(warnings)}, 201)


def inspect(services: Any, request: Request) -> Answer:
    view = services.containers.get(request.params[0])
    return reply(views.inspect(view, request.version, size=view.size() if request.flag("size") else None))


def start(services: Any, request: Request) -> Answer:
    for name in ("checkpoint", "checkpoint-dir"):
        if request.text(name):
            raise NotSupported("starting from a checkpoint is not supported")
    if request.body.length is None or request.body.length > MEANINGLESS_BODY_BYTES:
        raise InvalidArgument("starting container with non-empty request body is not supported")
    services.lifecycle.start(request.params[0], request.context)
    return NO_CONTENT


def stop(services: Any, request: Request) -> Answer:
    services.lifecycle.stop(request.params[0], request.number("t"), request.text("signal") or None, request.context)
    return NO_CONTENT


def restart(services: Any, request: Request) -> Answer:
    services.lifecycle.restart(request.params[0], request.number("t"), request.text("signal") or None, request.context)
    return NO_CONTENT


def kill(services: Any, request: Request) -> Answer:
    ref = request.params[0]
    try:
        services.lifecycle.kill(ref, request.text("signal") or "SIGKILL", request.context)
    except (NotFound, Conflict) as error:  # Docker says what it was that could not be done
        raise type(error)(f"cannot kill container: {ref}: {message_of(error)}") from error
    return NO_CONTENT


def pause(services: Any, request: Request) -> Answer:
    services.lifecycle.pause(request.params[0], request.context)
    return NO_CONTENT


def unpause(services: Any, request: Request) -> Answer:
    services.lifecycle.unpause(request.params[0], request.context)
    return NO_CONTENT


def rename(services: Any, request: Request) -> Answer:
    name = request.text("name").removeprefix("/")
    services.containers.rename(request.params[0], name, request.context)
    return NO_CONTENT


def update(services: Any, request: Request) -> Answer:
    warnings = services.updates.update(request.params[0], request.json(), request.context)
    return reply({"Warnings": warnings or None})


def remove(services: Any, request: Request) -> Answer:
    if request.flag("link"):
        services.updates.unlink(request.params[0], request.context)
        return NO_CONTENT
    services.lifecycle.remove(
        request.params[0], force=request.flag("force"), volumes=request.flag("v"), context=request.context
    )
    return NO_CONTENT


def prune(services: Any, request: Request) -> Answer:
    filters = read_prune_filters(request, ("label", "label!", "until"))
    ids, reclaimed = services.lifecycle.prune(filters, request.context)
    return reply({"ContainersDeleted": list(ids) or None, "SpaceReclaimed": reclaimed})


def wait(services: Any, request: Request) -> Answer:
    waiter = services.containers.wait(request.params[0], request.text("condition") or "not-running")
    # the head leaves now: clients start the container only after it
    return Stream(_outcome(waiter, request.departed), release=waiter.close)


def _outcome(waiter: Any, departed: threading.Event) -> Iterator[bytes]:
    while (outcome := waiter.result(DEPARTURE_S)) is None:
        if departed.is_set():
            return
    yield encode(outcome)


def logs(services: Any, request: Request) -> Answer:
    stdout, stderr = request.flag("stdout"), request.flag("stderr")
    if not (stdout or stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    framed = not services.containers.get(request.params[0]).config.get("Tty")
    lines = services.containers.logs(
        request.params[0],
        stdout=stdout,
        stderr=stderr,
        since_us=_log_moment(request, "since"),
        until_us=_log_moment(request, "until"),
        tail=_tail(request),
        timestamps=request.flag("timestamps"),
        details=request.flag("details"),
        follow=request.flag("follow"),
        stop=request.departed,
    )
    return Stream(_framed(lines, framed), stream_type(request, framed=framed), lines.close)


def _framed(lines: Iterator[tuple[str, bytes]], framed: bool) -> Iterator[bytes]:
    for stream, data in lines:
        yield frame(stream, data) if framed else data


def _log_moment(request: Request, name: str) -> int | None:
    text = request.text(name)
    return parse_time_us(text, request.now_us) if text and text != "0" else None


def _tail(request: Request) -> int | None:
    text = request.text("tail")
    if text in ("", "all"):
        return None
    count = request.number("tail")
    return None if count is None or not 0 <= count <= sys.maxsize else count


def resize(services: Any, request: Request) -> Answer:
    rows, columns = window_of(request)
    services.containers.resize(request.params[0], rows, columns)
    return OK


def window_of(request: Request) -> tuple[int, int]:
    """Rows and columns of a terminal. Raises InvalidArgument."""
    size = []
    for name in ("h", "w"):
        value = request.number(name)
        if value is None or not 0 <= value <= 0xFFFF:
            raise InvalidArgument(f'invalid value "{request.text(name)}" for {name}: a terminal has 0 to 65535 of them')
        size.append(value)
    return size[0], size[1]


def top(services: Any, request: Request) -> Answer:
    titles, processes = services.containers.top(request.params[0], request.text("ps_args") or "-ef")
    return reply({"Processes": processes, "Titles": titles})


ROUTES: tuple[Route, ...] = (
    ("GET", "/containers/json", list_containers),
    ("POST", "/containers/create", create),
    ("POST", "/containers/prune", prune),
    ("GET", "/containers/{*}/json", inspect),
    ("GET", "/containers/{*}/logs", logs),
    ("GET", "/containers/{*}/top", top),
    ("POST", "/containers/{*}/start", start),
    ("POST", "/containers/{*}/stop", stop),
    ("POST", "/containers/{*}/restart", restart),
    ("POST", "/containers/{*}/kill", kill),
    ("POST", "/containers/{*}/pause", pause),
    ("POST", "/containers/{*}/unpause", unpause),
    ("POST", "/containers/{*}/rename", rename),
    ("POST", "/containers/{*}/update", update),
    ("POST", "/containers/{*}/wait", wait),
    ("POST", "/containers/{*}/resize", resize),
    ("DELETE", "/containers/{*}", remove),
)
