"""Registries: pull, push, login, search, what a reference means there."""

from __future__ import annotations

from typing import Any, Iterator

from engine.api.documents import platform_name
from engine.api.exchange import Answer, Request, reply
from engine.api.filters import read_filters
from engine.api.router import Route
from engine.api.streams import json_lines
from engine.api.views import progress
from engine.domain.errors import EngineError, InvalidArgument, Unauthorized
from engine.images.references import Reference
from engine.images.registry.credentials import Credentials

_SEARCH_FILTERS = frozenset({"is-automated", "is-official", "stars"})
_SEARCH_LIMIT = 25


def _credentials(request: Request) -> Credentials:
    return Credentials.from_header(request.headers.get("x-registry-auth"))


def _with_tag(name: str, tag: str) -> Reference:
    """A reference from a name and a tag or digest, which win over what the name has. Raises InvalidArgument."""
    parsed = Reference.parse(name)
    if not tag:
        return parsed
    bare = parsed._replace(tag="", digest="")
    separator = "@" if ":" in tag else ":"
    return Reference.parse(f"{bare.name}{separator}{tag}")


def pull(services: Any, request: Request) -> Answer:
    """Without a tag or digest, in the name or beside it: every tag of the repository."""
    reference = _with_tag(request.text("fromImage"), request.text("tag"))
    notices = services.pulls.pull(
        reference,
        platform=request.text("platform") or None,
        credentials=_credentials(request),
        departed=request.departed,
        context=request.context,
        every_tag=not reference.tag and not reference.digest,
    )
    return json_lines(_lines(notices), notices)


def push(services: Any, request: Request) -> Answer:
    reference = _with_tag(request.params[0], request.text("tag"))
    notices = services.pushes.push(
        reference,
        credentials=_credentials(request),
        departed=request.departed,
        context=request.context,
        every_tag=not reference.tag,
        platform=platform_name(request.text("platform")),
    )
    return json_lines(_lines(notices), notices)


def _lines(notices: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Clients take a 401 for a question that they should ask their user; Docker's engine never asks it here."""
    try:
        for notice in notices:
            yield from progress.lines(notice)
    except Unauthorized as error:
        raise EngineError(str(error)) from error


def login(services: Any, request: Request) -> Answer:
    body = request.json()
    address = body.get("serveraddress") or ""
    if not isinstance(address, str):
        raise InvalidArgument("invalid registry credentials: serveraddress must be a string")
    token = services.registries.login(address, Credentials.from_json(body))
    return reply({"Status": "Login Succeeded", "IdentityToken": token})


def search(services: Any, request: Request) -> Answer:
    filters = read_filters(request, _SEARCH_FILTERS)
    term = request.text("term")
    if not term:
        raise InvalidArgument("parameter term is missing")
    limit = request.number("limit") or _SEARCH_LIMIT
    official, automated = filters.boolean("is-official"), filters.boolean("is-automated")
    try:
        stars = max(map(int, filters.get("stars")), default=0)
    except ValueError as error:
        raise InvalidArgument(f"invalid filter 'stars={filters.get('stars')[0]}'") from error
    found = services.registries.search(term, limit, _credentials(request), request.departed)
    return reply(
        [
            {"star_count": one.stars, "is_official": one.official, "name": one.name, "is_automated": one.automated,
             "description": one.description}
            for one in found
            if official in (None, one.official) and automated in (None, one.automated) and one.stars >= stars
        ]
    )  # fmt: skip


def distribution(services: Any, request: Request) -> Answer:
    reference = Reference.parse(request.params[0])
    found = services.registries.inspect(reference, _credentials(request), request.departed)
    return reply(
        {
            "Descriptor": {"mediaType": found.media_type, "digest": found.digest, "size": found.size_bytes},
            "Platforms": [
                {"architecture": one.architecture, "os": one.os, **({"variant": one.variant} if one.variant else {})}
                for one in found.platforms
            ],
        }
    )


ROUTES: tuple[Route, ...] = (
    ("POST", "/auth", login),
    ("GET", "/images/search", search),
    ("POST", "/images/{*}/push", push),
    ("GET", "/distribution/{*}/json", distribution),
)
