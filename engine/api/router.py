"""Finds the handler of a path: a table compiled once, a dictionary for fixed paths, few patterns for the others."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable

from engine.api import API_VERSION, MIN_API_VERSION
from engine.api.exchange import Answer, Request
from engine.domain.errors import InvalidArgument, NotFound

Handler = Callable[[Any, Request], Answer]
"""Called with the services and the request."""

Route = tuple[str, str, Handler]
"""Method, path and handler. In a path ``{}`` stands for one segment, ``{*}`` for one or more (names of images)."""

_VERSIONED = re.compile(r"/v(\d{1,3})\.(\d{1,3})(/.*)")


class PageNotFound(NotFound):
    """No route has this method and path."""

    def __init__(self) -> None:
        super().__init__("page not found")


class Router:
    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[tuple[str, str], Handler] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Handler]]] = {}
        for method, path, handler in routes:
            if "{" not in path:
                self._fixed[method, path] = handler
                continue
            pattern = re.escape(path).replace(r"\{\}", "([^/]+)").replace(r"\{\*\}", "(.+)")
            first = path.split("/", 2)[1]
            self._patterns.setdefault((method, first), []).append((re.compile(pattern), handler))

    def route(self, request: Request) -> Handler:
        """Set the request's version and params, and give its handler. Raises PageNotFound, InvalidArgument."""
        path = request.path
        request.version = API_VERSION
        if path.startswith("/v") and (versioned := _VERSIONED.fullmatch(path)):
            major, minor, path = versioned.groups()
            request.version = _accepted((int(major), int(minor)))
        handler = self._fixed.get((request.method, path))
        if handler is not None:
            return handler
        for pattern, handler in self._patterns.get((request.method, path.split("/", 2)[1]), ()):
            if found := pattern.fullmatch(path):
                request.params = found.groups()
                return handler
        raise PageNotFound()


def _accepted(version: tuple[int, int]) -> tuple[int, int]:
    name = "{}.{}".format(*version)
    if version > API_VERSION:
        raise InvalidArgument(
            f"client version {name} is too new. Maximum supported API version is {'{}.{}'.format(*API_VERSION)}"
        )
    if version < MIN_API_VERSION:
        raise InvalidArgument(
            f"client version {name} is too old. Minimum supported API version is "
            f"{'{}.{}'.format(*MIN_API_VERSION)}, please upgrade your client to a newer version"
        )
    return version
