"""Docker's paths that this engine does not serve: each says so, so that a client's error message tells the truth."""

from __future__ import annotations

from typing import Any

from engine.api.exchange import Answer, Request, reply
from engine.api.router import Handler, Route
from engine.domain.errors import NotFound, NotSupported, Unavailable

_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


def swarm(services: Any, request: Request) -> Answer:
    raise Unavailable(_NO_SWARM)


def not_in_a_swarm(services: Any, request: Request) -> Answer:
    raise Unavailable("This node is not part of a swarm")


def list_plugins(services: Any, request: Request) -> Answer:
    return reply([])


def no_plugin(services: Any, request: Request) -> Answer:
    raise NotFound(f'plugin "{request.params[0]}" not found')


def _not_yet(what: str) -> Handler:
    def refuse(services: Any, request: Request) -> Answer:
        raise NotSupported(f"{what} is not supported yet")

    return refuse


_SWARM_PATHS = (
    "/swarm", "/swarm/{*}", "/nodes", "/nodes/{*}", "/services", "/services/{*}", "/tasks", "/tasks/{*}",
    "/secrets", "/secrets/{*}", "/configs", "/configs/{*}",
)  # fmt: skip

_NOT_YET = (
    ("POST", "/build/cancel", "building images"),
    ("POST", "/session", "BuildKit's session"),
    ("POST", "/grpc", "BuildKit's session"),
    ("POST", "/swarm/init", "swarm mode"),
    ("POST", "/swarm/join", "swarm mode"),
    ("PUT", "/volumes/{}", "updating a cluster volume"),
    ("GET", "/plugins/{*}", "managing plugins"),
    ("POST", "/plugins/{*}", "managing plugins"),
)

ROUTES: tuple[Route, ...] = (
    ("GET", "/plugins", list_plugins),
    ("GET", "/plugins/{*}/json", no_plugin),
    ("DELETE", "/plugins/{*}", no_plugin),
    *(("POST", f"/plugins/{{*}}/{verb}", no_plugin) for verb in ("enable", "disable", "upgrade", "push", "set")),
    ("POST", "/swarm/leave", not_in_a_swarm),
    *((method, path, _not_yet(what)) for method, path, what in _NOT_YET),
    *((method, path, swarm) for path in _SWARM_PATHS for method in ("GET", "POST", "DELETE")),
)
