"""Volumes outlive containers; binds show the host's folders; anonymous volumes go with --rm and -v."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.engine import Engine

pytestmark = pytest.mark.kernel


def volume_names(engine: Engine) -> list[str]:
    return engine.docket("volume", "ls", "-q").stdout.split()


def test_a_volume_outlives_its_containers(engine: Engine) -> None:
    engine.run("--rm", "-v", "data:/data", "base", "sh", "-c", "echo kept >/data/file")
    assert volume_names(engine) == ["data"]
    assert engine.run("--rm", "-v", "data:/other", "base", "cat", "/other/file") == "kept\n"
    (inspected,) = json.loads(engine.docket("volume", "inspect", "data").stdout)
    assert (Path(inspected["Mountpoint"]) / "file").read_text() == "kept\n"
    assert inspected["Driver"] == "local"


def test_create_list_remove(engine: Engine) -> None:
    assert engine.docket("volume", "create", "--label", "a=b", "one").stdout == "one\n"
    generated = engine.docket("volume", "create").stdout.strip()
    assert len(generated) == 64
    assert sorted(volume_names(engine)) == sorted(["one", generated])
    assert engine.docket("volume", "ls", "--filter", "label=a=b", "-q").stdout == "one\n"
    assert engine.docket("volume", "rm", "one").stdout == "one\n"
    assert volume_names(engine) == [generated]
    assert "no such volume" in engine.refused("volume", "rm", "one").lower()


def test_a_volume_in_use_stays(engine: Engine) -> None:
    engine.run("-d", "--name", "user", "-v", "data:/data", "base", "sleep", "100")
    assert "in use" in engine.refused("volume", "rm", "data")
    engine.docket("rm", "-f", "user")
    engine.docket("volume", "rm", "data")


def test_anonymous_volumes_go_with_their_container(engine: Engine) -> None:
    engine.run("--rm", "-v", "/scratch", "base", "touch", "/scratch/x")
    assert volume_names(engine) == []
    engine.run("--name", "kept", "-v", "/scratch", "base", "true")
    assert len(volume_names(engine)) == 1
    engine.docket("rm", "-v", "kept")
    assert volume_names(engine) == []


def test_prune(engine: Engine) -> None:
    engine.docket("volume", "create", "idle")
    engine.run("-d", "-v", "busy:/data", "base", "sleep", "100")
    engine.docket("volume", "prune", "-a", "-f")
    assert volume_names(engine) == ["busy"]


def test_a_bind_shows_the_hosts_folder(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    assert engine.run("--rm", "-v", f"{tmp_path}:/host", "base", "cat", "/host/file") == "from the host\n"
    engine.run("--rm", "-v", f"{tmp_path}:/host", "base", "sh", "-c", "echo back >/host/answer")
    assert (tmp_path / "answer").read_text() == "back\n"


def test_a_read_only_bind_refuses_writes(engine: Engine, tmp_path: Path) -> None:
    done = engine.docket(
        "run", "--rm", "--network", "none", "-v", f"{tmp_path}:/host:ro", "base", "touch", "/host/x", check=False
    )
    assert done.returncode != 0 and "Read-only" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_can_be_bound(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("value\n")
    assert engine.run("--rm", "-v", f"{tmp_path}/conf:/etc/new/conf:ro", "base", "cat", "/etc/new/conf") == "value\n"


def test_mount_syntax(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x\n")
    bind = f"type=bind,source={tmp_path},target=/b,readonly"
    shown = engine.run(
        "--rm", "--mount", bind, "--mount", "type=volume,source=vol,target=/v", "--mount", "type=tmpfs,target=/t",
        "base", "sh", "-c", "cat /b/file; touch /v/y /t/z && echo ok; touch /b/no || echo refused",
    )  # fmt: skip
    assert shown.split() == ["x", "ok", "refused"]


def test_a_bind_target_inside_the_image_cannot_escape(engine: Engine, tmp_path: Path) -> None:
    """The image's own link decides inside the container's root, never on the host."""
    engine.docket("create", "--network", "none", "--name", "linker", "base", "ln", "-s", "/tmp", "/link")
    engine.docket("start", "-a", "linker")
    victim = tmp_path / "victim"
    shown = engine.run(
        "--rm", "-v", f"{tmp_path}:{victim}/deep", "base", "sh", "-c", f"ls -d {victim}/deep", check=False
    )
    assert shown.strip() == f"{victim}/deep"
    assert not victim.exists()
