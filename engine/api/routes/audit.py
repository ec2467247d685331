"""Docket's own endpoints: the log, and Docker's lists as they were at any moment."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from engine.api.documents import encode
from engine.api.exchange import Answer, Request, Stream, reply
from engine.api.router import Route
from engine.api.routes.containers import list_containers
from engine.api.routes.images import list_images
from engine.api.views import audit as views
from engine.api.views import containers as container_views
from engine.domain.errors import InvalidArgument
from engine.domain.nouns import NOUNS
from engine.services.who_ran import Question


def trail(services: Any, request: Request) -> Answer:
    """Every event of one object, removed ones too. ``id`` is an id, its beginning, or a name it ever had. With
    ``project`` those of a compose project."""
    ref, noun = request.text("id"), request.text("noun")
    if project := request.text("project"):
        if ref or noun:
            raise InvalidArgument("parameter project goes with neither id nor noun")
        return reply([views.recorded(record) for record in services.audit.project(project)])
    if not ref:
        raise InvalidArgument("parameter id is missing")
    if noun and noun not in NOUNS:
        raise InvalidArgument(f'noun "{noun}" is not one of {", ".join(NOUNS)}')
    return reply([views.recorded(record) for record in services.audit.trail(noun or None, ref)])


def verify(services: Any, request: Request) -> Answer:
    """Check the whole chain and, but for ``log-only``, the tables that follow from it; ``against`` is a head that was
    published before, as SEQ:HASH. With ``runtime-root`` also the journal of a docket-runtime."""
    against = request.text("against") or None
    report = views.report(services.audit.verify(against, log_only=request.flag("log-only")))
    if root := request.text("runtime-root"):
        runtime = services.audit.verify_runtime(root)
        report |= {"runtime": runtime, "ok": report["ok"] and not runtime["problem"]}
    return reply(report)


def head(services: Any, request: Request) -> Answer:
    return reply(views.head(services.audit.head()))


def who_ran(services: Any, request: Request) -> Answer:
    """Starts and privileged execs that answer a question; ``after`` and ``until`` as ``as_of`` takes them."""
    question = Question(
        request.flag("privileged"), request.flag("without-seccomp"), request.text("host-mount"),
        request.text("after"), request.text("until"),
    )  # fmt: skip
    return Stream(_array(views.run(run) for run in services.who_ran.ask(question)))


def _array(values: Iterable[Any]) -> Iterator[bytes]:
    """A JSON array as it comes about: years of a busy host don't fit into memory."""
    before = b"["
    for value in values:
        yield before + encode(value).strip()
        before = b","
    yield b"[]" if before == b"[" else b"]"


def redact(services: Any, request: Request) -> Answer:
    """Take the documents of an object, or one by its digest, out of the log for good: Name, Noun, Reason."""
    body = request.json()
    name, noun, reason = (body.get(key) or "" for key in ("Name", "Noun", "Reason"))
    if not all(isinstance(value, str) for value in (name, noun, reason)) or not name:
        raise InvalidArgument("Name, Noun and Reason must be strings, and Name must not be empty")
    if noun and noun not in NOUNS:
        raise InvalidArgument(f'noun "{noun}" is not one of {", ".join(NOUNS)}')
    found = services.redactions.redact(noun or None, name, reason, request.context)
    return reply({"Redacted": [views.redacted(one) for one in found]})


def inspect_container(services: Any, request: Request) -> Answer:
    """Docker's inspect, as of a moment, with the evidence of the last start."""
    view = services.containers.get(request.params[0], as_of=request.text("as_of") or None)
    return reply(container_views.inspect(view) | {"Evidence": view.evidence})


def fsck(services: Any, request: Request) -> Answer:
    """The store against the log; with ``repair``, what can be mended is."""
    return reply(views.fsck(services.fsck.run(repair=request.flag("repair"), context=request.context)))


def bundle(services: Any, request: Request) -> Answer:
    """The config.json of a container's bundle; its root file system is the container's export."""
    return reply(services.bundles.config(request.params[0]))


ROUTES: tuple[Route, ...] = (
    ("GET", "/docket/audit/trail", trail),
    ("GET", "/docket/audit/verify", verify),
    ("GET", "/docket/audit/head", head),
    ("GET", "/docket/audit/who-ran", who_ran),
    ("POST", "/docket/audit/redact", redact),
    ("POST", "/docket/system/fsck", fsck),
    ("GET", "/docket/containers/json", list_containers),
    ("GET", "/docket/images/json", list_images),
    ("GET", "/docket/containers/{*}/json", inspect_container),
    ("GET", "/docket/containers/{*}/bundle", bundle),
)
