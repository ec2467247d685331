"""Layers whose file system can't be mounted with mapped owners: copies with shifted ones."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.kernel import mounts
from engine.runtime import shifted
from engine.runtime.failures import LaunchFailed
from support.containers import Runtime, layer

pytestmark = pytest.mark.kernel

FIRST, COUNT = 300_000, 65_536
MAPPING = [{"containerID": 0, "hostID": FIRST, "size": COUNT}]


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


def copy(layer: Path, target: Path) -> None:
    shifted.copy_job({"layer": str(layer), "target": str(target), "users": MAPPING, "groups": MAPPING}, [])


def mapped(spec: dict[str, Any]) -> None:
    spec["linux"] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    spec["linux"]["namespaces"].append({"type": "user"})


def test_which_file_systems_can_be_mapped(unmappable: Path, runtime: Runtime) -> None:
    assert shifted.can_be_mapped_job({"path": str(runtime.home)}, []) == {"can": True}
    assert shifted.can_be_mapped_job({"path": str(unmappable)}, []) == {"can": False}
    with pytest.raises(LaunchFailed, match="can't be mounted with mapped owners"):
        runtime.launch(runtime.plan("true", layers=[unmappable], change=mapped))


def test_copies_have_the_owners_that_the_container_sees(runtime: Runtime, unmappable: Path) -> None:
    place = runtime.home / "copy"
    (runtime.home / "copy.part").mkdir()  # what a crash has left
    copy(unmappable, place)
    script = "stat -c %u:%g / /bin/busybox /of-1000 /of-70000; stat -c %h /the-same; rm /of-1000; touch /new; exit 0"
    plan = runtime.plan("sh", "-c", script, layers=[place], change=mapped)
    plan["overlay"]["has_own_owners"] = True
    done = runtime.launch(plan)
    done.wait()
    shown = [line.split('"')[3].strip("\\n") for line in done.log.read_text().splitlines()]
    assert shown == ["0:0", "0:0", "1000:1000", "65534:65534", "2"]
    assert (place / "of-1000").stat().st_uid == FIRST + 1000 and (place / "bin").stat().st_uid == FIRST
    attribute = os.getxattr(place / "of-1000", "security.capability")
    assert struct.unpack("<6I", attribute) == (0x0300_0001, 1, 0, 0, 0, FIRST)
    assert (unmappable / "of-1000").stat().st_uid == 1000, "the layer is as it was"
    assert sorted(os.listdir(runtime.home)).count("copy.part") == 0


def test_a_copy_that_fails_is_not_there(runtime: Runtime) -> None:
    with pytest.raises(OSError) as caught:
        copy(runtime.home / "none", runtime.home / "copy")
    assert caught.value.errno == errno.ENOENT and not (runtime.home / "copy").exists()
