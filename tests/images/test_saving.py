"""Saved archives: what was saved is loaded again, by this engine and by others."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from layer_tars import member, tar

from engine.domain.errors import NotFound
from engine.images import config as image_config
from engine.images import saving
from engine.images.content import ContentStore
from engine.images.jobs import JOBS

BASE, TOP = tar(member("base", b"text")), tar(member("top", b"more text"))
SQUEEZED = gzip.compress(TOP, mtime=0)


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def stored_image(content: ContentStore, *tags: str, manifest: bytes = b"") -> dict[str, Any]:
    """An image of a plain and a compressed layer, as services would describe it."""
    system, architecture = image_config.host_platform()
    rootfs = {"type": "layers", "diff_ids": [digest(BASE), digest(TOP)]}
    config = json.dumps({"os": system, "architecture": architecture, "rootfs": rootfs}).encode()
    for body in filter(None, (config, BASE, SQUEEZED, manifest)):
        content.add(body)
    return {
        "config_digest": digest(config), "manifest_digest": digest(manifest) if manifest else "",
        "layers": [digest(BASE), digest(SQUEEZED)], "tags": list(tags),
    }  # fmt: skip


def save(content: ContentStore, path: Path, *images: dict[str, Any]) -> bytes:
    with path.open("wb") as file:
        answer = JOBS["archive.write"]({"content": str(content.root), "images": list(images)}, [file.fileno()])
    assert answer == {"size_bytes": path.stat().st_size}
    return path.read_bytes()


def test_saved_is_loaded_again(content: ContentStore, tmp_path: Path) -> None:
    image = stored_image(content, "docker.io/library/app:1", "host:5000/team/app:2")
    save(content, tmp_path / "saved.tar", image)
    other = ContentStore(tmp_path / "other")
    job = {"archive": str(tmp_path / "saved.tar"), "content": str(other.root)}
    [found] = JOBS["archive.read"](job, [])["images"]
    assert (found["config_digest"], found["tags"]) == (image["config_digest"], image["tags"])
    assert [layer["digest"] for layer in found["layers"]] == image["layers"]
    assert other.read(digest(SQUEEZED)) == SQUEEZED


def without_manifest_json(blob: bytes) -> bytes:
    """The archive as an engine sees it that knows OCI layouts only."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(blob)) as source, tarfile.open(fileobj=buffer, mode="w") as target:
        for info in source:
            if info.name != "manifest.json":
                target.addfile(info, source.extractfile(info) if info.isfile() else None)
    return buffer.getvalue()


def test_the_layout_says_the_same(content: ContentStore, tmp_path: Path) -> None:
    image = stored_image(content, "docker.io/library/app:1")
    path = tmp_path / "saved.tar"
    path.write_bytes(without_manifest_json(save(content, path, image)))
    [found] = JOBS["archive.read"]({"archive": str(path), "content": str(tmp_path / "other")}, [])["images"]
    assert (found["config_digest"], found["tags"]) == (image["config_digest"], image["tags"])
    assert found["manifest_digest"].startswith("sha256:")


def test_the_manifest_that_came_in_goes_out(content: ContentStore, tmp_path: Path) -> None:
    image = stored_image(content)
    made = without_manifest_json(save(content, tmp_path / "made.tar", image))
    (tmp_path / "made.tar").write_bytes(made)
    read = {"archive": str(tmp_path / "made.tar"), "content": str(content.root)}
    [found] = JOBS["archive.read"](read, [])["images"]
    spaced = json.dumps(json.loads(content.read(found["manifest_digest"])), indent=3).encode()
    image = stored_image(content, "app:1", manifest=spaced)
    with tarfile.open(fileobj=io.BytesIO(save(content, tmp_path / "saved.tar", image))) as archive:
        file = archive.extractfile(f"blobs/sha256/{digest(spaced)[7:]}")
        assert file is not None and file.read() == spaced


def test_equal_images_make_equal_archives_and_share_blobs(content: ContentStore, tmp_path: Path) -> None:
    image = stored_image(content, "app:1")
    first = save(content, tmp_path / "a", image, {**image, "tags": []})
    assert first == save(content, tmp_path / "b", image, {**image, "tags": []})
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names)) and len([name for name in names if name.startswith("blobs/sha256/")]) == 4
    assert len(first) % 10240 == 0


def test_a_file_beyond_eight_gigabytes() -> None:
    header = saving._header("big", 9 << 30, b"0")
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 9 << 30


def test_a_missing_blob(content: ContentStore, tmp_path: Path) -> None:
    image = stored_image(content, "app:1")
    content.remove(digest(BASE))
    with pytest.raises(NotFound, match=digest(BASE)):
        save(content, tmp_path / "saved.tar", image)


@pytest.mark.requires("root", "real docker")
def test_a_real_docker_loads_it(content: ContentStore, tmp_path: Path) -> None:
    docker = ["docker", "-H", os.environ["DOCKET_TEST_DOCKER_HOST"]]
    image = stored_image(content, "docker.io/library/docket-test-saved:1")
    save(content, tmp_path / "saved.tar", image)
    load = [*docker, "load", "-i", str(tmp_path / "saved.tar")]
    loaded = subprocess.run(load, capture_output=True, text=True, check=False)
    try:
        assert "Loaded image: docket-test-saved:1" in loaded.stdout, loaded.stderr
        inspected = json.loads(subprocess.check_output([*docker, "inspect", "docket-test-saved:1"]))[0]
        assert inspected["Id"] == image["config_digest"]
        assert inspected["RootFS"]["Layers"] == [digest(BASE), digest(TOP)]
    finally:
        subprocess.run([*docker, "rmi", "docket-test-saved:1"], capture_output=True, check=True)
