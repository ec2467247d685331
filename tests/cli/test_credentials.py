"""Registry credentials of the user: Docker's config.json and its credential helpers, read and written."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from engine.client.credentials import DOCKER_HUB, CredentialFile, auth_header, registry_of, server_of
from engine.client.errors import ClientError

HELPER = """#!{python}
import json, pathlib, sys
kept = pathlib.Path({state!r})
secrets = json.loads(kept.read_text()) if kept.exists() else {{}}
text = sys.stdin.read()
if sys.argv[1] == "get":
    if text not in secrets:
        print("credentials not found in native keychain")
        sys.exit(1)
    print(json.dumps(secrets[text]))
elif sys.argv[1] == "store":
    secrets[json.loads(text)["ServerURL"]] = json.loads(text)
elif sys.argv[1] == "erase":
    secrets.pop(text, None)
elif sys.argv[1] == "list":
    print(json.dumps({{server: secret["Username"] for server, secret in secrets.items()}}))
kept.write_text(json.dumps(secrets))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "docker"


def write(folder: Path, config: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))


def read(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def basic(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The helper ``test``; answers with the file in which it keeps its secrets."""
    programs, state = tmp_path / "bin", tmp_path / "secrets.json"
    programs.mkdir()
    program = programs / "docker-credential-test"
    program.write_text(HELPER.format(python=sys.executable, state=str(state)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return state


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("", DOCKER_HUB),
        ("docker.io", DOCKER_HUB),
        ("https://index.docker.io/v1/", DOCKER_HUB),
        ("registry-1.docker.io", DOCKER_HUB),
        ("host:5000", "host:5000"),
        ("https://host:5000/v2/", "host:5000"),
        ("ghcr.io/org", "ghcr.io"),
    ],
)
def test_servers(address: str, server: str) -> None:
    assert server_of(address) == server


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("ubuntu", "docker.io"),
        ("team/app:1", "docker.io"),
        ("docker.io/library/ubuntu", "docker.io"),
        ("localhost/app", "localhost"),
        ("host:5000/app@sha256:" + "a" * 64, "host:5000"),
        ("ghcr.io/org/app", "ghcr.io"),
        ("ubuntu:22.04", "docker.io"),
    ],
)
def test_registries_of_references(reference: str, registry: str) -> None:
    assert registry_of(reference) == registry


def test_what_was_stored_is_found_and_private(folder: Path) -> None:
    file = CredentialFile(str(folder))
    assert file.get("host:5000") == {}
    assert file.store("https://host:5000/v1/", {"username": "me", "password": "a:b"}) == str(folder / "config.json")
    assert file.get("host:5000") == {"username": "me", "password": "a:b", "serveraddress": "host:5000"}
    assert read(folder) == {"auths": {"host:5000": basic("me:a:b")}}
    assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
    assert os.listdir(folder) == ["config.json"]


def test_an_identity_token_is_kept_in_place_of_the_password(folder: Path) -> None:
    file = CredentialFile(str(folder))
    file.store("", {"username": "me", "password": "secret", "identitytoken": "T"})
    assert file.get("docker.io") == {"identitytoken": "T", "serveraddress": DOCKER_HUB}
    assert base64.b64decode(read(folder)["auths"][DOCKER_HUB]["auth"]) == b"me:"


def test_what_is_not_ours_stays(folder: Path) -> None:
    before = {
        "HttpHeaders": {"X": "1"},
        "auths": {"other": {**basic("a:b"), "email": "e"}, "https://host/v1/": basic("old:old")},
        "psFormat": "table {{.ID}}\\t{{.Image}}",
        "plugins": {"deep": [1, 2.5, None, {"x": True}]},
    }
    write(folder, before)
    file = CredentialFile(str(folder))
    file.store("host", {"username": "me", "password": "p"})
    assert read(folder) == {**before, "auths": {"other": before["auths"]["other"], "host": basic("me:p")}}
    assert file.erase("host") is True
    assert file.erase("host") is False
    assert read(folder) == {**before, "auths": {"other": before["auths"]["other"]}}


def test_old_spellings_are_understood(folder: Path) -> None:
    write(folder, {"auths": {"https://host:5000/v1/": basic("me:p"), "index.docker.io": basic("hub:p")}})
    file = CredentialFile(str(folder))
    assert file.get("host:5000")["username"] == "me"
    assert file.get("docker.io")["username"] == "hub"
    assert set(file.all()) == {"host:5000", DOCKER_HUB}


def test_a_link_stays_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "my.json").write_text('{"x": 1}')
    folder.mkdir()
    (folder / "config.json").symlink_to(tmp_path / "elsewhere" / "my.json")
    CredentialFile(str(folder)).store("host", {"username": "me", "password": "p"})
    assert (folder / "config.json").is_symlink()
    assert set(json.loads((tmp_path / "elsewhere" / "my.json").read_text())) == {"x", "auths"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no valid JSON"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "no valid JSON"),
        ('{"auths": {"host": {"auth": "%%%"}}}', "no base64"),
        ('{"auths": {"host": {"auth": "bm9jb2xvbg=="}}}', "no user name and password"),
        ('{"credsStore": "../evil"}', "no name of a program"),
        ('{"credHelpers": {"host": "nowhere"}}', "not in $PATH"),
    ],
)
def test_a_broken_file_is_named_and_left_alone(folder: Path, text: str, message: str) -> None:
    write(folder, text)
    with pytest.raises(ClientError, match=message.replace("$", r"\$")):
        CredentialFile(str(folder)).get("host")
    assert (folder / "config.json").read_text() == text


def test_a_broken_file_is_not_overwritten_by_a_login(folder: Path) -> None:
    write(folder, "{")
    with pytest.raises(ClientError):
        CredentialFile(str(folder)).store("host", {"username": "me", "password": "p"})
    assert (folder / "config.json").read_text() == "{"


def test_two_logins_at_once_both_count(folder: Path) -> None:
    names = [f"host{number}" for number in range(16)]
    threads = [
        threading.Thread(
            target=CredentialFile(str(folder)).store, args=(name, {"username": name, "password": "p"})
        )
        for name in names
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(CredentialFile(str(folder)).all()) == sorted(names)


def test_a_helper_keeps_the_secret(folder: Path, helper: Path) -> None:
    write(folder, {"credHelpers": {"host": "test"}})
    file = CredentialFile(str(folder))
    assert file.get("host") == {}
    assert file.store("host", {"username": "me", "password": "p"}) == ""
    assert file.get("host") == {"username": "me", "password": "p", "serveraddress": "host"}
    assert read(folder)["auths"] == {"host": {}}
    assert json.loads(helper.read_text())["host"] == {"ServerURL": "host", "Username": "me", "Secret": "p"}
    assert file.erase("host") is True
    assert json.loads(helper.read_text()) == {}
    assert read(folder)["auths"] == {}


def test_a_store_for_all_servers_keeps_tokens(folder: Path, helper: Path) -> None:
    write(folder, {"credsStore": "test"})
    file = CredentialFile(str(folder))
    file.store("", {"username": "me", "password": "p", "identitytoken": "T"})
    file.store("host", {"username": "you", "password": "q"})
    assert file.get("") == {"identitytoken": "T", "serveraddress": DOCKER_HUB}
    assert {server: auth.get("username", "") for server, auth in file.all().items()} == {DOCKER_HUB: "", "host": "you"}
    assert "T" not in (folder / "config.json").read_text()


def test_a_helper_that_fails_is_quoted(folder: Path, tmp_path: Path, helper: Path) -> None:
    (tmp_path / "bin" / "docker-credential-test").write_text("#!/bin/sh\necho the key ring is locked\nexit 3\n")
    write(folder, {"credsStore": "test"})
    with pytest.raises(ClientError, match="docker-credential-test get: the key ring is locked"):
        CredentialFile(str(folder)).get("host")


def test_the_folder_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"auths": {"host": basic("me:p")}})
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    assert CredentialFile().get("host")["username"] == "me"
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert CredentialFile().path == str(folder.parent / ".docker" / "config.json")


def test_the_header_is_what_the_engine_reads() -> None:
    auth = {"username": "mé", "password": "?>~~", "serveraddress": "host"}
    header = auth_header(auth)
    assert not set(header) & set("+/")
    assert json.loads(base64.urlsafe_b64decode(header)) == auth
    assert auth_header({}) == ""


def test_proxies_of_an_engine(tmp_path: Path) -> None:
    """What stands under the engine's address wins over the default as a whole, as with Docker's client."""
    kept = {"proxies": {"default": {"httpProxy": "http://d", "noProxy": "x"}, "unix:///s": {"httpsProxy": "http://s"}}}
    (tmp_path / "config.json").write_text(json.dumps(kept))
    file = CredentialFile(str(tmp_path))
    assert file.proxies("unix:///s") == {"HTTPS_PROXY": "http://s", "https_proxy": "http://s"}
    assert file.proxies("unix:///o") == {
        "HTTP_PROXY": "http://d", "http_proxy": "http://d", "NO_PROXY": "x", "no_proxy": "x"
    }  # fmt: skip
