"""Layers whose file system can't be mounted with mapped owners: the container has copies with shifted ones."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.kernel import mounts
from support.containers import Runtime, layer
from support.waiting import eventually

pytestmark = pytest.mark.kernel

FIRST, COUNT = 300_000, 65_536


@pytest.fixture
def unmappable(runtime: Runtime) -> Iterator[Path]:
    """A layer on an overlay, which Linux never maps."""
    shutil.copytree(layer(), runtime.home / "plain", symlinks=True)
    for number in (1000, 70_000):
        (runtime.home / f"plain/of-{number}").write_text("x")
        os.chown(runtime.home / f"plain/of-{number}", number, number)
    os.link(runtime.home / "plain/of-1000", runtime.home / "plain/the-same")
    os.setxattr(runtime.home / "plain/of-1000", "security.capability", struct.pack("<5I", 0x0200_0001, 1, 0, 0, 0))
    (runtime.home / "empty").mkdir()
    place = runtime.home / "on-overlay"
    place.mkdir()
    mounts.mount("overlay", str(place), "overlay", 0, f"lowerdir={runtime.home}/plain:{runtime.home}/empty")
    try:
        yield place
    finally:
        mounts.umount(str(place), 0)


def mapped(spec: dict[str, Any]) -> None:
    mapping = [{"containerID": 0, "hostID": FIRST, "size": COUNT}]
    spec["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    spec["linux"]["namespaces"].append({"type": "user"})


def test_copies_have_the_owners_that_the_container_sees(runtime: Runtime, unmappable: Path) -> None:
    script = "stat -c %u:%g / /bin/busybox /of-1000 /of-70000; stat -c %h /the-same; rm /of-1000; touch /new; exit 0"
    plan = runtime.plan("sh", "-c", script, layers=[unmappable], change=mapped)
    container = runtime.launch(plan)
    assert "1 layers were copied" in container.facts["warnings"][0]
    container.wait()
    shown = eventually(lambda: container.log.read_text())
    assert [line.split('"')[3].strip("\\n") for line in shown.splitlines()] == [
        "0:0", "0:0", "1000:1000", "65534:65534", "2",
    ]  # fmt: skip
    (copy,) = (container.directory / "shifted").iterdir()
    assert (copy / "of-1000").stat().st_uid == FIRST + 1000 and (copy / "bin").stat().st_uid == FIRST
    attribute = os.getxattr(copy / "of-1000", "security.capability")
    assert struct.unpack("<6I", attribute) == (0x0300_0001, 1, 0, 0, 0, FIRST)
    assert (unmappable / "of-1000").stat().st_uid == 1000, "the layer is as it was"
    again = runtime.launch(plan)
    assert again.facts["warnings"] == [], "they are made once"
    again.wait()
