"""Images from and to a real registry (Debian's docker-registry) by the command line, and by Docker's own client."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from support.docker_registry import PASSWORD, USER, DockerRegistry, free_port, skopeo
from support.engine import Engine
from support.waiting import eventually

from .test_image_commands import docker_archive, layer

pytestmark = [pytest.mark.kernel, pytest.mark.requires("docker registry")]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(autouse=True)
def only_base(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each test has credentials of its own, and leaves no image but ``base``."""
    monkeypatch.setattr(engine, "environment", _with_config(engine, str(tmp_path / "docker-config")))
    yield
    engine.reset()
    for image in engine.api("GET", "/images/json?all=1").json:
        names = [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]
        if "base:latest" in names:
            names.remove("base:latest")
            for name in names:
                engine.api("DELETE", f"/images/{name}")
        else:
            engine.api("DELETE", f"/images/{image['Id']}?force=1")


def _with_config(engine: Engine, folder: str) -> Any:
    made = type(engine).environment
    return lambda **extra: {**made(engine, **extra), "DOCKER_CONFIG": folder}


@pytest.fixture
def app(engine: Engine, registry: DockerRegistry, rootfs: Path, request: pytest.FixtureRequest) -> str:
    return publish(engine, registry, rootfs, request.node.name)


def publish(engine: Engine, registry: DockerRegistry, rootfs: Path, test: str) -> str:
    """An image of three layers in the registry, in a repository of this test's own, and nowhere else."""
    name = f"{registry.address}/{test.partition('[')[0].replace('_', '-')}/app:1"
    last = layer((".wh.gone", b""), ("second", b"2"), ("name", name.encode()))
    layers = [rootfs.read_bytes(), layer(("first", b"1"), ("gone", b"x")), last]
    archive = docker_archive(layers, [name], {"Cmd": ["sh", "-c", "cat /first /second; ls /gone 2>&1"]})
    path = engine.home / "app.tar"
    path.write_bytes(archive)
    engine.docket("load", "-i", str(path))
    engine.docket("push", name)
    engine.docket("rmi", name)
    return name


def references(engine: Engine) -> set[str]:
    return set(engine.docket("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()) - {"base:latest"}


def digest_in(text: str) -> str:
    return next(line.partition(": ")[2] for line in text.splitlines() if line.startswith("Digest: "))


def test_pull_run_and_pull_again(engine: Engine, app: str) -> None:
    first = engine.docket("pull", app).stdout
    assert first.count("Pull complete") == 3
    assert first.splitlines()[-2:] == [f"Status: Downloaded newer image for {app}", app]
    done = engine.docket("run", "--rm", "--network", "none", app, check=False)
    assert done.stdout.startswith("12") and "No such file" in done.stdout
    events = engine.api("GET", "/docket/audit/head").json["seq"]
    again = engine.docket("pull", app).stdout
    assert "Already exists" not in again and f"Status: Image is up to date for {app}" in again
    assert engine.api("GET", "/docket/audit/head").json["seq"] == events
    assert digest_in(first) == digest_in(again)


def test_where_each_layer_came_from(engine: Engine, app: str) -> None:
    engine.docket("pull", app)
    trail = engine.trail(app)
    fetched = [event["data"] for event in trail if event["data"].get("reference") == app]
    fetched = [one for one in fetched if "received_bytes" in one]
    stored = [event["data"]["chain_id"] for event in trail if event["type"] == "layer.stored"]
    mine = engine.api("GET", f"/images/{app}/json").json
    assert len(fetched) == 2, "the base layer was there"
    assert {one["chain_id"] for one in fetched} <= set(stored)
    assert all(one["source"].startswith("http://127.0.0.1:") and one["reference"] == app for one in fetched)
    assert mine["RepoDigests"] == [f"{app.rpartition(':')[0]}@{digest_in(engine.docket('pull', app).stdout)}"]
    shown = engine.docket("audit", "trail", app).stdout
    assert "layer.fetched" in shown and "source=http://127.0.0.1" in shown


def test_quiet_prints_the_id_alone(engine: Engine, app: str) -> None:
    shown = engine.docket("pull", "-q", app).stdout
    assert shown == engine.docket("images", "-q", "--no-trunc", app).stdout


def test_by_digest(engine: Engine, app: str) -> None:
    repository = app.rpartition(":")[0]
    digest = digest_in(engine.docket("pull", app).stdout)
    engine.docket("rmi", app)
    name = f"{repository}@{digest}"
    assert engine.docket("pull", name).stdout.splitlines()[-1] == name
    assert engine.run("--rm", name, "cat", "/first") == "1"
    row = engine.docket("images", "--digests", repository).stdout.splitlines()[1].split()
    assert row[:3] == [repository, "<none>", digest]
    assert engine.docket("inspect", "--format", "{{index .RepoDigests 0}}", name).stdout.strip() == name
    engine.docket("tag", name, "named:1")
    assert engine.docket("rmi", name).stdout == f"Untagged: {name}\n"
    assert references(engine) == {"named:1"}
    wrong = f"{repository}@sha256:{'0' * 64}"
    assert "manifest unknown" in engine.refused("pull", wrong)


def test_run_pulls_what_is_missing(engine: Engine, app: str) -> None:
    done = engine.docket("run", "--rm", "--network", "none", app, "cat", "/second")
    assert done.stdout == "2" and f"Unable to find image '{app}' locally" in done.stderr
    assert "Status: Downloaded newer image" in done.stderr
    engine.docket("rmi", app)
    assert "No such image" in engine.refused("run", "--network", "none", "--pull", "never", app, code=125)
    always = engine.docket("run", "--rm", "--network", "none", "--pull", "always", app, "cat", "/first")
    assert always.stdout == "1" and "Downloaded newer" in always.stderr
    again = engine.docket("create", "--network", "none", "--pull", "always", app)
    assert "Image is up to date" in again.stderr and len(again.stdout.strip()) == 64


def test_what_is_not_there_is_one_clear_line(engine: Engine, registry: DockerRegistry) -> None:
    missing = f"{registry.address}/nothing/here:1"
    assert engine.refused("pull", missing).startswith("Error response from daemon: ")
    assert "127.0.0.1:1" in engine.refused("pull", "127.0.0.1:1/nobody/listens:1")
    assert "does not exist locally" in engine.refused("push", missing)
    assert "must be lowercase" in engine.refused("pull", f"{registry.address}/Team/App")


def test_every_tag_there_and_back(engine: Engine, registry: DockerRegistry) -> None:
    repository = f"{registry.address}/many/tags"
    for tag in ("1", "2"):
        engine.docket("tag", "base", f"{repository}:{tag}")
    engine.docket("push", "-a", repository)
    engine.docket("rmi", f"{repository}:1", f"{repository}:2")
    shown = engine.docket("pull", "-a", repository).stdout
    assert shown.splitlines()[-1] == repository and references(engine) == {f"{repository}:1", f"{repository}:2"}


def test_a_platform_to_push_is_that_of_the_image(engine: Engine, registry: DockerRegistry) -> None:
    name = f"{registry.address}/one/platform:1"
    engine.docket("tag", "base", name)
    refused = engine.docket("push", "--platform", "plan9/mips", name, check=False)
    assert refused.returncode == 1 and "does not match the specified platform (plan9/mips)" in refused.stderr
    assert "digest: sha256:" in engine.docket("push", "--platform", "linux", name).stdout


def test_what_was_built_is_pushed(engine: Engine, registry: DockerRegistry, tmp_path: Path) -> None:
    names = [f"{registry.address}/built/app:{tag}" for tag in ("1", "2")]
    (tmp_path / "Dockerfile").write_text("FROM base\nLABEL a=b\n")
    done = engine.docket("build", "--push", "-t", names[0], "-t", names[1], str(tmp_path))
    assert done.stdout.count("digest: sha256:") == 2
    engine.docket("rmi", *names)
    assert all(engine.docket("pull", name) for name in names)


def test_push_mounts_what_the_registry_has(engine: Engine, registry: DockerRegistry, app: str) -> None:
    pulled = digest_in(engine.docket("pull", app).stdout)
    other = f"{registry.address}/elsewhere/app:2"
    engine.docket("tag", app, other)
    shown = engine.docket("push", other).stdout
    assert shown.count("Mounted from test-push-mounts-what-the-registry-has/app") == 3
    assert f"2: digest: {pulled} size: " in shown, "the manifest that came is the one that leaves"
    assert engine.docket("push", other).stdout.count("Layer already exists") == 3
    pushed = [event for event in engine.trail(other) if event["type"] == "image.pushed"]
    assert [event["data"]["mounted_blobs"] for event in pushed][-2:] == [3, 0]


@pytest.mark.requires("skopeo")
def test_images_travel(engine: Engine, registry: DockerRegistry, app: str, tmp_path: Path) -> None:
    """registry -> docket -> archive -> skopeo -> registry -> docket: ids, diff IDs and manifests stay what they are."""
    digest = digest_in(engine.docket("pull", app).stdout)
    image = engine.api("GET", f"/images/{app}/json").json
    archive = tmp_path / "saved.tar"
    engine.docket("save", "-o", str(archive), app)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    copy = f"{registry.address}/copied/app:3"
    skopeo("copy", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{copy}")
    shown = json.loads(skopeo("inspect", "--tls-verify=false", "--config", f"docker://{copy}"))
    assert shown["rootfs"]["diff_ids"] == image["RootFS"]["Layers"]
    engine.docket("rmi", app)
    engine.docket("load", "-i", str(archive))
    assert engine.api("GET", f"/images/{app}/json").json["Id"] == image["Id"]
    assert engine.docket("push", app).stdout.splitlines()[-1].startswith(f"1: digest: {digest}")
    engine.docket("pull", copy)
    assert engine.api("GET", f"/images/{copy}/json").json["Id"] == image["Id"]
    layout = tmp_path / "layout"
    skopeo("copy", "--src-tls-verify=false", f"docker://{app}", f"oci:{layout}:x")
    assert digest.partition(":")[2] in os.listdir(layout / "blobs" / "sha256")


def test_a_private_registry(engine: Engine, tmp_path: Path) -> None:
    with DockerRegistry.with_password(tmp_path / "private") as private:
        name = f"{private.address}/team/app:1"
        engine.docket("tag", "base", name)
        refused = engine.refused("push", name)
        assert "no basic auth credentials" in refused or "unauthorized" in refused or "denied" in refused
        wrong = engine.docket("login", "-u", USER, "--password-stdin", private.address, input="wrong", check=False)
        assert wrong.returncode == 1 and "wrong" not in wrong.stderr
        config = tmp_path / "docker-config" / "config.json"
        assert not config.exists()
        done = engine.docket("login", "-u", USER, "--password-stdin", private.address, input=f"{PASSWORD}\n")
        assert done.stdout == "Login Succeeded\n" and str(config) in done.stderr
        assert stat.S_IMODE(config.stat().st_mode) == 0o600 and PASSWORD not in config.read_text()
        engine.docket("push", name)
        engine.docket("rmi", name)
        engine.docket("pull", name)
        engine.docket("rmi", name)
        assert engine.docket("logout", private.address).stdout == f"Removing login credentials for {private.address}\n"
        assert engine.docket("pull", name, check=False).returncode == 1
        assert PASSWORD.encode() not in (engine.root / "docket.db").read_bytes()
        assert PASSWORD not in engine.log()


@pytest.mark.requires("docker client")
def test_dockers_own_client(engine: Engine, registry: DockerRegistry, app: str, tmp_path: Path) -> None:
    shown = engine.docker("pull", app).stdout
    assert "Pull complete" in shown and shown.splitlines()[-1] == app
    assert "Image is up to date" in engine.docker("pull", app).stdout
    copy = f"{registry.address}/docker-client/app:1"
    engine.docker("tag", app, copy)
    assert f"1: digest: {digest_in(shown)}" in engine.docker("push", copy).stdout
    engine.docker("rmi", copy, app)
    assert engine.docker("run", "--rm", "--network", "none", copy, "cat", "/first").stdout == "1"
    assert engine.docker("image", "inspect", "--format", "{{len .RepoDigests}}", copy).stdout == "1\n"
    archive = tmp_path / "saved.tar"
    engine.docker("save", "-o", str(archive), copy)
    engine.docker("rmi", copy)
    assert f"Loaded image: {copy}" in engine.docker("load", "-i", str(archive)).stdout
    with DockerRegistry.with_password(tmp_path / "private") as private:
        login = ("login", "-u", USER, "--password-stdin", private.address)
        assert engine.docker(*login, input="wrong", check=False).returncode == 1
        assert "Login Succeeded" in engine.docker(*login, input=PASSWORD).stdout
        secret = f"{private.address}/secret:1"
        engine.docker("tag", copy, secret)
        engine.docker("push", "-q", secret)
        engine.docker("rmi", secret)
        assert engine.docker("pull", "-q", secret).stdout.strip() == secret
        engine.docker("logout", private.address)
        assert engine.docker("pull", secret, check=False).returncode == 1


def test_events_have_dockers_shape(engine: Engine, app: str) -> None:
    since = str(time.time() - 0.001)
    engine.docket("pull", app)
    engine.docket("push", app)
    engine.docket("save", "-o", str(engine.home / "saved.tar"), app)
    engine.docket("rmi", app)
    lines = engine.docket("events", "--since", since, "--until", "0s", "--format", "json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["Action"] for event in events] == ["pull", "push", "save", "untag", "untag", "delete"]
    assert events[0]["Actor"]["ID"] == events[1]["Actor"]["ID"] == app
    assert events[0]["Actor"]["Attributes"]["name"] == app.rpartition(":")[0]
    assert {event["Type"] for event in events} == {"image"}


def test_a_pull_whose_client_is_killed_goes_on_where_it_ended(engine: Engine, registry: DockerRegistry) -> None:
    name = f"{registry.address}/large/app:1"
    layers = [layer((f"noise-{n}", os.urandom(6 << 20))) for n in range(4)]
    path = engine.home / "large.tar"
    path.write_bytes(docker_archive(layers, [name]))
    engine.docket("load", "-i", str(path))
    engine.docket("push", name)
    engine.docket("rmi", name)
    client = engine.spawn("pull", name)
    assert client.stdout is not None
    while "Download complete" not in client.stdout.readline():
        pass
    client.kill()
    client.communicate()
    eventually(lambda: engine.event_types(name)[-1] in ("image.pull_failed", "image.tagged"), what="the pull has ended")
    assert name not in references(engine)
    engine.docket("pull", name)
    fetched = [event["data"] for event in engine.trail(name) if event["type"] == "layer.fetched"]
    assert sum(one["received_bytes"] for one in fetched) <= sum(one["size_bytes"] for one in fetched)
    assert engine.docket("system", "fsck").returncode == 0


def test_fsck_finds_and_mends(engine: Engine, app: str) -> None:
    engine.docket("pull", app)
    assert "the store is whole" in engine.docket("system", "fsck").stdout
    top = next(event["data"]["chain_ids"][-1] for event in engine.trail(app) if event["type"] == "image.pulling")
    damaged = engine.root / "layers" / top.partition(":")[2] / "second"
    damaged.write_text("3")
    found = engine.docket("system", "fsck", check=False)
    assert found.returncode == 1 and f"layer {top}: /second has another content" in found.stdout
    assert "(needed by" in found.stdout and "--repair" in found.stderr
    assert "unpacked again" in engine.docket("system", "fsck", "--repair").stdout
    assert damaged.read_text() == "2"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """The address of an index that knows two images, whatever it is asked."""
    results = [
        {"name": "team/alpine", "description": "A small image", "star_count": 12, "is_official": True},
        {"name": "my/alpine", "description": "\x1b[31mred", "star_count": 1},
    ]
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "search").write_text(json.dumps({"results": results}))
    port = free_port()
    serve = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    process = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port), what="the index listens")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_search(engine: Engine, index: str) -> None:
    unreachable = engine.refused("search", "127.0.0.1:1/alpine")
    assert "search index can't be reached" in unreachable and "search-index" in unreachable
    shown = engine.docket("search", "--limit", "5", f"{index}/alpine").stdout
    assert "\x1b" not in shown
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert lines[1] == ["team/alpine", "A", "small", "image", "12", "[OK]"] and lines[2][0] == "my/alpine"
    official = engine.docket("search", "--filter", "is-official=true", f"{index}/alpine").stdout
    assert len(official.splitlines()) == 2


@pytest.mark.requires("skopeo", "real docker")
def test_images_travel_between_a_real_docker_and_this_engine(
    engine: Engine, registry: DockerRegistry, app: str, tmp_path: Path
) -> None:
    """docker save -> docket load -> docket push -> skopeo copy -> docker load, and an image of ours into Docker."""
    engine.docket("pull", app)
    saved = tmp_path / "ours.tar"
    engine.docket("save", "-o", str(saved), app)
    name = f"{registry.address}/docket-test-travel/app:1"
    try:
        assert app in real_docker("load", "-i", str(saved))
        ours = engine.api("GET", f"/images/{app}/json").json
        theirs = json.loads(real_docker("inspect", app))[0]
        assert (theirs["Id"], theirs["RootFS"]) == (ours["Id"], ours["RootFS"])
        real_docker("tag", app, name)
        real_docker("rmi", app)
        real_docker("save", "-o", str(tmp_path / "theirs.tar"), name)
        real_docker("rmi", name)
        engine.docket("rmi", app)
        engine.docket("load", "-i", str(tmp_path / "theirs.tar"))
        digest = engine.docket("push", name).stdout.splitlines()[-1].split()[2]
        copy = f"{registry.address}/docket-test-travel/copy:1"
        plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
        skopeo("copy", "--preserve-digests", *plain, f"docker://{name}", f"docker://{copy}")
        shown = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{copy}"))
        assert shown["Digest"] == digest
        skopeo("copy", "--src-tls-verify=false", f"docker://{copy}", f"docker-archive:{tmp_path / 'back.tar'}:{name}")
        real_docker("load", "-i", str(tmp_path / "back.tar"))
        back = json.loads(real_docker("inspect", name))[0]
        assert (back["Id"], back["RootFS"]) == (theirs["Id"], theirs["RootFS"])
    finally:
        real_docker("rmi", "-f", app, name, check=False)


def real_docker(*words: str, check: bool = True) -> str:
    command = ["docker", "-H", os.environ["DOCKET_TEST_DOCKER_HOST"], *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout
