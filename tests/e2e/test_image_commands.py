"""Images by the command line: import, load, images, inspect, history, tag, rmi."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest

from support.engine import Engine
from support.rootfs import add_file, add_folder

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def only_base(engine: Engine) -> Any:
    """Each test starts and ends with the image ``base`` alone."""
    yield
    for image in engine.api("GET", "/images/json?all=1").json:
        for reference in image["RepoTags"] or [image["Id"]]:
            if reference != "base:latest":
                engine.api("DELETE", f"/images/{reference}?force=1")


def references(engine: Engine) -> list[str]:
    return sorted(engine.docket("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())


def layer(*files: tuple[str, bytes]) -> bytes:
    """An uncompressed layer with these files, and a folder for each name that ends in a slash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            add_folder(tar, name.rstrip("/")) if name.endswith("/") else add_file(tar, name, content)
    return buffer.getvalue()


def docker_archive(layers: list[bytes], tags: list[str], config: dict[str, Any] | None = None) -> bytes:
    """What ``docker save`` writes."""
    diff_ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    body = json.dumps({"architecture": "amd64", "os": "linux", "config": config or {}, "rootfs": rootfs}).encode()
    name = hashlib.sha256(body).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": tags, "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    return layer(
        (name, body), *((f"{n}/layer.tar", data) for n, data in enumerate(layers)),
        ("manifest.json", json.dumps(manifest).encode()),
    )  # fmt: skip


def oci_layout(data: bytes, tag: str) -> bytes:
    """An OCI image layout with one gzipped layer."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}",
                "size": len(content), **more}  # fmt: skip

    diff_id = "sha256:" + hashlib.sha256(data).hexdigest()
    config = blob(
        json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["cat", "/oci"]},
                    "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode(), "config.v1+json",
    )  # fmt: skip
    packed = blob(gzip.compress(data, mtime=0), "layer.v1.tar+gzip")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                "layers": [packed]}  # fmt: skip
    named = {"org.opencontainers.image.ref.name": tag}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json", annotations=named)
    index = {"schemaVersion": 2, "manifests": [entry]}
    return layer(
        ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", json.dumps(index).encode()),
        ("blobs/", b""), ("blobs/sha256/", b""), *blobs.items(),
    )  # fmt: skip


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["", "gz", "bz2", "xz"])
def test_import_takes_every_compression(
    engine: Engine, tmp_path: Path, rootfs: Path, compress: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "packed"
    file.write_bytes(compress(rootfs.read_bytes()))
    image_id = engine.docket("import", str(file), "packed:1").stdout.strip()
    assert image_id.startswith("sha256:")
    assert engine.run("--rm", "packed:1", "echo", "hi") == "hi\n"


def test_import_from_standard_input_with_changes(engine: Engine, rootfs: Path) -> None:
    with rootfs.open("rb") as stream:
        engine.docket(
            "import", "--change", 'CMD ["echo", "by default"]', "--change", "ENV A=b", "-", "piped", stdin=stream
        )
    assert engine.run("--rm", "piped") == "by default\n"
    (inspected,) = json.loads(engine.docket("inspect", "--type", "image", "piped").stdout)
    assert "A=b" in inspected["Config"]["Env"]


def test_images_lists(engine: Engine) -> None:
    shown = engine.docket("images").stdout.splitlines()
    assert shown[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert shown[1].split()[:2] == ["base", "latest"]
    assert engine.docket("images", "-q", "--no-trunc").stdout.startswith("sha256:")
    assert [line.split() for line in engine.docket("images", "other").stdout.splitlines()] == [shown[0].split()]


def test_tag_and_rmi(engine: Engine) -> None:
    engine.docket("tag", "base", "second:v1")
    assert references(engine) == ["base:latest", "second:v1"]
    assert engine.docket("rmi", "second:v1").stdout == "Untagged: second:v1\n"
    assert references(engine) == ["base:latest"]


def test_a_tag_moves_and_the_old_image_stays_by_id(engine: Engine, tmp_path: Path) -> None:
    for number in (1, 2):
        file = tmp_path / f"{number}.tar"
        file.write_bytes(layer(("number", str(number).encode())))
        engine.docket("import", str(file), "moving")
    rows = engine.docket("images", "-a", "--format", "{{.Repository}}").stdout.split()
    assert sorted(rows) == ["<none>", "base", "moving"]
    engine.docket("image", "prune", "-f")
    assert references(engine) == ["base:latest", "moving:latest"]


def test_containers_of_an_image_that_lost_its_name(engine: Engine, tmp_path: Path) -> None:
    """The list names an image as long as the name means it; and whoever loads another one is told."""
    for number in (1, 2):
        (tmp_path / f"{number}.tar").write_bytes(layer(("number", str(number).encode())))
    first = engine.docket("import", str(tmp_path / "1.tar"), "moving").stdout.strip()
    engine.docket("save", "-o", str(tmp_path / "saved.tar"), "moving")
    engine.docket("create", "--name", "made", "--network", "none", "moving", "x")
    named = "ps", "-a", "--format", "{{.Image}}", "--filter", "name=made"
    assert engine.docket(*named).stdout == "moving\n"
    second = engine.docket("import", str(tmp_path / "2.tar"), "moving").stdout.strip()
    assert engine.docket(*named).stdout == first[7:19] + "\n"
    assert engine.docket(*named, "--no-trunc").stdout == first + "\n"
    loaded = engine.docket("load", "-i", str(tmp_path / "saved.tar")).stdout.splitlines()
    note = f"The image moving:latest already exists, renaming the old one with ID {second} to empty string"
    assert loaded == [note, "Loaded image: moving:latest"]
    assert engine.docket(*named).stdout == "moving\n"
    engine.docket("rm", "made")
    engine.docket("rmi", "moving", second)


def test_rmi_refuses_an_image_in_use_and_names_the_container(engine: Engine) -> None:
    container_id = engine.run("-d", "base", "sleep", "100").strip()
    line = engine.refused("rmi", engine.docket("images", "-q", "base").stdout.strip())
    assert container_id[:12] in line
    assert references(engine) == ["base:latest"]


def test_history_and_inspect(engine: Engine) -> None:
    assert engine.docket("history", "base").stdout.splitlines()[0].split()[0] == "IMAGE"
    (inspected,) = json.loads(engine.docket("inspect", "base").stdout)
    assert inspected["RepoTags"] == ["base:latest"]
    assert len(inspected["RootFS"]["Layers"]) == 1


@pytest.mark.parametrize("words", [("history",), ("image", "inspect"), ("save", "-o", "/dev/null"), ("rmi",)])
def test_a_platform_is_that_of_the_image(engine: Engine, words: tuple[str, ...]) -> None:
    engine.docket("tag", "base", "mine:1")
    refused = engine.docket(*words, "--platform", "plan9/mips", "mine:1", check=False)
    assert refused.returncode == 1 and "does not match the specified platform (plan9/mips)" in refused.stderr
    architecture = json.loads(engine.docket("image", "inspect", "base").stdout)[0]["Architecture"]
    for platform in (f"linux/{architecture}", architecture, "linux"):
        engine.docket("tag", "base", "mine:1")
        engine.docket(*words, "--platform", platform, "mine:1")
    assert ("mine:1" in references(engine)) is (words != ("rmi",))


def test_load_of_several_layers_with_whiteouts(engine: Engine, tmp_path: Path, rootfs: Path) -> None:
    layers = [
        rootfs.read_bytes(),
        layer(("d/", b""), ("d/old", b"old"), ("gone", b"x"), ("over", b"one")),
        layer(("d/", b""), ("d/.wh..wh..opq", b""), ("d/new", b"new"), (".wh.gone", b""), ("over", b"two")),
    ]
    file = tmp_path / "saved.tar"
    file.write_bytes(docker_archive(layers, ["loaded:v1"], {"Cmd": ["sh", "-c", "ls /d; cat /over; ls /gone 2>&1"]}))
    assert "Loaded image: loaded:v1" in engine.docket("load", "-i", str(file)).stdout
    done = engine.docket("run", "--rm", "--network", "none", "loaded:v1", check=False)
    assert done.stdout.split()[:2] == ["new", "twols:"] and "No such file" in done.stdout


def test_load_of_an_oci_layout(engine: Engine, tmp_path: Path, rootfs: Path) -> None:
    with tarfile.open(tmp_path / "rootfs.tar", "w") as tar, tarfile.open(rootfs) as old:
        for member in old:
            tar.addfile(member, old.extractfile(member) if member.isfile() else None)
        add_file(tar, "oci", b"from a layout\n")
    archive = oci_layout((tmp_path / "rootfs.tar").read_bytes(), "layout:v1")
    done = engine.docket("load", stdin=_file(tmp_path / "layout.tar", archive))
    assert "Loaded image: layout:v1" in done.stdout
    assert engine.run("--rm", "layout:v1") == "from a layout\n"


def _file(path: Path, content: bytes) -> Any:
    path.write_bytes(content)
    return path.open("rb")


def test_hundreds_of_layers(engine: Engine, tmp_path: Path, rootfs: Path) -> None:
    count = 300
    layers = [rootfs.read_bytes(), *(layer((f"layer-{n}", b"")) for n in range(count))]
    file = tmp_path / "many.tar"
    file.write_bytes(docker_archive(layers, ["many:layers"]))
    engine.docket("load", "-i", str(file), timeout_s=110)
    assert engine.run("--rm", "many:layers", "sh", "-c", "ls / | grep -c ^layer-") == f"{count}\n"


HOSTILE: dict[str, Callable[[tarfile.TarFile, str], None]] = {
    "parent": lambda tar, outside: add_file(tar, f"../../../../../../..{outside}/x", b"bad"),
    "link-then-through-it": lambda tar, outside: (_link(tar, "way", outside), add_file(tar, "way/x", b"bad"))[1],
    "link-through-link": lambda tar, outside: (
        _link(tar, "a", outside), _link(tar, "b", "a"), add_file(tar, "b/x", b"bad"),
    )[2],
    "hard-link-out": lambda tar, outside: _hard_link(tar, "x", f"../../../../../../../..{outside}/secret"),
    "hard-link-via-link": lambda tar, outside: (_link(tar, "d", outside), _hard_link(tar, "x", "d/secret"))[1],
}  # fmt: skip


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _hard_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.LNKTYPE, target
    tar.addfile(entry)


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_archives_never_write_outside(engine: Engine, tmp_path: Path, attack: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    file = tmp_path / "hostile.tar"
    with tarfile.open(file, "w") as tar:
        HOSTILE[attack](tar, str(outside))
    engine.docket("import", str(file), "hostile", check=False)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").stat().st_nlink == 1
    assert (outside / "secret").read_text() == "secret"


@pytest.mark.parametrize("damage", ["truncated", "garbage", "half-gzip"])
def test_a_damaged_archive_is_refused_and_leaves_nothing(
    engine: Engine, tmp_path: Path, rootfs: Path, damage: str
) -> None:
    whole = rootfs.read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "garbage": b"this is not a tar archive " * 100,
        "half-gzip": gzip.compress(whole)[: len(whole) // 8],
    }[damage]
    file = tmp_path / "damaged"
    file.write_bytes(content)
    before = sorted(path.name for path in (engine.root / "layers").iterdir())
    engine.refused("import", str(file), "damaged")
    assert references(engine) == ["base:latest"]
    assert sorted(path.name for path in (engine.root / "layers").iterdir()) == before


def test_a_saved_image_with_a_wrong_digest_is_refused(engine: Engine, tmp_path: Path) -> None:
    archive = docker_archive([layer(("f", b"right"))], ["wrong:digest"]).replace(b"right", b"wrong")
    file = tmp_path / "wrong.tar"
    file.write_bytes(archive)
    engine.refused("load", "-i", str(file))
    assert references(engine) == ["base:latest"]
