"""Writing archives that every engine loads: an OCI layout with Docker's manifest.json beside it, as ``docker save``.

Blobs are written as they are in the store, each once, with the manifest that an image came with where it came with
one; names and times are fixed, so that equal images make equal archives.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Mapping, Sequence

from engine.domain.errors import NotFound
from engine.images import manifests
from engine.images.compression import format_of
from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.images.tar import BLOCK, FOLDER, REGULAR

RECORD = 10240
_PIECE_BYTES = 1 << 20


class _Output:
    """A tar archive on its way to a descriptor; every name is written once."""

    def __init__(self, file: Any) -> None:
        self._fd = file.fileno()
        self._names: set[str] = set()
        self.size_bytes = 0

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self.size_bytes += written
            view = view[written:]

    def _header(self, name: str, size: int, kind: bytes = REGULAR) -> bool:
        """Whether the member is new."""
        if name in self._names:
            return False
        self._names.add(name)
        self._write(_header(name, size, kind))
        return True

    def folder(self, name: str) -> None:
        self._header(name, 0, FOLDER)

    def member(self, name: str, data: bytes) -> None:
        if self._header(name, len(data)):
            self._write(data + bytes(-len(data) % BLOCK))

    def blob(self, store: ContentStore, digest: str) -> None:
        with store.open(digest) as file:
            size = os.fstat(file.fileno()).st_size
            if not self._header(_path(digest), size):
                return
            left = size
            while left:
                piece = file.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise NotFound(f"content {digest!r} became shorter while it was read")
                self._write(piece)
                left -= len(piece)
            self._write(bytes(-size % BLOCK))

    def end(self) -> None:
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self.size_bytes % RECORD))


def _header(name: str, size: int, kind: bytes) -> bytes:
    """A ustar header of root's, of the epoch. The names of an archive are short; sizes from 8 GiB on are GNU's."""
    mode = 0o755 if kind == FOLDER else 0o644
    stored_size = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    start = name.encode().ljust(100, b"\0") + b"%07o\0%07o\0%07o\0" % (mode, 0, 0) + stored_size + b"%011o\0" % 0
    end = (kind + bytes(100) + b"ustar\x0000").ljust(BLOCK - len(start) - 8, b"\0")
    return start + b"%06o\0 " % (sum(start) + 8 * ord(" ") + sum(end)) + end


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def write_archive(file: Any, store: ContentStore, images: Sequence[Mapping[str, Any]]) -> int:
    """Write images (see ``jobs.write_images``) to an open file. Answers with the archive's size in bytes."""
    output = _Output(file)
    for folder in ("blobs", "blobs/sha256"):
        output.folder(folder)
    listed, saved = [], []
    for image in images:
        manifest_digest, manifest = _manifest(store, image)
        for digest in (image["config_digest"], *image["layers"]):
            output.blob(store, digest)
        output.member(_path(manifest_digest), manifest)
        tags = [Reference.parse(tag) for tag in image["tags"]]
        descriptor = {
            "mediaType": _media_type(manifest), "digest": manifest_digest, "size": len(manifest)
        }  # fmt: skip
        listed += [{**descriptor, "annotations": _annotations(tag)} for tag in tags] or [descriptor]
        saved.append(
            {
                "Config": _path(image["config_digest"]),
                "RepoTags": [tag.familiar for tag in tags] or None,
                "Layers": [_path(digest) for digest in image["layers"]],
            }
        )
    index = {"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": listed}
    output.member("index.json", json.dumps(index).encode())
    output.member("manifest.json", json.dumps(saved).encode())
    output.member("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
    output.end()
    return output.size_bytes


def _annotations(tag: Reference) -> dict[str, str]:
    return {"io.containerd.image.name": tag.normalized, "org.opencontainers.image.ref.name": tag.tag or "latest"}


def _media_type(manifest: bytes) -> str:
    """OCI leaves the field out at times; Docker never does."""
    return json.loads(manifest).get("mediaType") or manifests.OCI_MANIFEST


def _manifest(store: ContentStore, image: Mapping[str, Any]) -> tuple[str, bytes]:
    """The manifest that the image came with, or one made of what the store holds."""
    known = image.get("manifest_digest") or ""
    if known and store.has(known):
        return known, store.read(known)
    config = (image["config_digest"], store.size_bytes(image["config_digest"]))
    layers = []
    for digest in image["layers"]:
        with store.open(digest) as file:
            layers.append((manifests.layer_type(format_of(file.read(6))), digest, store.size_bytes(digest)))
    body = manifests.make_manifest(config, layers)
    return "sha256:" + hashlib.sha256(body).hexdigest(), body
