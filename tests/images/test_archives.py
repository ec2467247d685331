"""Archives of images: Docker's and OCI's, as they should be and as they should not."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from layer_tars import device, folder, hard_link, member, symlink, tar

from engine.domain.errors import EngineError, InvalidArgument, NotFound, NotSupported
from engine.images import config as image_config
from engine.images import manifests
from engine.images.content import ContentStore
from engine.images.jobs import JOBS

Member = tuple[tarfile.TarInfo, bytes]
BASE, TOP = tar(member("base", b"text")), tar(member("top", b"more text"))


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def config_of(*layers: bytes, **changes: Any) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    system, architecture = image_config.host_platform()
    return json.dumps({"os": system, "architecture": architecture, "rootfs": rootfs, "config": {}, **changes}).encode()


class Reading:
    """A content store, and archives read into it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.content = ContentStore(home / "content")

    def read(self, blob: bytes, **arguments: Any) -> list[dict[str, Any]]:
        path = self.home / "archive"
        path.write_bytes(blob)
        job = {"archive": str(path), "content": str(self.content.root), **arguments}
        return JOBS["archive.read"](job, [])["images"]

    def files(self) -> set[str]:
        return {path.name for path in self.content.root.rglob("*") if path.is_file()}

    def refused(self, blob: bytes, message: str, **arguments: Any) -> None:
        """The archive is refused with this message, and the store stays empty."""
        with pytest.raises(EngineError) as refused:
            self.read(blob, **arguments)
        assert isinstance(refused.value, (InvalidArgument, NotSupported))
        assert message in str(refused.value), str(refused.value)
        assert "\n" not in str(refused.value)
        assert self.files() == set()


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path)


# --- docker save ---

CONFIG = config_of(BASE, TOP)


def manifest_json(*images: Any) -> Member:
    return member("manifest.json", json.dumps(list(images)).encode())


def saved(**changes: Any) -> dict[str, Any]:
    image = {"Config": f"{digest(CONFIG)[7:]}.json", "RepoTags": ["app:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}
    return {**image, **changes}


def saved_files(config: bytes = CONFIG) -> list[Member]:
    return [
        member(f"{digest(CONFIG)[7:]}.json", config), folder("a"), member("a/VERSION", b"1.0"), member("a/json", b"{}"),
        member("a/layer.tar", BASE), folder("b"), member("b/layer.tar", TOP),
    ]  # fmt: skip


def test_docker_save(reading: Reading) -> None:
    images = reading.read(tar(*saved_files(), manifest_json(saved()), member("repositories", b"{}")))
    layers = [
        {"digest": digest(layer), "diff_id": digest(layer), "size_bytes": len(layer),
         "media_type": "application/vnd.docker.image.rootfs.diff.tar"}
        for layer in (BASE, TOP)
    ]  # fmt: skip
    assert images == [
        {"config_digest": digest(CONFIG), "manifest_digest": "", "layers": layers,
         "tags": ["docker.io/library/app:1"]}
    ]  # fmt: skip
    assert reading.files() == {digest(body)[7:] for body in (CONFIG, BASE, TOP)}, "nothing but what is needed is kept"
    assert reading.content.read(digest(TOP)) == TOP


def test_manifest_first_and_compressed(reading: Reading) -> None:
    blob = gzip.compress(tar(manifest_json(saved()), *saved_files()))
    assert reading.read(blob)[0]["config_digest"] == digest(CONFIG)


def test_through_a_pipe(reading: Reading) -> None:
    blob = tar(*saved_files(), manifest_json(saved()))
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as file:
            file.write(blob)
        os._exit(0)
    os.close(writer)
    images = JOBS["archive.read"]({"content": str(reading.content.root)}, [reader])["images"]
    os.close(reader)
    os.wait()
    assert images[0]["config_digest"] == digest(CONFIG) and reading.content.has(digest(TOP))


def test_several_images_that_share_layers(reading: Reading) -> None:
    """The second image's copy of the first's layer is a symbolic link, as Docker writes it."""
    other = config_of(BASE)
    images = reading.read(
        tar(*saved_files(), member("other.json", other), symlink("c/layer.tar", "../a/layer.tar"),
            manifest_json(saved(), {"Config": "other.json", "RepoTags": None, "Layers": ["c/layer.tar"]}))
    )  # fmt: skip
    assert [image["tags"] for image in images] == [["docker.io/library/app:1"], []]
    assert images[1]["layers"][0]["digest"] == digest(BASE)
    assert reading.files() == {digest(body)[7:] for body in (CONFIG, other, BASE, TOP)}


def test_of_saved_images_those_for_the_platform(reading: Reading) -> None:
    other = config_of(BASE, architecture="s390x")
    blob = tar(
        *saved_files(), member("other.json", other),
        manifest_json(saved(), {"Config": "other.json", "RepoTags": None, "Layers": ["a/layer.tar"]}),
    )  # fmt: skip
    with pytest.raises(NotFound, match="no image for platform linux/riscv64"):
        reading.read(blob, platform="linux/riscv64")
    assert reading.files() == set()
    assert [image["config_digest"] for image in reading.read(blob, platform="linux/s390x")] == [digest(other)]
    assert reading.files() == {digest(body)[7:] for body in (other, BASE)}
    assert [image["config_digest"] for image in reading.read(blob, platform="linux")] == [digest(CONFIG)]


def test_one_layer_twice_and_hard_links(reading: Reading) -> None:
    config = config_of(BASE, BASE)
    blob = tar(
        member("c.json", config), member("x", BASE), hard_link("y", "x"),
        manifest_json({"Config": "./c.json", "Layers": ["x", "y"]}),
    )  # fmt: skip
    assert [layer["digest"] for layer in reading.read(blob)[0]["layers"]] == [digest(BASE)] * 2


def test_compressed_layers_in_docker_save(reading: Reading) -> None:
    squeezed = gzip.compress(BASE)
    blob = tar(
        member("c.json", config_of(BASE)), member("x", squeezed), manifest_json({"Config": "c.json", "Layers": ["x"]})
    )
    layer = reading.read(blob)[0]["layers"][0]
    assert (layer["digest"], layer["diff_id"]) == (digest(squeezed), digest(BASE))
    assert layer["media_type"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"


def test_image_without_layers(reading: Reading) -> None:
    blob = tar(member("c.json", config_of()), manifest_json({"Config": "c.json", "Layers": None, "RepoTags": []}))
    assert reading.read(blob)[0]["layers"] == []


REFUSED_SAVES: dict[str, tuple[list[Member], str]] = {
    "no manifest": (saved_files(), "holds no images"),
    "a root file system": ([folder("bin"), member("bin/sh")], "holds no images"),
    "nothing": ([], "holds no images"),
    "manifest no JSON": ([member("manifest.json", b"[")], "manifest.json is no valid JSON"),
    "manifest no list": ([member("manifest.json", b"{}")], "manifest.json is no list"),
    "manifest empty": ([manifest_json()], "manifest.json is no list"),
    "manifest deep": ([member("manifest.json", b"[" * 100_000)], "nested too deeply"),
    "manifest large": ([member("manifest.json", b" " * (9 << 20))], "is larger than"),
    "manifest of strings": ([manifest_json("x")], "without a configuration"),
    "no configuration": ([manifest_json(saved())], "archive has no file"),
    "configuration out of the archive": ([manifest_json(saved(Config="../../etc/passwd"))], "archive has no file"),
    "configuration absolute": ([manifest_json(saved(Config="/etc/passwd"))], "archive has no file"),
    "configuration is no JSON": ([member("c", b"x"), manifest_json(saved(Config="c"))], "no valid JSON"),
    "configuration with another digest": ([*saved_files(b"{}"), manifest_json(saved())], "has the digest sha256:"),
    "a layer missing": ([*saved_files()[:-1], manifest_json(saved())], 'archive has no file "b/layer.tar"'),
    "fewer layers": ([*saved_files(), manifest_json(saved(Layers=["a/layer.tar"]))], "1 layers but"),
    "layers swapped": (
        [*saved_files(), manifest_json(saved(Layers=["b/layer.tar", "a/layer.tar"]))], "where its image says",
    ),
    "layers no list": ([*saved_files(), manifest_json(saved(Layers="a"))], "no list of strings"),
    "layers of numbers": ([*saved_files(), manifest_json(saved(Layers=[1, 2]))], "no list of strings"),
    "tags no list": ([*saved_files(), manifest_json(saved(RepoTags="a"))], "no list of strings"),
    "bad tag": ([*saved_files(), manifest_json(saved(RepoTags=["A b"]))], "invalid reference format"),
    "tampered layer": (
        [*saved_files(), member("b/layer.tar", TOP + bytes(512)), manifest_json(saved())], "where its image says",
    ),
    "windows": (
        [member("c", config_of(os="windows")), manifest_json({"Config": "c"})], "'windows' is not supported",
    ),
    "symlink out": ([symlink("x", "../../etc/passwd"), manifest_json(saved(Config="x"))], '"x" leads out'),
    "symlink absolute": ([symlink("x", "/etc/passwd"), manifest_json(saved(Config="x"))], '"x" leads out'),
    "hard link out": ([hard_link("x", "../x"), manifest_json(saved(Config="x"))], '"x" leads out'),
    "symlinks in a circle": (
        [symlink("x", "y"), symlink("y", "x"), manifest_json(saved(Config="x"))], 'archive has no file "x"',
    ),
    "file out": ([member("../x"), manifest_json(saved())], '"../x" leads out'),
    "file absolute": ([member("/x"), manifest_json(saved())], '"/x" leads out'),
    "device": ([device("x", 1, 3), manifest_json(saved())], '"x" is no file, folder or link'),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_SAVES)
def test_refused_save(reading: Reading, what: str) -> None:
    members, message = REFUSED_SAVES[what]
    reading.refused(tar(*members), message)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 or newer: zstd is no longer refused")
def test_zstd_layer_is_named(reading: Reading) -> None:
    image = {"Config": "c", "Layers": ["x"]}
    blob = tar(member("c", config_of(BASE)), member("x", b"\x28\xb5\x2f\xfd"), manifest_json(image))
    reading.refused(blob, "layer 'x': zstd compression needs Python 3.14")


def test_truncated_and_corrupt(reading: Reading) -> None:
    blob = tar(*saved_files(), manifest_json(saved()))
    for length in (100, 700, 5000, len(blob) // 2):
        reading.refused(blob[:length], "")
    reading.refused(b"no archive at all" * 100, "this is no tar archive")
    reading.refused(gzip.compress(blob)[:-100], "truncated")


def test_limits(reading: Reading) -> None:
    blob = tar(*saved_files(), manifest_json(saved()))
    reading.refused(blob, "limit of 3 entries", limits={"entries": 3})
    reading.refused(blob, "limit of 5000 bytes", limits={"bytes": 5000})


# --- OCI layout ---


def described(body: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(body), "size": len(body), **more}


def blob_file(body: bytes) -> Member:
    return member(f"blobs/sha256/{digest(body)[7:]}", body)


def manifest_of(config: bytes, /, *layers: bytes, **changes: Any) -> bytes:
    document = {
        "schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "config": described(config, manifests.OCI_CONFIG),
        "layers": [described(layer, f"{manifests.OCI_LAYER}+gzip") for layer in layers],
    }  # fmt: skip
    return json.dumps({**document, **changes}).encode()


def index_of(*listed: Any, **changes: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": list(listed), **changes}).encode()


def layout(index: bytes, *blobs: bytes, version: str = "1.0.0") -> bytes:
    marker = member("oci-layout", json.dumps({"imageLayoutVersion": version}).encode())
    return tar(marker, member("index.json", index), *(blob_file(body) for body in blobs))


SQUEEZED = gzip.compress(BASE)
OCI_CONFIG = config_of(BASE)
MANIFEST = manifest_of(OCI_CONFIG, SQUEEZED)
NAMED = {"annotations": {"org.opencontainers.image.ref.name": "host:5000/app:1"}}


def test_oci_layout(reading: Reading) -> None:
    index = index_of(described(MANIFEST, manifests.OCI_MANIFEST, **NAMED))
    images = reading.read(layout(index, MANIFEST, OCI_CONFIG, SQUEEZED))
    layer = {"digest": digest(SQUEEZED), "diff_id": digest(BASE), "size_bytes": len(SQUEEZED)}
    assert images == [
        {"config_digest": digest(OCI_CONFIG), "manifest_digest": digest(MANIFEST), "tags": ["host:5000/app:1"],
         "layers": [{**layer, "media_type": f"{manifests.OCI_LAYER}+gzip"}]}
    ]  # fmt: skip
    assert reading.files() == {digest(body)[7:] for body in (MANIFEST, OCI_CONFIG, SQUEEZED)}


@pytest.mark.parametrize(
    ("annotations", "tags"),
    [({}, []), ({"org.opencontainers.image.ref.name": "latest"}, []),
     ({"org.opencontainers.image.ref.name": "app:1"}, ["docker.io/library/app:1"]),
     ({"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "h.com/a:1"}, ["h.com/a:1"])],
)  # fmt: skip
def test_names_in_annotations(reading: Reading, annotations: dict[str, str], tags: list[str]) -> None:
    index = index_of(described(MANIFEST, manifests.OCI_MANIFEST, annotations=annotations))
    assert reading.read(layout(index, MANIFEST, OCI_CONFIG, SQUEEZED))[0]["tags"] == tags


def test_several_platforms(reading: Reading) -> None:
    system, architecture = image_config.host_platform()
    here, there = {"os": system, "architecture": architecture}, {"os": "linux", "architecture": "s390x"}
    other_config = config_of(BASE, architecture="s390x")
    other = manifest_of(other_config, SQUEEZED)
    listed = index_of(
        described(other, manifests.OCI_MANIFEST, platform=there),
        described(MANIFEST, manifests.OCI_MANIFEST, platform=here),
        described(b"{}", manifests.OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"}),
    )
    blob = layout(
        index_of(described(listed, manifests.OCI_INDEX, **NAMED)), listed, MANIFEST, OCI_CONFIG, SQUEEZED, other,
        other_config,
    )  # fmt: skip
    assert reading.read(blob)[0]["config_digest"] == digest(OCI_CONFIG)
    assert reading.read(blob, platform="linux/s390x")[0]["config_digest"] == digest(other_config)
    with pytest.raises(NotFound, match="no matching manifest for linux/riscv64 in .*: there are linux/"):
        reading.read(blob, platform="linux/riscv64")
    with pytest.raises(InvalidArgument, match="invalid platform 'linux/'"):
        reading.read(blob, platform="linux/")


def index_with(manifest: bytes, media_type: str = manifests.OCI_MANIFEST, **more: Any) -> bytes:
    return layout(index_of({**described(manifest, media_type), **more}), manifest, OCI_CONFIG, SQUEEZED)


def layer_of_type(media_type: str) -> bytes:
    return manifest_of(OCI_CONFIG, layers=[described(SQUEEZED, media_type)])


REFUSED_LAYOUTS: dict[str, tuple[bytes, str]] = {
    "version": (layout(index_of(), version="2.0.0"), "image layout version '2.0.0'"),
    "no version": (tar(member("index.json", index_of())), 'archive has no file "oci-layout"'),
    "empty index": (layout(index_of()), "lists no image"),
    "index without manifests": (layout(b'{"schemaVersion": 2}'), "no list of manifests"),
    "index of schema 1": (layout(b'{"schemaVersion": 1, "manifests": []}'), "schema version 1"),
    "index that is a manifest too": (layout(index_of(layers=[])), "ambiguous: it has 'layers'"),
    "index of another type": (layout(index_of(mediaType=manifests.OCI_MANIFEST)), "announced as"),
    "manifest missing": (layout(index_of(described(MANIFEST, manifests.OCI_MANIFEST))), "archive has no file"),
    "manifest that is an index too": (index_with(manifest_of(OCI_CONFIG, SQUEEZED, manifests=[])), "ambiguous"),
    "manifest that calls itself an index": (
        index_with(manifest_of(OCI_CONFIG, SQUEEZED, mediaType=manifests.OCI_INDEX)), "was announced as",
    ),
    "manifest of schema 1": (index_with(manifest_of(OCI_CONFIG, SQUEEZED, schemaVersion=1)), "schema version 1"),
    "manifest of an unknown type": (index_with(MANIFEST, "text/plain"), "unsupported media type 'text/plain'"),
    "manifest with another size": (index_with(MANIFEST, size=1), "where 1 are announced"),
    "manifest without size": (index_with(MANIFEST, size=None), "no valid size"),
    "manifest with a negative size": (index_with(MANIFEST, size=-1), "no valid size"),
    "digest a path": (index_with(MANIFEST, digest="sha256:../../../etc/passwd"), "unsupported digest"),
    "digest of another algorithm": (index_with(MANIFEST, digest="sha512:" + "0" * 128), "unsupported digest"),
    "no digest": (index_with(MANIFEST, digest=None), "no media type or no digest"),
    "descriptor a string": (layout(index_of("x")), "is no descriptor"),
    "platform a string": (index_with(MANIFEST, platform="linux"), "invalid platform"),
    "annotations of numbers": (index_with(MANIFEST, annotations={"a": 1}), "invalid annotations"),
    "bad name": (
        index_with(MANIFEST, annotations={"io.containerd.image.name": "A/B:c d"}), "invalid reference format",
    ),
    "artifact": (
        index_with(manifest_of(OCI_CONFIG, SQUEEZED, config=described(b"{}", "application/vnd.x+json"))), "is no image",
    ),
    "foreign layer": (
        index_with(layer_of_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
        f"layer {digest(SQUEEZED)} has the unsupported media type",
    ),
    "undistributable layer": (
        index_with(layer_of_type("application/vnd.oci.image.layer.nondistributable.v1.tar")), "unsupported media type",
    ),
    "layers no list": (index_with(manifest_of(OCI_CONFIG, layers={})), "no list of layers"),
    "more layers than diff IDs": (index_with(manifest_of(OCI_CONFIG, SQUEEZED, SQUEEZED)), "2 layers but"),
    "layer missing": (
        layout(index_of(described(MANIFEST, manifests.OCI_MANIFEST)), MANIFEST, OCI_CONFIG), "archive has no file",
    ),
    "plain layer with another diff ID": (
        layout(
            index_of(described(manifest_of(OCI_CONFIG, TOP), manifests.OCI_MANIFEST)), manifest_of(OCI_CONFIG, TOP),
            OCI_CONFIG, TOP,
        ), "where its image says",
    ),
    "blob with another digest": (
        tar(member("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
            member("index.json", index_of(described(MANIFEST, manifests.OCI_MANIFEST))),
            member(f"blobs/sha256/{digest(MANIFEST)[7:]}", MANIFEST + b" ")),
        "has the digest sha256:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_LAYOUTS)
def test_refused_layout(reading: Reading, what: str) -> None:
    blob, message = REFUSED_LAYOUTS[what]
    reading.refused(blob, message)
