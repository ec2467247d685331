"""Which OCI runtimes there are, by Docker's settings and by the path, and what they can't do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument, NotSupported
from engine.services import settings
from engine.services.runtimes import Runtimes, parse_runtimes


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """crun on the path, and no runc."""
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "crun"
    path.write_text("")
    path.chmod(0o755)
    return path


def test_where_they_come_from(program: Path) -> None:
    runtimes = settings.parse(
        {"runtimes": {"mine": {"path": str(program), "runtimeArgs": ["--debug"]}}, "default-runtime": "mine"}
    ).runtimes
    assert runtimes.find("docket") is None and runtimes.find("") is None
    found = runtimes.find("mine")
    assert found is not None and found.path == str(program) and found.arguments == ("--debug",)
    assert runtimes.public() == {
        "docket": {"path": ""}, "crun": {"path": str(program)},
        "mine": {"path": str(program), "runtimeArgs": ["--debug"]},
    }  # fmt: skip
    host: dict[str, Any] = {}
    runtimes.choose(host, {})
    assert host == {"Runtime": "mine"}


@pytest.mark.parametrize("name", ["runc", "kata", "../crun", "/bin/sh"])
def test_what_there_is_not(program: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"unknown or invalid runtime name: {name}"):
        Runtimes().choose({"Runtime": name}, {})


@pytest.mark.parametrize(
    ("host", "what"),
    [({"Init": True}, "--init"), ({"UsernsMode": "remap"}, "--userns"),
     ({"IpcMode": "container:x"}, "--ipc container:"), ({"Binds": ["/a:/b:rshared"]}, "shared with the host")],
)  # fmt: skip
def test_what_only_our_own_does(program: Path, host: dict[str, Any], what: str) -> None:
    with pytest.raises(NotSupported, match=f"{what}.*--runtime crun"):
        Runtimes().choose({**host, "Runtime": "crun"}, {})


@pytest.mark.parametrize(
    ("configured", "default"),
    [([], None), ({"x": {}}, None), ({"x": {"path": 1}}, None), ({"x": {"path": "/x", "options": {}}}, None),
     ({"x": {"path": "/x", "runtimeArgs": "y"}}, None), ({"docket": {"path": "/x"}}, None), ({}, "nobody")],
)  # fmt: skip
def test_settings_that_make_no_sense(configured: Any, default: Any) -> None:
    with pytest.raises(InvalidArgument):
        parse_runtimes(configured, default)
