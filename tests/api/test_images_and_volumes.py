"""Images, volumes and networks over HTTP."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from engine.api.filters import compile_glob
from engine.domain.errors import Conflict
from support.connection import ask

from .fakes.images import IMAGE_ID
from .harness import V, Api


def query(**filters: Any) -> str:
    return "?filters=" + quote(json.dumps(filters))


def test_list_in_the_versions_of_the_api(api: Api) -> None:
    newest = api.ask("GET", "/images/json").json
    assert newest == [
        {"Containers": -1, "Created": 1700000000, "Id": IMAGE_ID, "Labels": {"kind": "test"}, "ParentId": "",
         "RepoDigests": [], "RepoTags": ["base:latest"], "SharedSize": -1, "Size": 1000}
    ]  # fmt: skip
    (old,) = ask(api.connection, "GET", "/v1.41/images/json").json
    assert (old["RepoDigests"], old["VirtualSize"]) == (None, 1000)
    (shared,) = api.ask("GET", "/images/json?shared-size=1").json
    assert shared["SharedSize"] == 0


@pytest.mark.parametrize(
    ("filters", "found"),
    [({"dangling": ["true"]}, 0), ({"dangling": ["false"]}, 1), ({"label": ["kind=test"]}, 1), ({"label": ["x"]}, 0),
     ({"reference": ["ba*"]}, 1), ({"reference": ["base:lat*"]}, 1), ({"reference": ["b"]}, 0),
     ({"before": ["base"]}, 0), ({"until": ["2030-01-01T00:00:00Z"]}, 1)],
)  # fmt: skip
def test_list_filters(api: Api, filters: dict[str, list[str]], found: int) -> None:
    assert len(api.ask("GET", "/images/json" + query(**filters)).json) == found


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [("*", "base", True), ("*", "a/base", False), ("*/*", "a/base", True), ("a/*:v?", "a/base:v1", True),
     ("a*e", "abase", True), ("a*e", "abases", False), ("[ab]ase", "base", True), ("[^b]ase", "base", False),
     (r"b\*se", "b*se", True), ("a.c", "abc", False), ("**a**", "bab", True), ("a*b*c", "a/b/c", False)],
)  # fmt: skip
def test_globs_match_as_gos_path_does(pattern: str, name: str, matches: bool) -> None:
    assert bool(compile_glob(pattern).fullmatch(name)) is matches


def test_a_hostile_glob_is_quick() -> None:
    assert not compile_glob("*a" * 100 + "b").fullmatch("a" * 250)


def test_inspect_and_history(api: Api) -> None:
    shown = api.ask("GET", "/images/library/base/json").json
    assert shown["Id"] == IMAGE_ID and shown["RepoTags"] == ["base:latest"]
    assert shown["Created"] == "2023-11-14T22:13:20.123456789Z"
    assert shown["Config"]["Cmd"] == ["sh"] and shown["Config"]["Env"] is None
    assert shown["RootFS"] == {"Type": "layers", "Layers": ["sha256:diff"]}
    assert (shown["Architecture"], shown["Os"], shown["Size"]) == ("amd64", "linux", 1000)
    assert "Container" not in shown
    assert ask(api.connection, "GET", "/v1.41/images/base/json").json["Container"] == ""
    assert api.ask("GET", "/images/base/history").json[0]["Created"] == 1700000000
    missing = api.ask("GET", "/images/nope/json")
    assert (missing.status, missing.message) == (404, "No such image: nope")


def test_import_streams_the_body(api: Api) -> None:
    body = bytes(range(256)) * 4000
    answer = api.ask("POST", "/images/create?fromSrc=-&repo=mine&tag=v1&changes=CMD+x&changes=USER+y&message=m", body)
    assert answer.status == 200 and json.loads(answer.body) == {"status": IMAGE_ID}
    assert answer.body.endswith(b"\r\n")
    assert api.services.archives.received == [body]
    assert api.services.archives.imports == [
        {"reference": "mine:v1", "changes": ["CMD x", "USER y"], "message": "m", "platform": None, "source": "-"}
    ]


def test_import_of_a_chunked_body(api: Api) -> None:
    chunks = (b"a" * size for size in (1, 70_000, 3))
    api.connection.request("POST", V + "/images/create?fromSrc=-", body=chunks, encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    response = api.connection.getresponse()
    response.read()
    assert response.status == 200
    assert api.services.archives.received == [b"a" * 70_004]


def test_load_tells_its_progress(api: Api) -> None:
    answer = api.ask("POST", "/images/load", b"archive")
    assert answer.body == b'{"stream":"Loaded image: base:latest\\n"}\r\n'


def test_load_errors_before_the_first_line_have_a_status(api: Api) -> None:
    answer = api.ask("POST", "/images/load", b"garbage")
    assert (answer.status, answer.message) == (400, "the archive is not a tar archive")


def test_load_errors_later_are_a_line(api: Api) -> None:
    api.services.archives.load_error = Conflict("layer is busy")
    answer = api.ask("POST", "/images/load", b"archive")
    assert answer.status == 200
    last = json.loads(answer.body.splitlines()[-1])
    assert last == {"errorDetail": {"message": "layer is busy"}, "error": "layer is busy"}


def test_tag_and_remove(api: Api) -> None:
    assert api.ask("POST", "/images/base/tag?repo=other&tag=v2").status == 201
    assert api.ask("GET", "/images/base/json").json["RepoTags"] == ["base:latest", "other:v2"]
    assert api.ask("POST", "/images/base/tag").status == 400
    assert api.ask("DELETE", "/images/base?force=1").json[-1] == {"Deleted": IMAGE_ID}
    assert api.ask("GET", "/images/json").json == []
    assert api.ask("POST", "/images/prune").json == {"ImagesDeleted": None, "SpaceReclaimed": 0}


def test_volumes(api: Api) -> None:
    created = api.ask("POST", "/volumes/create", {"Name": "data", "Labels": {"a": "b"}})
    assert created.status == 201
    assert created.json == {
        "CreatedAt": "2023-11-14T22:13:22Z", "Driver": "local", "Labels": {"a": "b"}, "Mountpoint": "/v/data/_data",
        "Name": "data", "Options": None, "Scope": "local",
    }  # fmt: skip
    assert api.ask("GET", "/volumes/data").json == created.json
    api.create(HostConfig={"Binds": ["data:/data"]})
    for filters, count in [
        ({}, 1), ({"dangling": ["true"]}, 0), ({"dangling": ["0"]}, 1), ({"name": ["at"]}, 1), ({"label": ["a=c"]}, 0),
        ({"driver": ["local"]}, 1),
    ]:  # fmt: skip
        assert len(api.ask("GET", "/volumes" + query(**filters)).json["Volumes"]) == count, filters
    assert api.ask("GET", "/volumes").json["Warnings"] is None
    assert api.ask("GET", "/volumes" + query(dangling=["perhaps"])).status == 400
    assert api.ask("DELETE", "/volumes/data").status == 204
    assert api.ask("DELETE", "/volumes/data").message == "get data: no such volume"


def test_old_clients_prune_named_volumes_too(api: Api) -> None:
    api.ask("POST", "/volumes/prune" + query(label=["x"]))
    ask(api.connection, "POST", "/v1.41/volumes/prune")
    assert api.services.volumes.prunes == [{"label": ["x"]}, {"all": ["true"]}]


def test_networks(api: Api) -> None:
    found = api.ask("GET", "/networks").json
    assert [(network["Name"], network["Driver"]) for network in found] == [("none", "null"), ("host", "host")]
    assert len({network["Id"] for network in found}) == 2
    assert [one["Name"] for one in api.ask("GET", "/networks" + query(driver=["host"])).json] == ["host"]
    for pattern in ("non", "^n", "one$"):
        assert [one["Name"] for one in api.ask("GET", "/networks" + query(name=[pattern])).json] == ["none"]
    for values, said in ((["x"], "'dangling=x'"), (["true", "false"], "both true and false")):
        refused = api.ask("GET", "/networks" + query(dangling=values))
        assert refused.status == 400 and said in refused.message
    container_id = api.run()
    shown = api.ask("GET", f"/networks/{found[0]['Id'][:12]}").json
    assert shown["Containers"][container_id]["Name"] == "web"
    assert api.ask("GET", "/networks/host").json["Containers"] == {}
    assert api.ask("GET", "/networks/nope").message == "network nope not found"
    assert api.ask("DELETE", "/networks/none").status == 403
    assert api.ask("DELETE", "/networks/nope").status == 404
    assert api.ask("POST", "/networks/prune").json == {"NetworksDeleted": None}
