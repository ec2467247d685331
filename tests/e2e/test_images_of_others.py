"""Images that Docker and buildah made, run by a real Docker and by this engine: what is inside looks the same."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.engine import Engine

from .test_image_commands import docker_archive
from .test_registries import real_docker

pytestmark = [pytest.mark.kernel, pytest.mark.requires("real docker")]

LOOK = """
find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' > /list
grep -vxE '/|/etc|/tmp|/etc/(hosts|hostname|resolv.conf|mtab)|/list|/.dockerenv' /list | sort > /tmp/names
while read -r name; do
    if [ -d "$name" ] && [ ! -L "$name" ]; then
        stat -c '%n %f %u:%g %Y' "$name"
    else
        stat -c '%N %f %u:%g %s %Y %h %t,%T' "$name"
    fi
    if [ -f "$name" ] && [ ! -L "$name" ]; then md5sum "$name"; fi
done < /tmp/names
id; pwd; cat /proc/self/cmdline | tr '\\0' ' '; env | grep -v HOSTNAME | sort
"""
"""What is made and mounted for every container is left out."""

MOST_LAYERS = 125
"""Docker refuses more: "max depth exceeded"."""


@pytest.fixture(autouse=True)
def only_base(engine: Engine) -> object:
    yield
    engine.reset()
    for image in engine.api("GET", "/images/json?all=1").json:
        if "base:latest" not in (image["RepoTags"] or []):
            engine.api("DELETE", f"/images/{image['Id']}?force=1")


def assert_alike(engine: Engine, archive: Path, name: str) -> None:
    """Loaded by both, it has one id, and a container sees the same files, owners, times, links and environment."""
    try:
        real_docker("load", "-i", str(archive))
        engine.docket("load", "-i", str(archive), timeout_s=120)
        theirs, ours = json.loads(real_docker("inspect", name))[0], engine.api("GET", f"/images/{name}/json").json
        assert (ours["Id"], ours["RootFS"]) == (theirs["Id"], theirs["RootFS"])
        look = ("--network", "none", "--tmpfs", "/tmp", name, "sh", "-c", LOOK)
        seen = real_docker("run", "--rm", *look)
        assert seen.count("\n") > 20
        assert engine.run("--rm", *look).splitlines() == seen.splitlines()
    finally:
        real_docker("rmi", "-f", name, check=False)


def layer_in_a_folder(number: int) -> bytes:
    """A file, and the deletion of one of a layer further below. A folder without an entry would get the time of its
    unpacking, which no two engines share."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("d", f"d/{number % 7}"):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, number
            archive.addfile(info)
        folder = f"d/{number % 7}"
        for name, content in ((f"{folder}/f{number}", b"%d" % number), (f"{folder}/.wh.f{number - 7}", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_as_many_layers_as_docker_takes(engine: Engine, rootfs: Path, tmp_path: Path) -> None:
    name = "docket-test-many-layers:1"
    upper = [layer_in_a_folder(number) for number in range(1, MOST_LAYERS)]
    archive = tmp_path / "many.tar"
    archive.write_bytes(docker_archive([rootfs.read_bytes(), *upper], [name], {"Cmd": ["sh"], "WorkingDir": "/d"}))
    assert_alike(engine, archive, name)


@pytest.mark.requires("buildah")
def test_an_image_of_buildah(engine: Engine, rootfs: Path, tmp_path: Path) -> None:
    name = "localhost/docket-test-buildah:1"
    tree = tmp_path / "tree"
    (tree / "app/deep").mkdir(parents=True)
    (tree / "app/run").write_text("#!/bin/sh\necho ran\n")
    (tree / "app/run").chmod(0o4755)
    (tree / "app/deep/link").symlink_to("../run")
    os.link(tree / "app/run", tree / "app/same")
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    storage = f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/graph"\n'
    (tmp_path / "storage.conf").write_text(storage)
    script = f"""
        set -e
        b() {{ verb=$1; shift; buildah "$verb" --signature-policy policy.json "$@"; }}
        c=$(b from scratch); buildah add "$c" "{rootfs}" /; buildah config --workingdir /app --env A=b "$c"
        b commit --rm "$c" step
        c=$(b from localhost/step); buildah copy --chown 12:34 "$c" tree /; rm "$(buildah mount "$c")/app/same"
        buildah umount "$c"; b commit --rm "$c" "{name}"; b push "{name}" "docker-archive:b.tar:{name}"
    """
    environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf")}
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_alike(engine, tmp_path / "b.tar", name)
