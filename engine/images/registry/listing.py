"""What a registry can be asked for lists: the tags of a repository, and names by a search term."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from engine.domain.errors import InvalidArgument, NotFound, NotSupported, Unavailable
from engine.images.documents import parse_object
from engine.images.registry.addresses import target_of
from engine.images.registry.endpoint import Endpoint, Request, same_registry
from engine.images.registry.refusals import clean
from engine.images.registry.transfers import SearchResult
from engine.images.registry.transport import Answer

_PAGE = 1000
_MOST_PAGES = 1000
_MOST_TAGS = 200_000
_BODY_LIMIT_BYTES = 4 << 20
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LINK = re.compile(r'<([^<>]*)>[^,]*;[ \t]*rel[ \t]*=[ \t]*"?next"?(?=[ \t]*(?:[;,]|$))', re.IGNORECASE)
SEARCH_MOST = 100


def tags(endpoint: Endpoint, path: str) -> list[str]:
    """All tags, page by page as the Link header leads (RFC 8288). Raises InvalidArgument for endless listings."""
    found: set[str] = set()
    asked: set[str] = set()
    url = f"/v2/{path}/tags/list?n={_PAGE}"
    while url:
        if url in asked or len(asked) >= _MOST_PAGES or len(found) > _MOST_TAGS:
            raise InvalidArgument(f"the list of tags of {path} has no end: {len(found)} tags in {len(asked)} pages")
        asked.add(url)
        answer = endpoint.ask(Request("GET", url, scopes=frozenset((f"repository:{path}:pull",))))
        following = _next(answer, endpoint)
        found.update(_tags(answer, path))
        url = following
    return sorted(found)


def _tags(answer: Answer, path: str) -> list[str]:
    what = f"the list of tags of {path}"
    listed = parse_object(answer.body(_BODY_LIMIT_BYTES, what), what).get("tags") or []
    if not isinstance(listed, list):
        raise InvalidArgument(f"{what} is no list")
    for tag in listed:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise InvalidArgument(f"{what} holds {str(tag)[:100]!r}, which is no tag")
    return listed


def _next(answer: Answer, endpoint: Endpoint) -> str:
    match = _LINK.search(answer.headers.get("Link", ""))
    return same_registry(target_of(match[1], answer.url), endpoint.source) if match else ""


def search(endpoint: Endpoint, term: str, limit: int) -> list[SearchResult]:
    """Docker's index API: ``GET /v1/search?q=TERM&n=LIMIT``. Raises Unavailable, with what the user can do."""
    url = f"/v1/search?{urlencode({'q': term, 'n': limit}, quote_via=quote)}"
    try:
        answer = endpoint.ask(Request("GET", url))
    except Unavailable as error:
        raise Unavailable(f"the search index can't be reached: {error}; another is set by search-index") from error
    except (NotFound, NotSupported) as error:
        raise NotSupported(f"{endpoint.source} offers no search: {error}") from error
    what = f"the answer of the search index {endpoint.source}"
    listed = parse_object(answer.body(_BODY_LIMIT_BYTES, what), what).get("results")
    if not isinstance(listed, list):
        raise InvalidArgument(f"{what} holds no results")
    return [_result(entry, what) for entry in listed[:limit]]


def _result(entry: Any, what: str) -> SearchResult:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise InvalidArgument(f"{what} holds a result without a name")
    description, stars = entry.get("description") or "", entry.get("star_count") or 0
    if not isinstance(description, str) or not isinstance(stars, int):
        raise InvalidArgument(f"{what} holds a result with an invalid description or number of stars")
    official, automated = entry.get("is_official") is True, entry.get("is_automated") is True
    return SearchResult(clean(entry["name"]), clean(description), stars, official, automated)
