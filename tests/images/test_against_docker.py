"""Images that a real Docker made and saved: the same ids, and layer by layer the same trees as Docker keeps."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Iterator

import pytest
from layer_tars import Store, device, folder, hard_link, member, symlink

from engine.images import config as image_config
from engine.images.content import ContentStore
from engine.images.jobs import JOBS

pytestmark = pytest.mark.requires("root", "real docker")

IMAGE, CONTAINER = "docket-test-layers", "docket-test-layers"
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0).decode("latin-1")
OWN_XATTRS = {"trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid"}
"""Where a copy came from: overlay notes it for itself, and an archive doesn't carry it."""

STEPS = [
    "mkdir -p /a/b/c /x /keep; echo 1 > /a/b/c/f; echo 2 > /x/gone; echo 3 > /keep/k; ln /keep/k /keep/l;"
    " ln -s /etc/passwd /keep/abs; ln -s ../keep/k /x/rel; mkfifo /x/p; chmod 4755 /keep/k; chmod 1777 /x",
    "rm -rf /x/gone /a/b; mkdir -p /a/b; echo new > /a/b/n; chown 12:34 /keep/l; rm /keep/abs; mkdir /keep/abs",
    "rm -rf /keep/abs; echo file > /keep/abs; rm -r /x; touch -d '1999-01-01 00:00:00' /a/b/n; rm /odd/dev/null1",
    "rm -r /odd; mkdir /odd; echo back > /odd/f",
]


def docker(*arguments: str, **options: Any) -> str:
    command = ["docker", "-H", os.environ["DOCKET_TEST_DOCKER_HOST"], *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout.strip()


@pytest.fixture(scope="module")
def image(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A base with every kind of entry, and a layer for each of STEPS on top."""
    base = tmp_path_factory.mktemp("base") / "base.tar"
    base.write_bytes(rootfs.read_bytes())
    with tarfile.open(base, "a", format=tarfile.PAX_FORMAT) as archive:
        for info, _ in (
            folder("odd", mode=0o2755, gid=50, mtime=1_000_000_000), folder("odd/dev"),
            member("odd/su", mode=0o6711, uid=5, gid=6), member("odd/ping", xattrs={"security.capability": CAPABILITY}),
            hard_link("odd/hard", "/odd/su"), symlink("odd/link", "/etc/passwd", uid=1, gid=2, mtime=5),
            member("odd/pipe", kind=tarfile.FIFOTYPE, mode=0o622), device("odd/dev/null1", 1, 3, mode=0o666),
            device("odd/dev/disk", 8, 0, kind=tarfile.BLKTYPE, gid=6), member("odd/" + "n" * 150),
            member("odd/old", pax_headers={"mtime": "-5"}), member("odd/exact", pax_headers={"mtime": "9.123456789"}),
        ):  # fmt: skip
            archive.addfile(info)
    docker("import", str(base), IMAGE)
    try:
        for script in STEPS:
            docker("run", "--net", "none", "--name", CONTAINER, IMAGE, "sh", "-c", script)
            docker("commit", CONTAINER, IMAGE)
            docker("rm", CONTAINER)
        yield IMAGE
    finally:
        subprocess.run(["docker", "-H", os.environ["DOCKET_TEST_DOCKER_HOST"], "rm", "-f", CONTAINER], check=False)
        docker("rmi", "-f", IMAGE)


def test_saved_image(store: Store, image: str) -> None:
    archive = store.home / "saved.tar"
    docker("save", "-o", str(archive), image)
    theirs = json.loads(docker("inspect", image))[0]
    content = ContentStore(store.home / "content")
    [found] = JOBS["archive.read"]({"archive": str(archive), "content": str(content.root)}, [])["images"]
    assert found["config_digest"] == theirs["Id"] and found["tags"] == [f"docker.io/library/{image}:latest"]
    diff_ids = image_config.parse(content.read(found["config_digest"]))["rootfs"]["diff_ids"]
    assert diff_ids == theirs["RootFS"]["Layers"] and len(diff_ids) == 1 + len(STEPS)
    graph = theirs["GraphDriver"]["Data"]
    folders = [graph["UpperDir"], *graph["LowerDir"].split(":")][::-1]
    if not all(os.path.isdir(path) for path in folders):
        pytest.skip("no real Docker to compare with: its overlay folders are not on this machine")
    for number, (layer, path) in enumerate(zip(found["layers"], folders, strict=True)):
        target = store.layers / str(number)
        blob = str(content.path(layer["digest"]))
        JOBS["layer.unpack"]({"blob": blob, "diff_id": diff_ids[number], "target": str(target)}, [])
        assert listing(target) == listing(Path(path)), f"layer {number}"


def listing(top: Path) -> dict[str, dict[str, Any]]:
    """Everything that a container could see of a layer, and how overlay will read it."""
    found = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        entry: dict[str, Any] = {
            "mode": "whiteout" if whiteout else oct(status.st_mode),
            "owner": (status.st_uid, status.st_gid),
            "xattrs": {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
                if name not in OWN_XATTRS
            },
        }
        if path != top and not whiteout:  # the root's own time is when it was made
            entry["time"] = int(status.st_mtime)
        if not path.is_dir() and not whiteout:
            entry["links"] = status.st_nlink
        if path.is_symlink():
            entry["target"] = os.readlink(path)
        elif path.is_file():
            entry["content"] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            entry["device"] = status.st_rdev
        found[str(path.relative_to(top))] = entry
    return found
