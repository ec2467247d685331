"""Fields and types of the answers beside a real Docker's, in a version of the API that both speak."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import closing
from typing import Any, Iterator

import pytest

from support.connection import Answer, UnixConnection, ask

from .harness import Api

pytestmark = pytest.mark.requires("real docker")

VERSION = "/v1.41"

ABSENT_HERE = {
    "KernelMemory", "KernelMemoryTCP", "BuildTime",  # gone from Docker itself since 1.42
    "LowerDir", "MergedDir",  # one mount namespace a container: nothing is merged where the host could see it
    "destination", "propagation", "read/write",  # of a mount event: the log's record of a start doesn't repeat them
    "LastTagTime", "ClusterStore", "ClusterAdvertise",
}  # fmt: skip
"""Fields of an older Docker that this engine has no truth for."""

FREE = {"Labels", "Networks", "Options", "Data", "Runtimes", "IndexConfigs", "Config.LogConfig", "Details"}
"""Maps whose keys are data, not fields."""


class RealDocker:
    """A Docker to compare with; what is made here is taken away again."""

    def __init__(self) -> None:
        self._connection = UnixConnection(os.environ["DOCKET_TEST_DOCKER_HOST"].removeprefix("unix://"))
        self.image: str = ""
        self.name = f"docket-shapes-{uuid.uuid4().hex[:8]}"

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return ask(self._connection, method, VERSION + path, body)

    def close(self) -> None:
        self.ask("DELETE", f"/containers/{self.name}?force=1&v=1")
        self.ask("DELETE", f"/volumes/{self.name}?force=1")
        self._connection.close()


@pytest.fixture
def real() -> Iterator[RealDocker]:
    with closing(RealDocker()) as docker:
        tagged = [image for image in docker.ask("GET", "/images/json").json if image["RepoTags"]]
        if not tagged:
            pytest.skip("no real Docker to compare with: it has no image")
        docker.image = tagged[0]["RepoTags"][0]
        yield docker


def differences(real: Any, ours: Any, path: str = "") -> list[str]:
    """Fields that are missing here, and fields of another type (null beside something is no difference)."""
    if real is None or ours is None:
        return []
    if type(real) is not type(ours):
        return [f"{path}: {type(real).__name__} there, {type(ours).__name__} here"]
    if isinstance(real, dict):
        if path.rpartition(".")[2] in FREE:
            return []
        missing = [f"{path}.{key}: missing" for key in real if key not in ours and key not in ABSENT_HERE]
        common = [key for key in real if key in ours]
        return missing + [one for key in common for one in differences(real[key], ours[key], f"{path}.{key}")]
    if isinstance(real, list) and real and ours:
        return differences(real[0], ours[0], f"{path}[]")
    return []


def ours(api: Api, method: str, path: str, body: Any = None) -> Answer:
    return ask(api.connection, method, VERSION + path, body)


BODY = {"Cmd": ["sleep", "60"], "Labels": {"a": "b"}}


def both_run(api: Api, real: RealDocker) -> None:
    """The same container on both sides, under the same name."""
    host = {"NetworkMode": "none", "Binds": [f"{real.name}:/data"]}
    for side, image in ((real.ask, real.image), (lambda *a: ours(api, *a), "base")):
        created = side("POST", f"/containers/create?name={real.name}", {**BODY, "Image": image, "HostConfig": host})
        assert created.status == 201, created.body
        assert side("POST", f"/containers/{real.name}/start").status == 204


@pytest.mark.parametrize("path", ["/version", "/info", "/images/json", "/volumes", "/networks", "/system/df"])
def test_the_engine(api: Api, real: RealDocker, path: str) -> None:
    both_run(api, real)
    ours(api, "POST", "/volumes/create", {"Name": real.name})
    assert not differences(real.ask("GET", path).json, ours(api, "GET", path).json, path)


@pytest.mark.parametrize("query", ["json?all=1", "json?all=1&size=1", "NAME/json", "NAME/json?size=1"])
def test_containers(api: Api, real: RealDocker, query: str) -> None:
    both_run(api, real)
    path = f"/containers/{query.replace('NAME', real.name)}"
    assert not differences(real.ask("GET", path).json, ours(api, "GET", path).json, "")


def test_an_image(api: Api, real: RealDocker) -> None:
    for path in ("json", "history"):
        theirs = real.ask("GET", f"/images/{real.image}/{path}").json
        assert not differences(theirs, ours(api, "GET", f"/images/base/{path}").json, path)


def test_an_exec(api: Api, real: RealDocker) -> None:
    both_run(api, real)
    shown = []
    for side in (real.ask, lambda *a: ours(api, *a)):
        body = {"Cmd": ["true"], "AttachStdout": True}
        exec_id = side("POST", f"/containers/{real.name}/exec", body).json["Id"]
        shown.append(side("GET", f"/exec/{exec_id}/json").json)
    assert not differences(*shown)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/containers/NOPE/json", None), ("POST", "/containers/NOPE/start", None),
        ("DELETE", "/containers/NOPE", None), ("POST", "/containers/NOPE/wait", None),
        ("GET", "/containers/NOPE/logs?stdout=1", None), ("GET", "/exec/nope/json", None),
        ("POST", "/exec/nope/start", {}), ("GET", "/networks/nope", None), ("DELETE", "/networks/none", None),
        ("GET", "/volumes/nope", None), ("GET", "/nothing", None), ("GET", "/swarm", None), ("GET", "/nodes", None),
        ("POST", "/containers/NAME/start", None), ("POST", "/containers/NAME/exec", {}),
        ("GET", "/containers/NAME/logs", None),
        ("GET", "/containers/json?filters=%7B%22foo%22%3A%5B%22x%22%5D%7D", None),
        ("POST", "/containers/NAME/resize?h=1&w=1", None), ("DELETE", "/containers/NAME", None),
    ],
)  # fmt: skip
def test_errors(api: Api, real: RealDocker, method: str, path: str, body: Any) -> None:
    both_run(api, real)
    path = path.replace("NAME", real.name)
    theirs, own = real.ask(method, path, body), ours(api, method, path, body)
    assert own.status == theirs.status
    if theirs.body and own.status in (404, 503, 403):
        assert own.message.lower() == theirs.message.lower()


def test_events(api: Api, real: RealDocker) -> None:
    both_run(api, real)
    filters = f"%7B%22container%22%3A%5B%22{real.name}%22%5D%7D"
    shown = []
    for side, now_s in ((real.ask, time.time), (lambda *a: ours(api, *a), lambda: api.services.log.now_us / 1e6)):
        side("POST", f"/containers/{real.name}/stop?t=0")
        side("DELETE", f"/containers/{real.name}")
        answer = side("GET", f"/events?since=1&until={now_s():.6f}&filters={filters}")
        shown.append({event["Action"]: event for event in map(json.loads, answer.body.splitlines())})
    theirs, own = shown
    assert list(own) == list(theirs)
    assert not differences(theirs, own)
