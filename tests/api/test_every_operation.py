"""Docker's description of its API, operation by operation: each is served, and each of its parameters is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from engine.api.exchange import Request
from engine.domain.errors import NotFound
from support.connection import UnixConnection
from support.specification import document

from .harness import V, Api

OPERATIONS = document()["operations"]

MEANS_NOTHING_HERE = {
    "GET /images/json": {"all": "there are no images in between", "digests": "they are always there",
                         "manifests": "since 1.47, experimental, and of the containerd image store alone"},
    "POST /containers/{id}/start": {"detachKeys": "who starts is not attached"},
    "GET /networks/{id}": {"verbose": "of swarm's networks", "scope": "all of them are local"},
    "POST /build/prune": {"all": "nothing is kept back from a prune that its other parameters don't keep"},
    "POST /images/load": {"quiet": "there is no progress to leave out"},
    "PUT /volumes/{name}": {"version": "of cluster volumes"},
}  # fmt: skip
"""Operation -> parameters that no answer depends on, and why."""

REFUSED = {"PUT /volumes/{name}"}
"""Answered with 501 and what is not supported."""

VALUES = {"filters": "{}", "h": "1", "w": "1", "limit": "1", "path": "/", "term": "x", "container": "web", "repo": "x"}
QUERIES = {
    "POST /images/create": ["fromImage=base", "fromSrc=-"],
    "GET /containers/{id}/stats": ["stream=0"],
    "GET /events": ["until=1"],
    "POST /containers/{id}/wait": ["condition=not-running"],
    "GET /containers/{id}/logs": ["stdout=1"],
    "POST /containers/{id}/attach": ["stdout=1"],
    "POST /build": ["rm=0", ""],
}
"""What a request needs to get as far as its parameters, where that is more than one of each."""


class Elsewhere:
    """A service that the fakes don't have: the API has done its part when it calls it."""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **settings: Any) -> Any:
            if name == "build":
                return iter(())
            raise NotFound(f"no {name} here")

        return call


class Watched(dict[str, list[str]]):
    """A query that knows which of its parameters were asked for."""

    asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    names: set[str] = set()
    plain = Request.query.fget
    assert plain is not None

    def query(request: Request) -> Watched:
        watched = Watched(plain(request))
        watched.asked = names
        return watched

    monkeypatch.setattr(Request, "query", property(query))
    return names


def path_of(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    noun = path.split("/")[1]
    return method, path.replace("{id}", "web").replace("{name}", {"images": "base"}.get(noun, "data"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(api: Api, asked: set[str], name: str) -> None:
    method, path = path_of(name)
    for service in ("files", "commits", "builds"):
        setattr(api.services, service, Elsewhere())
    api.create("web")
    api.ask("POST", "/volumes/create", {"Name": "data"})
    asked.clear()
    declared = OPERATIONS[name]["query"]
    for query in QUERIES.get(name) or ["&".join(f"{one}={VALUES[one]}" for one in declared if one in VALUES)]:
        status, body = head_of(api, method, f"{path}?{query}")
        assert b"page not found" not in body
        assert (status == 501) == (name in REFUSED), body
    unread = set(declared) - asked - set(MEANS_NOTHING_HERE.get(name, ()))
    assert not unread, "parameters that nobody looks at"
    assert set(MEANS_NOTHING_HERE.get(name, ())) <= set(declared)


def head_of(api: Api, method: str, path: str) -> tuple[int, bytes]:
    """The status of an answer, and its body where it is an error's: streams are left at once."""
    connection = UnixConnection(api.socket_path, timeout_s=10)
    try:
        body = None if method in ("GET", "HEAD") or "/attach" in path else b"{}"
        connection.request(method, V + path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read() if response.status >= 400 else b""
    finally:
        connection.close()
