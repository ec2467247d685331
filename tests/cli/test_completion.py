"""Completion: what is offered for the words so far, and bash's way there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.fake_engine import FakeEngine, answer
from support.sources import REPOSITORY


def offers(*words: str, host: str = "unix:///no/such/socket") -> list[str]:
    command = [sys.executable, "-c", "import sys; from engine.cli.main import main; sys.exit(main())", "__complete"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DOCKET_HOST": host}
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["ru"], ["run"]),
        (["container", "re"], ["rename", "restart"]),
        (["help", "lo"], ["load", "logging", "login", "logout", "logs"]),
        (["run", "--memory"], ["--memory", "--memory-reservation", "--memory-swap", "--memory-swappiness"]),
        (["run", "--restart", ""], ["always", "no", "on-failure", "unless-stopped"]),
        (["run", "--pull", "m"], ["missing"]),
        (["nonsense", ""], []),
        (["help", "net"], ["network", "networks"]),
        (["--tlsc"], ["--tlscacert", "--tlscert"]),
        (["-H", "unix:///x", "--tls", "con"], ["container", "context"]),
        (["--context", ""], ["default"]),
        (["context", "use", ""], ["default"]),
        (["system", "d"], ["df", "dial-stdio"]),
        (["volume", "nonsense", ""], []),
        (["stop", ""], []),  # no engine answers, and none is started to be asked
    ],
)
def test_offers_that_need_no_engine(words: list[str], some: list[str]) -> None:
    assert offers(*words) == some


def test_every_command_can_be_completed() -> None:
    from engine.cli import commands

    for name in commands.COMMANDS:
        assert name in offers(name)


def test_names_come_from_the_engine(fake: FakeEngine) -> None:
    fake.on |= {
        "GET /containers/json": answer([{"Names": ["/web"]}, {"Names": ["/db"]}]),
        "GET /images/json": answer([{"RepoTags": ["base:latest"]}, {"RepoTags": None}]),
        "GET /volumes": answer({"Volumes": [{"Name": "data"}]}),
    }
    assert offers("stop", "", host=fake.host) == ["db", "web"]
    assert offers("stop", "-t", "3", "w", host=fake.host) == ["web"]
    assert offers("run", "-it", "--rm", "b", host=fake.host) == ["base:latest"]
    assert offers("volume", "rm", "", host=fake.host) == ["data"]


def test_bash(tmp_path: Path) -> None:
    (tmp_path / "docket").write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from engine.cli.main import main\nsys.exit(main())\n"
    )
    (tmp_path / "docket").chmod(0o755)
    script = """
        eval "$(docket completion bash)"
        COMP_WORDS=(docket container re) COMP_CWORD=2
        _docket
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKET_HOST": "unix:///no/such/socket"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == ["rename", "restart"]
