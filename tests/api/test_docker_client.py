"""The real docker client against the API: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from .harness import Api

pytestmark = pytest.mark.requires("docker client")

Docker = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def docker(api: Api, tmp_path: Path) -> Docker:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{api.socket_path}", "DOCKER_CONFIG": str(tmp_path / "config")}
    environment.pop("DOCKER_API_VERSION", None)

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        return done

    return run


def test_the_client_negotiates(docker: Docker) -> None:
    version = json.loads(docker("version", "--format", "{{json .}}").stdout)
    assert version["Server"]["ApiVersion"] == "1.47"
    assert docker("info", "--format", "{{.ServerVersion}} {{.Driver}}").stdout.strip().endswith("overlay2")


def test_a_container_from_create_to_rm(api: Api, docker: Docker) -> None:
    container_id = docker("create", "--name", "web", "-l", "a=b", "base", "sleep", "10").stdout.strip()
    docker("start", "web")
    columns = docker("ps", "--no-trunc", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.Names}} {{.State}}").stdout
    assert columns.strip() == f'{container_id} base "sleep 10" web running'
    shown = docker("inspect", "-f", "{{.State.Status}} {{.Config.Labels.a}} {{.Name}}", "web").stdout
    assert shown == "running b /web\n"
    assert docker("logs", "web").stdout == "out\n"
    assert docker("logs", "web").stderr == "err\n"
    assert docker("exec", "web", "echo", "hi").stdout == "hi\n"
    docker("pause", "web")
    assert "(Paused)" in docker("ps").stdout
    docker("unpause", "web")
    docker("rename", "web", "new")
    docker("stop", "-t", "1", "new")
    assert docker("wait", "new").stdout == "143\n"
    assert docker("ps", "-aq", "--no-trunc", "--filter", "status=exited").stdout.strip() == container_id
    docker("rm", "new")
    assert "No such container: new" in docker("rm", "new", status=1).stderr


def test_run_attaches_waits_and_passes_the_exit_status_on(docker: Docker) -> None:
    done = docker("run", "--name", "hello", "base", "greet", status=5)
    assert (done.stdout, done.stderr) == ("out\n", "WARNING: a warning\nerr\n")


def test_run_of_an_unknown_image_is_refused_clearly(docker: Docker) -> None:
    assert "pull access denied for nope" in docker("run", "nope", status=125).stderr


def test_images_and_volumes(api: Api, docker: Docker, tmp_path: Path) -> None:
    assert docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}").stdout == "base:latest 1kB\n"
    (tmp_path / "archive.tar").write_bytes(b"an archive")
    assert docker("load", "-i", str(tmp_path / "archive.tar")).stdout == "Loaded image: base:latest\n"
    (tmp_path / "rootfs.tar").write_bytes(b"a root file system")
    docker("import", "-c", "CMD x", str(tmp_path / "rootfs.tar"), "mine:v1")
    assert api.services.archives.received == [b"an archive", b"a root file system"]
    assert api.services.archives.imports[0]["changes"] == ["CMD x"]
    assert docker("history", "-q", "--no-trunc", "base").stdout.startswith("sha256:abab")
    assert docker("volume", "create", "data").stdout == "data\n"
    assert docker("volume", "ls", "-q").stdout == "data\n"
    assert docker("volume", "inspect", "-f", "{{.Mountpoint}}", "data").stdout == "/v/data/_data\n"
    docker("volume", "rm", "data")
    assert docker("network", "ls", "--format", "{{.Name}}").stdout == "host\nnone\n"
    assert "Local Volumes" in docker("system", "df").stdout


def test_events(api: Api, docker: Docker) -> None:
    docker("create", "--name", "web", "base")
    until = str(api.services.log.now_us // 1_000_000 + 1)
    api.services.log.now_us += 10_000_000
    lines = docker("events", "--since", "1", "--until", until, "--filter", "type=container", "--format", "{{.Action}}")
    assert lines.stdout == "create\n"
