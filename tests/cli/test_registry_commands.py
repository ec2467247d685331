"""pull, push, search, login, logout, save and fsck against a scripted engine: what is asked, and what is printed."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from cli.conftest import Done
from cli.fake_engine import FakeEngine, answer, chunked, refusal
from engine.cli.progress import Terminal, counted

Docket = Callable[..., Done]
ID = "sha256:" + "1" * 64
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / "config.json"


def progress(*lines: dict[str, Any]) -> bytes:
    return chunked(*(json.dumps(line).encode() + b"\r\n" for line in lines))


PULLED = progress(
    {"status": "Pulling from library/app", "id": "1"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "0123456789ab"},
    {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "0123456789ab"},
    {"status": "Pull complete", "progressDetail": {}, "id": "0123456789ab"},
    {"status": f"Digest: {DIGEST}"},
)


def sent_auth(fake: FakeEngine) -> Any:
    return json.loads(base64.urlsafe_b64decode(fake.asked[-1].headers["x-registry-auth"]))


@pytest.mark.parametrize(
    ("words", "query", "last"),
    [
        (["app"], "fromImage=app&tag=latest", "docker.io/library/app:latest"),
        (["team/app:1"], "fromImage=team%2Fapp&tag=1", "docker.io/team/app:1"),
        (["host:5000/app"], "fromImage=host:5000%2Fapp&tag=latest", "host:5000/app:latest"),
        ([f"host/app:1@{DIGEST}"], f"fromImage=host%2Fapp&tag={DIGEST}", f"docker.io/host/app@{DIGEST}"),
        (["-a", "localhost/app"], "fromImage=localhost%2Fapp", "localhost/app"),
        (["--platform", "linux/arm64", "app:1"], "fromImage=app&tag=1&platform=linux%2Farm64",
         "docker.io/library/app:1"),
    ],
)  # fmt: skip
def test_pull(docket: Docket, fake: FakeEngine, words: list[str], query: str, last: str) -> None:
    fake.on["POST /images/create"] = PULLED
    done = docket("pull", *words)
    assert fake.asked[-1].query == query and "x-registry-auth" not in fake.asked[-1].headers
    lines = done.out.splitlines()
    assert ("Using default tag: latest" in lines) == ("tag=latest" in query)
    assert lines[-1] == last and done.status == 0
    assert "0123456789ab: Pull complete" in lines and "Downloading" not in done.out


def test_pull_quietly_prints_the_id_alone(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /images/create"] = PULLED
    fake.on["GET /images/app/json"] = answer({"Id": ID})
    assert docket("pull", "-q", "app") == Done(0, f"{ID}\n", "")


def test_pull_refusals(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /images/create"] = refusal(404, "manifest unknown")
    assert docket("pull", "app").err == "Error response from daemon: manifest unknown\n"
    fake.on["POST /images/create"] = progress({"errorDetail": {"message": "no space"}, "error": "no space"})
    assert docket("pull", "app").err == "Error response from daemon: no space\n"
    assert "--all-tags" in docket("pull", "-a", "app:1").err


def test_what_a_registry_says_does_not_reach_the_terminal_as_it_is(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /images/create"] = progress({"status": "\x1b[2Jgone", "id": "\x1b]0;x\x07"})
    assert "\x1b" not in docket("pull", "app").out


def test_push(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /images/host/app/push"] = progress(
        {"status": "The push refers to repository [host/app]"}, {"status": f"1: digest: {DIGEST} size: 5"},
        {"progressDetail": {}, "aux": {"Tag": "1"}},
    )  # fmt: skip
    shown = docket("push", "host/app:1").out
    assert shown == f"The push refers to repository [host/app]\n1: digest: {DIGEST} size: 5\n"
    assert fake.asked[-1].query == "tag=1"
    docket("push", "-a", "host/app")
    assert fake.asked[-1].query == ""
    docket("push", "--platform", "linux/arm64", "host/app:1")
    assert fake.asked[-1].query == "tag=1&platform=linux%2Farm64"
    assert docket("push", "-q", "host/app:1").out == "docker.io/host/app:1\n"
    assert "digest reference" in docket("push", f"host/app@{DIGEST}").err


def test_login_keeps_what_the_registry_takes(docket: Docket, fake: FakeEngine, config: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    fake.on["POST /auth"] = answer({"Status": "Login Succeeded", "IdentityToken": ""})
    with_stdin(monkeypatch, b"pass word\n")
    done = docket("login", "-u", "me", "--password-stdin", "host:5000")
    assert done.out == "Login Succeeded\n" and str(config) in done.err and "pass word" not in done.out + done.err
    assert fake.asked[-1].json == {"username": "me", "password": "pass word", "serveraddress": "host:5000"}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    fake.on["POST /images/create"] = PULLED
    docket("pull", "host:5000/app")
    assert sent_auth(fake) == {"username": "me", "password": "pass word", "serveraddress": "host:5000"}
    docket("pull", "other:5000/app")
    assert "x-registry-auth" not in fake.asked[-1].headers
    assert docket("logout", "host:5000").out == "Removing login credentials for host:5000\n"
    assert docket("logout", "host:5000").out == "Not logged in to host:5000\n"
    assert json.loads(config.read_text())["auths"] == {}


def test_login_that_is_refused_keeps_nothing(docket: Docket, fake: FakeEngine, config: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    fake.on["POST /auth"] = refusal(401, "unauthorized: incorrect username or password")
    with_stdin(monkeypatch, b"wrong")
    done = docket("login", "-u", "me", "--password-stdin")
    assert done.status == 1 and "incorrect username" in done.err and not config.exists()
    assert fake.asked[-1].json["serveraddress"] == "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--password-stdin"], "requires --username"), (["-u", "a", "-p", "b", "--password-stdin"], "mutually exclusive"),
     (["-u", "a"], "non TTY device"), (["-u", "a", "--password-stdin"], "Password Required")],
)  # fmt: skip
def test_login_refusals(docket: Docket, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str) -> None:
    with_stdin(monkeypatch, b"")
    done = docket("login", *words, "host")
    assert done.status == 1 and says in done.err


def with_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """What os.read(0) gives, and no terminal."""
    rest = [data]
    real = os.read

    def read(fd: int, size: int) -> bytes:
        if fd:
            return real(fd, size)
        piece, rest[0] = rest[0][:size], rest[0][size:]
        return piece

    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(os, "isatty", lambda fd: False)


def test_search(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /images/search"] = answer([
        {"name": "alpine", "description": "long " * 20, "star_count": 9, "is_official": True},
        {"name": "me/alpine", "description": "two\nlines", "star_count": 0, "is_official": False},
    ])  # fmt: skip
    lines = docket("search", "--limit", "3", "--filter", "stars=1", "alpine").out.splitlines()
    assert fake.asked[-1].query == "term=alpine&limit=3&filters=%7B%22stars%22:%7B%221%22:true%7D%7D"
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert "…" in lines[1] and lines[1].endswith("[OK]") and "two lines" in lines[2]
    assert docket("search", "--format", "{{.Name}} {{.StarCount}}", "alpine").out == "alpine 9\nme/alpine 0\n"
    assert "…" not in docket("search", "--no-trunc", "alpine").out


def test_save_writes_a_whole_file_or_none(docket: Docket, fake: FakeEngine, tmp_path: Path) -> None:
    target = tmp_path / "saved.tar"
    fake.on["GET /images/get"] = chunked(b"tar", b"ball", kind="application/x-tar")
    assert docket("save", "-o", str(target), "a", "b:1").status == 0
    assert target.read_bytes() == b"tarball" and fake.asked[-1].query == "names=a&names=b:1"
    assert docket("save", "--platform", "linux", "a").out == "tarball" and fake.asked[-1].query == (
        "names=a&platform=linux"
    )
    other = tmp_path / "other.tar"
    fake.on["GET /images/get"] = lambda asked, client: client.sendall(chunked(b"tar", kind="x")[:-7])
    assert docket("save", "-o", str(other), "a").status == 1
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == ["saved.tar"]
    fake.on["GET /images/get"] = refusal(404, "No such image: nope:latest")
    assert docket("save", "-o", str(other), "nope").err == "Error response from daemon: No such image: nope:latest\n"
    assert not other.exists()


def test_fsck(docket: Docket, fake: FakeEngine) -> None:
    problem = {"object": "layer sha256:1", "what": "has no tree", "images": ["app:1"], "repaired": "", "pull": ["app"]}
    fake.on["POST /docket/system/fsck"] = answer({"ok": False, "layers": 1, "blobs": 2, "problems": [problem]})
    done = docket("system", "fsck")
    assert done.out == "layer sha256:1: has no tree (needed by app:1)\npull again: docket pull app\n"
    assert done.status == 1 and "1 problem in 1 layer and 2 blobs" in done.err and "--repair" in done.err
    mended = {**problem, "repaired": "unpacked again from its blob", "pull": []}
    fake.on["POST /docket/system/fsck"] = answer({"ok": True, "layers": 1, "blobs": 2, "problems": [mended]})
    done = docket("system", "fsck", "--repair")
    assert done.status == 0 and fake.asked[-1].query == "repair=1"
    assert "unpacked again" in done.out and done.out.endswith("the store is whole: 1 layer and 2 blobs\n")


def test_a_terminal_has_a_line_for_each_layer() -> None:
    reader, writer = os.pipe()
    shown = Terminal(writer)
    for message in (
        {"status": "Pulling from library/app", "id": "1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "aaa"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "bbb"},
        {"status": "Downloading", "progressDetail": {"current": 5_000_000, "total": 10_000_000}, "id": "aaa"},
        {"status": "Digest: sha256:00"},
    ):
        shown.show(message)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read().decode()
    bar = "[" + "=" * 15 + ">" + " " * 15 + "]"
    assert text == (
        "1: Pulling from library/app\naaa: Pulling fs layer\nbbb: Pulling fs layer\n"
        f"\x1b[2A\r\x1b[2Kaaa: Downloading {bar}     5MB/10MB\r\x1b[2B"
        "Digest: sha256:00\n"
    )


def test_what_is_counted() -> None:
    assert counted({}) == "" and counted({"current": 1500}) == " 1.5kB"
    assert counted({"current": 10, "total": 10}).endswith("10B/10B")


def test_disk_usage_in_detail_tells_of_the_build_cache(docket: Docket, fake: FakeEngine) -> None:
    """Like Docker's, by last use; what images have as well is theirs."""

    def record(letter: str, shared: bool, second: int) -> dict[str, Any]:
        moment = f"2026-01-01T00:00:0{second}Z"
        return {
            "ID": letter * 64, "Type": "regular", "Description": "x", "InUse": False, "Shared": shared, "Size": 1500,
            "CreatedAt": moment, "LastUsedAt": moment, "UsageCount": 2,
        }  # fmt: skip

    fake.on["GET /system/df"] = answer({"BuildCache": [record("a", True, 2), record("b", False, 1)]})
    lines = docket("system", "df", "-v").out.splitlines()
    assert lines[-5:-3] == ["Build cache usage: 1.5kB", ""]
    assert lines[-3].split("  ")[0] == "CACHE ID"
    assert [(line.split()[0], line.split()[-1]) for line in lines[-2:]] == [("b" * 12, "false"), ("a" * 12, "true")]
