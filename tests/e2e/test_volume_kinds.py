"""Volumes that are filled from the image, parts of volumes, options of the driver, volumes of other containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.engine import Engine

pytestmark = pytest.mark.kernel


@pytest.fixture
def image(engine: Engine) -> str:
    """An image with something at /data: owners, modes, links in all directions, attributes."""
    script = (
        "mkdir -p /data/sub; echo text >/data/sub/file; chmod 640 /data/sub/file; chown 12:34 /data/sub/file; "
        "chmod 1777 /data; ln /data/sub/file /data/hard; ln -s /etc/hostname /data/link; ln -s / /data/up; "
        "chown 7:8 /data"
    )
    engine.run("--name", "maker", "base", "sh", "-c", script)
    if not [one for one in engine.api("GET", "/images/json").json if "filled:latest" in (one["RepoTags"] or [])]:
        assert engine.api("POST", "/commit?container=maker&repo=filled", {}).status == 201
    engine.docket("rm", "maker")
    return "filled"


def mountpoint(engine: Engine, name: str) -> Path:
    return Path(engine.docket("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip())


def test_a_fresh_volume_gets_what_the_image_has(engine: Engine, image: str) -> None:
    engine.run("--rm", "-v", "data:/data", image, "true")
    folder = mountpoint(engine, "data")
    info, there = folder.stat(), (folder / "sub/file").stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (7, 8, 0o1777)
    assert (there.st_uid, there.st_gid, there.st_mode & 0o7777, there.st_nlink) == (12, 34, 0o640, 2)
    assert (folder / "hard").stat().st_ino == there.st_ino
    assert os.readlink(folder / "link") == "/etc/hostname" and os.readlink(folder / "up") == "/"
    assert not (folder.parent / "filling").exists()
    engine.run("--rm", "-v", "data:/data", image, "rm", "/data/hard")
    engine.run("--rm", "-v", "data:/data", image, "true")
    assert not (folder / "hard").exists(), "only a fresh one is filled"


def test_what_must_not_be_filled_is_not(engine: Engine, image: str) -> None:
    assert engine.run("--rm", "-v", "one:/data:nocopy", image, "ls", "/data") == ""
    assert engine.run("--rm", "--mount", "src=two,dst=/data,volume-nocopy", image, "ls", "/data") == ""


def test_a_filling_that_was_cut_short_is_done_again(engine: Engine, image: str) -> None:
    engine.docket("volume", "create", "data")
    folder = mountpoint(engine, "data")
    (folder / "part").write_text("of an earlier attempt")
    (folder.parent / "filling").touch()
    assert engine.run("--rm", "-v", "data:/data", image, "ls", "/data").split() == ["hard", "link", "sub", "up"]


def test_a_part_of_a_volume(engine: Engine, image: str) -> None:
    engine.run("--rm", "-v", "data:/data", image, "true")
    mount = "type=volume,src=data,dst=/part,volume-subpath="
    assert engine.run("--rm", "--mount", f"{mount}sub", image, "cat", "/part/file") == "text\n"
    inside = engine.run("--rm", "--mount", f"{mount}up/sub", image, "ls", "/part").strip()
    assert inside == "file", "a link to / leads to the volume's own root"
    missing = engine.docket("run", "--network", "none", "--mount", f"{mount}none", image, "true", check=False)
    assert missing.returncode != 0 and "no such path" in missing.stderr
    assert "subpath" in engine.refused("create", "--mount", f"{mount}../x", image, "true")


def test_options_of_the_local_driver(engine: Engine, tmp_path: Path) -> None:
    engine.docket("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=9", "memory")
    shown = engine.run("--rm", "-v", "memory:/m", "base", "sh", "-c", "grep ' /m ' /proc/mounts; ls -ldn /m")
    assert "tmpfs /m tmpfs rw" in shown and "size=1024k" in shown and "uid=9" in shown
    engine.docket("volume", "create", "-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind", "place")
    engine.run("--rm", "-v", "place:/p", "base", "touch", "/p/made")
    assert (tmp_path / "made").exists()
    assert "speed" in engine.refused("volume", "create", "-o", "speed=high", "x")
    engine.run("-d", "--name", "first", "-v", "memory:/m", "base", "sleep", "100")
    second = engine.docket("run", "--network", "none", "-v", "memory:/m", "base", "true", check=False)
    assert second.returncode != 0 and "first" in second.stderr


def test_volumes_of_another_container(engine: Engine, tmp_path: Path) -> None:
    engine.run("--name", "holder", "-v", "data:/data", "-v", "/scratch", "-v", f"{tmp_path}:/host:ro", "base", "touch",
               "/data/a", "/scratch/b")  # fmt: skip
    shown = engine.run("--rm", "--volumes-from", "holder:ro", "base", "sh", "-c",
                       "ls /data /scratch; touch /data/x || echo read-only; ls -d /host")  # fmt: skip
    assert "a" in shown and "b" in shown and "read-only" in shown and "/host" in shown
    engine.run("--rm", "--volumes-from", "holder", "-v", "other:/data", "base", "touch", "/scratch/c", "/data/own")
    assert (mountpoint(engine, "other") / "own").exists()
    assert not (mountpoint(engine, "data") / "own").exists()
    assert "No such container" in engine.refused("create", "--volumes-from", "nobody", "base", "true")
