"""Contexts as Docker keeps them, which engine is meant, and the way by ssh."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from cli.conftest import Done, environment
from cli.fake_engine import FakeEngine, answer
from engine.client.address import parse_address
from engine.client.contexts import Context, ContextStore
from engine.client.endpoint import TLSChoice, chosen, chosen_context
from engine.client.errors import ClientError
from engine.client.ssh import command_of
from support.docker_registry import make_authority
from support.engine import docket_command

Docket = Callable[..., Done]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("DOCKET_", "DOCKER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def docket(capfd: pytest.CaptureFixture[str]) -> Docket:
    """Without a host, unlike that of the other tests."""
    from engine.cli.main import main

    def run(*words: str) -> Done:
        capfd.readouterr()
        return Done(main(list(words)), *capfd.readouterr())

    return run


@pytest.mark.parametrize(
    ("variables", "flags", "meant"),
    [
        ({}, {}, None),
        ({}, {"host": "tcp://a"}, "tcp://a:2375"),
        ({}, {"context": "prod"}, "ssh://prod"),
        ({"DOCKET_HOST": "unix:///e"}, {"context": "prod"}, "ssh://prod"),
        ({"DOCKET_HOST": "unix:///e", "DOCKER_HOST": "unix:///d", "DOCKET_CONTEXT": "prod"}, {}, "unix:///e"),
        ({"DOCKET_CONTEXT": "prod", "DOCKER_HOST": "unix:///d"}, {}, "ssh://prod"),
        ({"DOCKER_HOST": "unix:///d", "DOCKER_CONTEXT": "prod"}, {}, "unix:///d"),
        ({"DOCKER_CONTEXT": "prod"}, {}, "ssh://prod"),
        ({"DOCKER_CONTEXT": "prod"}, {"local": True}, None),
        ({"DOCKER_HOST": "unix:///d", "DOCKET_ROOT": "/r"}, {}, None),
        ({"DOCKET_HOST": "unix:///e"}, {"local": True}, "unix:///e"),
        ({"DOCKET_HOST": "unix:///e", "current": "prod"}, {}, "unix:///e"),
        ({"DOCKER_CONTEXT": "default", "current": "prod"}, {}, None),
        ({"current": "prod"}, {}, "ssh://prod"),
        ({"current": "prod"}, {"local": True}, None),
        ({"current": "prod"}, {"context": "default"}, None),
        ({"current": "gone"}, {}, ClientError),
        ({}, {"context": "gone"}, ClientError),
        ({}, {"context": "prod", "host": "unix:///x"}, ClientError),
    ],
)
def test_which_engine_is_meant(
    variables: dict[str, str], flags: dict[str, str], meant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ContextStore()
    store.put(Context("prod", {}, {"docker": {"Host": "ssh://prod"}}))
    store.use(variables.pop("current", "default"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if meant is ClientError:
        with pytest.raises(ClientError):
            chosen(**flags)
        return
    found = chosen(**flags)
    assert (found and str(found)) == meant
    assert (chosen_context(**flags) == "prod") == (meant == "ssh://prod")


def test_tls_by_variables_and_by_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TLSChoice().files() is None
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    (tmp_path / "cert.pem").touch()
    files = TLSChoice().files()
    assert files is not None and files.verify
    assert (files.ca, files.cert, files.key) == (f"{tmp_path}/ca.pem", f"{tmp_path}/cert.pem", "")
    assert TLSChoice(verify=False).files() is None
    unverified = TLSChoice(tls=True, verify=False, ca="/ca", key="/k").files()
    assert unverified is not None and (unverified.verify, unverified.ca, unverified.key) == (False, "/ca", "/k")
    address = chosen("tcp://far")
    assert address is not None and address.port == 2376 and address.tls is not None
    assert chosen("unix:///x").tls is None  # type: ignore[union-attr]


def test_a_life_of_a_context(docket: Docket, home: Path, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(name)
    files = ",".join(f"{name}={tmp_path / name}" for name in ("ca", "cert", "key"))
    done = docket("context", "create", "prod", "--description", "far", "--docker", f"host=tcp://far:2376,{files}")
    assert done == (0, "prod\n", 'Successfully created context "prod"\n')
    assert docket("context", "use", "prod").err == 'Current context is now "prod"\n'
    assert json.loads((home / "config.json").read_text()) == {"currentContext": "prod"}
    listed = docket("context", "ls", "--format", "{{.Name}} {{.Current}} {{.DockerEndpoint}}").out.splitlines()
    assert listed[1] == "prod true tcp://far:2376" and listed[0].startswith("default false unix:///")
    (details,) = json.loads(docket("context", "inspect").out)
    assert details["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    key = Path(details["Storage"]["TLSPath"]) / "docker" / "key.pem"
    assert key.read_text() == "key" and key.stat().st_mode & 0o077 == 0
    assert docket("context", "update", "prod", "--docker", "host=tcp://other").status == 0
    assert docket("context", "inspect", "-f", "{{.Endpoints.docker.Host}} {{.Metadata.Description}}").out == (
        "tcp://other far\n"
    )
    assert not key.exists(), "certificates belong to the endpoint that they came with"
    assert docket("context", "create", "copy", "--from", "prod").status == 0
    assert docket("context", "rm", "prod").status == 1
    assert docket("context", "rm", "-f", "prod", "copy").out == "prod\ncopy\n"
    assert docket("context", "show").out == "default\n" and not list(home.glob("contexts/*/*"))


@pytest.mark.parametrize("variable", ["DOCKET_HOST", "DOCKET_CONTEXT", "DOCKET_RUN", "DOCKET_ROOT", "DOCKER_HOST"])
def test_a_chosen_context_that_does_not_count_is_told_so(
    docket: Docket, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    docket("context", "create", "far", "--docker", "host=tcp://far:2375")
    assert "Warning" not in docket("context", "use", "far").err
    monkeypatch.setenv(variable, "unix:///x" if variable.endswith("HOST") else "/x")
    assert f"Warning: {variable} environment variable overrides" in docket("context", "use", "far").err
    assert variable.endswith("CONTEXT") or chosen_context() == "default"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "default"), "reserved"),
        (("create", "-x"), "unknown shorthand flag"),
        (("create", "a/b"), "is invalid"),
        (("create", "new", "--docker", "host=ftp://x"), "is not an address"),
        (("create", "new", "--docker", "hots=x"), "unrecognized config key: hots"),
        (("create", "new", "--docker", "ca=x"), "host is required"),
        (("create", "new", "--docker", "host=tcp://x,ca=/none"), "open /none: no such file"),
        (("create", "new", "--docker", "host=tcp://x,cert=/dev/null"), "go together"),
        (("use", "gone"), "context not found"),
        (("rm", "default"), "cannot be removed"),
        (("import", "new", "/dev/null"), "can't be read|no metadata found"),
        (("inspect", "gone"), "context not found"),
    ],
)
def test_what_is_refused(docket: Docket, home: Path, words: tuple[str, ...], message: str) -> None:
    done = docket("context", *words)
    assert done.status != 0 and re.search(message, done.err), done
    assert not list(home.glob("contexts/*/*"))


@pytest.mark.requires("docker client", "openssl")
def test_both_commands_know_a_context_and_take_archives_of_each_other(docket: Docket, tmp_path: Path) -> None:
    def docker(*words: str) -> str:
        done = subprocess.run(["docker", "context", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    authority = make_authority(tmp_path)
    docket("context", "create", "ours", "--docker", f"host=tcp://far:1,ca={authority}", "--description", "x")
    docker("create", "theirs", "--docker", f"host=tcp://far:2,ca={authority}")
    for name in ("ours", "theirs"):
        assert json.loads(docker("inspect", name)) == json.loads(docket("context", "inspect", name).out)
    docker("export", "theirs", str(tmp_path / "theirs.tar"))
    assert docket("context", "import", "copied", str(tmp_path / "theirs.tar")).status == 0
    assert docket("context", "export", "ours", str(tmp_path / "ours.tar")).status == 0
    docker("import", "taken", str(tmp_path / "ours.tar"))
    shown = docket("context", "inspect", "-f", "{{.Endpoints.docker.Host}} {{.TLSMaterial.docker}}", "copied", "taken")
    assert shown.out == "tcp://far:2 [ca.pem]\ntcp://far:1 [ca.pem]\n"
    docker("use", "taken")
    assert docket("context", "show").out == "taken\n"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("ssh://far", "-- far docket system dial-stdio"),
        ("ssh://me@far:22", "-l me -p 22 -- far docket system dial-stdio"),
        ("ssh://far/a b's.sock", "-- far docket --host unix://'/a b'\\''s.sock' system dial-stdio"),
    ],
)
def test_what_ssh_is_asked_for(host: str, words: str) -> None:
    assert " ".join(command_of(parse_address(host))) == f"ssh -o ConnectTimeout=30 -T {words}"


def test_an_engine_by_ssh(fake: FakeEngine, tmp_path: Path) -> None:
    """With a program in ssh's place that runs what the far shell would: streams, half-close and the end are real."""
    fake.on["GET /containers/json"] = answer([])
    fake.on["POST /containers/x/stop"] = answer(status=204)
    far = tmp_path / "ssh"
    command = shlex.join(docket_command())
    far.write_text(f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 3\nexec {command} "$@"\n')
    far.chmod(0o755)
    variables = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", DOCKER_CONFIG=os.environ["DOCKER_CONFIG"])

    def run(host: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*docket_command(), "-H", host, *words], env={**variables, "DOCKET_HOST": fake.host},
                              capture_output=True, text=True, check=False, timeout=60)  # fmt: skip

    assert run("ssh://far", "ps", "-q").returncode == 0
    assert run("ssh://far", "stop", "x").stdout == "x\n"
    far.write_text("#!/bin/sh\nexit 255\n")
    assert "can `ssh` log in there" in run("ssh://far", "ps").stderr
