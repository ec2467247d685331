"""Registries over HTTP: what is handed to the services, and the shapes of what comes back."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from engine.domain.errors import NotFound, Unauthorized
from engine.images.registry.credentials import Credentials

from .harness import V, Api

AUTH = base64.urlsafe_b64encode(json.dumps({"username": "u", "password": "pw??>>"}).encode()).decode()
DIGEST = "sha256:" + "a" * 64


def lines(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\r\n")
    return [json.loads(line) for line in body.split(b"\r\n") if line]


@pytest.mark.parametrize(
    ("query", "normalized", "every_tag"),
    [
        ("fromImage=base&tag=v1", "docker.io/library/base:v1", False),
        ("fromImage=base:v2", "docker.io/library/base:v2", False),
        ("fromImage=base:v2&tag=v3", "docker.io/library/base:v3", False),
        (f"fromImage=host:5000/a/b&tag={DIGEST}", f"host:5000/a/b@{DIGEST}", False),
        (f"fromImage=a/b@{DIGEST}", f"docker.io/a/b@{DIGEST}", False),
        ("fromImage=base", "docker.io/library/base:latest", True),
    ],
)
def test_pull_names(api: Api, query: str, normalized: str, every_tag: bool) -> None:
    assert api.ask("POST", f"/images/create?{query}").status == 200
    (asked,) = api.services.pulls.asked
    assert asked["reference"].normalized == normalized
    assert (asked["every_tag"], asked["platform"], asked["credentials"]) == (every_tag, None, Credentials())
    assert asked["context"].actor["door"] == "api"


def test_pull_hands_credentials_and_platform_on(api: Api) -> None:
    api.ask("POST", "/images/create?fromImage=base&tag=a&platform=linux/arm64", **{"X-Registry-Auth": AUTH})
    (asked,) = api.services.pulls.asked
    assert (asked["platform"], asked["credentials"]) == ("linux/arm64", Credentials("u", "pw??>>"))
    assert "pw" not in repr(asked["credentials"])


def test_bad_credentials_are_refused_without_being_repeated(api: Api) -> None:
    answer = api.ask("POST", "/images/create?fromImage=base", **{"X-Registry-Auth": "c2VjcmV0LXdvcmQ"})
    assert answer.status == 400 and "secret" not in answer.message


def test_progress_has_dockers_shape(api: Api) -> None:
    assert lines(api.ask("POST", "/images/create?fromImage=base&tag=v1").body) == [
        {"status": "Pulling from library/base", "id": "v1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "0123456789ab"},
        {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "0123456789ab"},
        {"status": "Digest: sha256:00"},
    ]


def test_errors_before_the_first_line_have_a_status_and_later_ones_a_line(api: Api) -> None:
    api.services.pulls.error = NotFound("manifest unknown")
    early = api.ask("POST", "/images/create?fromImage=base&tag=v1")
    assert (early.status, early.message) == (404, "manifest unknown")
    api.services.pulls.error, api.services.pulls.late_error = None, Unauthorized("token expired")
    late = api.ask("POST", "/images/create?fromImage=base&tag=v1")
    assert late.status == 200
    assert lines(late.body)[-1] == {"errorDetail": {"message": "token expired"}, "error": "token expired"}


def test_a_pull_never_asks_for_a_login(api: Api) -> None:
    """A 401 makes Docker's client prompt its user, who may be a script."""
    api.services.pulls.error = Unauthorized("no basic auth credentials")
    answer = api.ask("POST", "/images/create?fromImage=base&tag=v1")
    assert (answer.status, answer.message) == (500, "no basic auth credentials")


def test_a_client_that_leaves_ends_its_pull(api: Api) -> None:
    with api.dial() as sock:
        path = f"{V}/images/create?fromImage=base&tag=endless"
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        while b"Downloading" not in sock.recv(65536):
            pass
        assert not api.services.pulls.closed.is_set()
    assert api.services.pulls.closed.wait(10)


def test_push(api: Api) -> None:
    answer = api.ask("POST", "/images/host:5000/a/b/push?tag=v1", **{"X-Registry-Auth": AUTH})
    assert lines(answer.body) == [
        {"status": "The push refers to repository [host:5000/a/b]"},
        {"status": "v1: digest: sha256:00 size: 5"},
        {"progressDetail": {}, "aux": {"Tag": "v1", "Digest": "sha256:00", "Size": 5}},
    ]
    api.ask("POST", "/images/host:5000/a/b/push")
    first, second = api.services.pushes.asked
    assert (first["reference"].tag, first["every_tag"], first["credentials"].username) == ("v1", False, "u")
    assert (second["reference"].tag, second["every_tag"]) == ("", True)


def test_login(api: Api) -> None:
    body = {"username": "u", "password": "right", "serveraddress": "host:5000"}
    answer = api.ask("POST", "/auth", body)
    assert (answer.status, answer.json) == (200, {"Status": "Login Succeeded", "IdentityToken": "token"})
    refused = api.ask("POST", "/auth", {**body, "password": "secret-word"})
    assert refused.status == 401 and "secret-word" not in refused.message
    assert api.ask("POST", "/auth", {**body, "serveraddress": 3}).status == 400
    assert [address for address, _ in api.services.registries.logins] == ["host:5000", "host:5000"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [({}, ["alpine", "me/alpine"]), ({"is-official": ["true"]}, ["alpine"]), ({"stars": ["2"]}, ["alpine"]),
     ({"is-automated": ["true"]}, ["me/alpine"])],
)  # fmt: skip
def test_search(api: Api, filters: dict[str, list[str]], names: list[str]) -> None:
    answer = api.ask("GET", f"/images/search?term=alpine&limit=7&filters={quote(json.dumps(filters))}")
    assert [one["name"] for one in answer.json] == names
    assert set(answer.json[0]) == {"star_count", "is_official", "name", "is_automated", "description"}
    assert api.services.registries.searches == [("alpine", 7)]


def test_search_refuses_what_it_does_not_know(api: Api) -> None:
    assert api.ask("GET", "/images/search").status == 400
    for filters in ({"colour": ["red"]}, {"stars": ["many"]}):
        assert api.ask("GET", f"/images/search?term=a&filters={quote(json.dumps(filters))}").status == 400


def test_distribution(api: Api) -> None:
    assert api.ask("GET", "/distribution/host/a:v1/json").json == {
        "Descriptor": {"mediaType": "m", "digest": "sha256:00", "size": 5},
        "Platforms": [
            {"architecture": "amd64", "os": "linux"}, {"architecture": "arm", "os": "linux", "variant": "v7"}
        ],
    }  # fmt: skip


def test_save(api: Api) -> None:
    answer = api.ask("GET", "/images/get?names=a&names=b:1")
    assert (answer.status, answer.body) == (200, b"tarball")
    assert api.ask("GET", "/images/team/a:v1/get").body == b"tarball"
    assert api.services.archives.saved == [["a", "b:1"], ["team/a:v1"]]
    assert api.ask("GET", "/images/get?names=nope").status == 404
    assert api.ask("GET", "/images/get").status == 400


@pytest.mark.parametrize(
    ("given", "platform"),
    [("", None), ("linux/arm64", "linux/arm64"), ('{"os":"linux","architecture":"arm","variant":"7"}', "linux/arm/7")],
)
def test_load_takes_a_platform_in_both_forms(api: Api, given: str, platform: str | None) -> None:
    api.ask("POST", f"/images/load?platform={quote(given)}", b"archive")
    assert api.services.archives.platforms == [platform]


def test_fsck(api: Api) -> None:
    found = api.ask("POST", "/docket/system/fsck").json
    assert found == {
        "ok": False, "layers": 1, "blobs": 2,
        "problems": [{"object": "layer sha256:1", "what": "has no tree", "images": ["base:latest"], "repaired": "",
                      "pull": []}],
    }  # fmt: skip
    assert api.ask("POST", "/docket/system/fsck?repair=1").json["ok"] is True
