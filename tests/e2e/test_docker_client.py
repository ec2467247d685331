"""Docker's own client against this engine: the commands that issue from it every day."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.engine import Engine
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires("docker client")]


def test_version_negotiates(engine: Engine) -> None:
    assert engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    assert "Server Version" in engine.docker("info").stdout


def test_run(engine: Engine) -> None:
    done = engine.docker(
        "run", "--rm", "--network", "none", "base", "sh", "-c", "echo out; echo err >&2; exit 5", check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 5)


def test_run_with_standard_input(engine: Engine) -> None:
    shown = engine.docker("run", "--rm", "-i", "--network", "none", "base", "wc", "-c", input="x" * 100_000).stdout
    assert shown == "100000\n"


def test_a_life(engine: Engine) -> None:
    script = "echo hello; sleep 100"
    container_id = engine.docker(
        "run", "-d", "--name", "web", "--network", "none", "-m", "64m", "base", "sh", "-c", script
    ).stdout.strip()
    assert engine.docker("ps", "--format", "{{.Names}} {{.State}}").stdout == "web running\n"
    eventually(lambda: engine.docker("logs", "web").stdout == "hello\n")
    assert engine.docker("exec", "web", "hostname").stdout.strip() == container_id[:12]
    assert engine.docker("exec", "-w", "/tmp", "web", "sh", "-c", "pwd; exit 3", check=False).returncode == 3
    (inspected,) = json.loads(engine.docker("inspect", "web").stdout)
    assert inspected["HostConfig"]["Memory"] == 64 << 20
    assert "sleep 100" in engine.docker("top", "web").stdout
    engine.docker("pause", "web")
    engine.docker("unpause", "web")
    engine.docker("rename", "web", "shop")
    engine.docker("restart", "-t", "0", "shop")
    engine.docker("stop", "-t", "0", "shop")
    assert engine.docker("wait", "shop").stdout == "137\n"
    engine.docker("rm", "shop")
    assert engine.docker("ps", "-aq").stdout == ""
    (created, *_) = engine.trail(container_id)
    assert created["actor"]["door"] == "api"


def test_images(engine: Engine, tmp_path: Path, rootfs: Path) -> None:
    engine.docker("import", str(rootfs), "again:v1")
    assert "again" in engine.docker("images").stdout
    engine.docker("tag", "again:v1", "again:v2")
    assert engine.docker("image", "inspect", "again:v2", "--format", "{{.Os}}").stdout == "linux\n"
    assert "again:v2" in engine.docker("rmi", "again:v2").stdout
    engine.docker("rmi", "again:v1")
    assert engine.docker("history", "base").stdout


def test_a_dockerfile_outside_of_the_context(engine: Engine, tmp_path: Path) -> None:
    """The client puts it into the archive, which then has no end."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context/file").write_text("of the context")
    (tmp_path / "Dockerfile").write_text("FROM base\nCOPY . /here\nRUN cat /here/file; ls -a /here\n")
    arguments = "-t", "from-outside", "-f", str(tmp_path / "Dockerfile"), str(tmp_path / "context")
    shown = engine.docker("build", "--network", "none", *arguments, environment={"DOCKER_BUILDKIT": "0"}).stdout
    assert "of the context" in shown and "Dockerfile" not in shown.partition("of the context")[2]


def test_volumes(engine: Engine) -> None:
    engine.docker("volume", "create", "vol")
    engine.docker("run", "--rm", "--network", "none", "-v", "vol:/v", "base", "touch", "/v/x")
    (inspected,) = json.loads(engine.docker("volume", "inspect", "vol").stdout)
    assert (Path(inspected["Mountpoint"]) / "x").exists()
    assert engine.docker("volume", "ls", "-q").stdout == "vol\n"
    engine.docker("volume", "rm", "vol")


def test_events(engine: Engine) -> None:
    engine.docker("run", "--name", "job", "--network", "none", "base", "true")
    until = str(int(time.time()) + 2)  # the client sends whole seconds: the present one would be cut off
    shown = engine.docker(
        "events", "--since", "1h", "--until", until, "--filter", "container=job", "--format", "{{.Action}}"
    ).stdout.split()
    assert [action for action in shown if action in ("create", "start", "die")] == ["create", "start", "die"]


def test_errors_read_as_dockers(engine: Engine) -> None:
    done = engine.docker("inspect", "nobody", check=False)
    assert done.returncode == 1 and "nobody" in done.stderr
    done = engine.docker("run", "--rm", "--network", "none", "base", "no-such-program", check=False)
    assert done.returncode == 127
    done = engine.docker("rm", "nobody", check=False)
    assert "No such container: nobody" in done.stderr


@pytest.mark.requires("real docker")
@pytest.mark.parametrize(
    "arguments",
    [
        ("ps", "-a"), ("images", "nothing"), ("volume", "ls"), ("inspect", "nobody"), ("rm", "nobody"),
        ("rmi", "nobody"), ("logs", "nobody"), ("stop", "nobody"), ("exec", "nobody", "true"), ("run", "--bad"),
        ("volume", "inspect", "nothing"), ("kill", "nobody"), ("top", "nobody"),
    ],
)  # fmt: skip
def test_docket_says_what_docker_says(engine: Engine, arguments: tuple[str, ...]) -> None:
    """The same words to our command and to Docker's: the same exit status, and the same first line."""
    ours = engine.docket(*arguments, check=False)
    theirs = engine.docker(*arguments, check=False)
    assert ours.returncode == theirs.returncode, (ours.stderr, theirs.stderr)
    assert ours.stdout.splitlines()[:1] == theirs.stdout.splitlines()[:1]
