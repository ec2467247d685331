"""Versions, routing, ping, info, disk usage, and the paths that are refused."""

from __future__ import annotations

import json
import os
import sys

import pytest

from support.connection import UnixConnection, ask

from .harness import Api


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.41", "/v1.47"])
def test_ping(api: Api, prefix: str) -> None:
    answer = ask(api.connection, "GET", prefix + "/_ping")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["Api-Version"] == "1.47"
    assert answer.headers["Ostype"] == "linux"
    assert answer.headers["Docker-Experimental"] == "false"


def test_ping_without_a_body(api: Api) -> None:
    answer = ask(api.connection, "HEAD", "/_ping")
    assert (answer.status, answer.body) == (200, b"")
    assert ask(api.connection, "GET", "/_ping").body == b"OK"


@pytest.mark.parametrize(
    ("version", "words"),
    [("1.48", "too new. Maximum supported API version is 1.47"), ("1.23", "too old"), ("2.0", "new")],
)
def test_versions_outside_the_range_are_refused(api: Api, version: str, words: str) -> None:
    answer = ask(api.connection, "GET", f"/v{version}/info")
    assert answer.status == 400 and words in answer.message


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("POST", "/_ping"), ("POST", "/containers/json"), ("GET", "/vx/info"), ("GET", "/"),
     ("GET", "/containers/a/b/none"), ("PATCH", "/info"), ("GET", "/images//json/x")],
)  # fmt: skip
def test_unknown_paths(api: Api, method: str, path: str) -> None:
    answer = ask(api.connection, method, path)
    assert (answer.status, answer.json) == (404, {"message": "page not found"})


@pytest.mark.parametrize("path", ["/swarm", "/nodes", "/services", "/tasks", "/secrets/x", "/configs"])
def test_swarm_is_answered_as_by_a_docker_that_is_no_manager(api: Api, path: str) -> None:
    answer = api.ask("GET", path)
    assert answer.status == 503 and answer.message.startswith("This node is not a swarm manager.")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/session"), ("POST", "/grpc")],
)
def test_what_is_not_offered_yet_says_so(api: Api, method: str, path: str) -> None:
    answer = api.ask(method, path)
    assert answer.status == 501 and "not supported yet" in answer.message


def test_version(api: Api) -> None:
    version = api.ask("GET", "/version").json
    assert (version["ApiVersion"], version["MinAPIVersion"], version["Os"]) == ("1.47", "1.24", "linux")
    assert version["KernelVersion"] == os.uname().release
    assert version["Components"][0]["Details"]["PythonVersion"] == sys.version.split()[0]


def test_info(api: Api) -> None:
    api.create()
    info = api.ask("GET", "/info").json
    assert info["Containers"] == 1
    assert info["DockerRootDir"] == "/d"
    assert info["NCPU"] == len(os.sched_getaffinity(0))
    assert info["MemTotal"] > 0
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    assert info["NEventsListener"] == 2


def test_disk_usage(api: Api) -> None:
    api.ask("POST", "/volumes/create", {"Name": "data"})
    api.create(HostConfig={"Binds": ["data:/data"]})
    usage = api.ask("GET", "/system/df").json
    assert usage["LayersSize"] == 1000
    assert usage["Images"][0]["Containers"] == 1
    assert (usage["Containers"][0]["SizeRw"], usage["Containers"][0]["SizeRootFs"]) == (5, 1005)
    assert usage["Volumes"][0]["UsageData"] == {"RefCount": 1, "Size": 7}
    assert "Docket" not in usage
    assert list(api.ask("GET", "/system/df?type=volume").json) == ["Volumes"]
    copy = {"id": "sha256:1", "chain_id": "sha256:2", "uid_map": "0 9 7\n", "size_bytes": 5, "containers": 1}
    api.services.system.layer_copies.append(copy)
    shown = {"ID": "sha256:1", "LayerID": "sha256:2", "Users": "0 9 7", "Size": 5, "Containers": 1}
    assert api.ask("GET", "/system/df").json["Docket"] == {"LayerCopies": [shown]}
    assert api.ask("GET", "/system/df?type=dust").status == 400


def test_the_actor_is_the_kernels_word_and_the_door_a_claim(api: Api) -> None:
    api.create("first")
    actor = api.services.log.records[-1].actor
    assert (actor["uid"], actor["gid"], actor["pid"]) == (os.getuid(), os.getgid(), os.getpid())
    assert actor["program"] == os.readlink("/proc/self/exe")
    assert actor["program_checked"] in (True, False)
    assert actor["door"] == "api"
    claims = {"docket-cli/1.0": "cli", "docket-python/1.0": "python", "Docker-Client/28.2": "api"}
    for number, (claim, door) in enumerate(claims.items()):
        name = f"/containers/create?name=n{number}"
        headers = {"User_Agent": claim}
        assert api.ask("POST", name, {"Image": "base"}, **headers).status == 201
        assert api.services.log.records[-1].actor["door"] == door
        assert api.services.log.records[-1].actor["uid"] == os.getuid()


def test_every_request_has_its_own_correlation(api: Api) -> None:
    api.create("a")
    api.create("b")
    first, second = api.services.log.records[-2:]
    assert first.correlation != second.correlation
    assert first.causation == f"request:{first.correlation}"


def test_the_connection_is_kept(api: Api) -> None:
    for _ in range(20):
        ask(api.connection, "GET", "/_ping")
    assert api.server.connection_count == 1


def test_a_stopped_server_is_gone_and_its_place_is_free(api: Api) -> None:
    assert ask(api.connection, "GET", "/_ping").status == 200
    api.server.stop()
    assert api.server.connection_count == 0
    with pytest.raises(OSError):
        ask(UnixConnection(api.socket_path), "GET", "/_ping")
    assert not api.socket_path.exists()


def test_defects_are_one_line_and_end_nothing(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    def defect() -> None:
        raise ZeroDivisionError("a\ndefect")

    api.services.system.info = defect  # type: ignore[method-assign,assignment]
    answer = api.ask("GET", "/info")
    assert answer.status == 500 and answer.message == "internal error: ZeroDivisionError: a defect"
    assert ask(api.connection, "GET", "/_ping").body == b"OK"
    assert "ZeroDivisionError" in capsys.readouterr().err, "the daemon's log has the whole story"


def test_an_os_error_names_step_and_path(api: Api) -> None:
    def full() -> None:
        error = OSError(28, "No space left on device", "/d/layers")
        error.step = "layer.rename"  # type: ignore[attr-defined]
        raise error

    api.services.system.info = full  # type: ignore[method-assign,assignment]
    assert api.ask("GET", "/info").message == "layer.rename: /d/layers: No space left on device"


def test_error_bodies_are_json_whatever_the_name(api: Api) -> None:
    answer = api.ask("GET", '/containers/%22%0Ax/json')
    assert answer.status == 400
    answer = api.ask("GET", "/containers/%22%E2%82%AC/json")
    assert answer.status == 404 and json.loads(answer.body)["message"] == 'No such container: "€'


@pytest.mark.parametrize(
    "query", ["squash=1", 'outputs=[{"Type":"tar"}]', "version=2", "securityopt=[%22x%22]", "output=x", "session=x"]
)
def test_a_build_that_asks_for_more_says_so(api: Api, query: str) -> None:
    answer = api.ask("POST", f"/build?{query}")
    assert answer.status == 501 and "not supported" in answer.message
