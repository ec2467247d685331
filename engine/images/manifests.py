"""Manifests and indexes: what an image consists of (OCI image specification, manifest.md and image-index.md).

Docker's schema 2 documents differ from OCI's by their media types only. A document that could be read as a manifest
and as an index is refused (CVE-2021-41190), and so are layers that this engine would have to fetch elsewhere.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, Sequence

from engine.domain.errors import InvalidArgument, NotSupported
from engine.images.content import check_digest
from engine.images.documents import parse_object

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

_BRIEF = 120
_PLATFORM_WORD = re.compile(r"[A-Za-z0-9._+-]{0,64}")

MANIFEST_TYPES = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
INDEX_TYPES = frozenset((OCI_INDEX, DOCKER_LIST))
_CONFIG_TYPES = frozenset((OCI_CONFIG, DOCKER_CONFIG))
_LAYER_TYPES = frozenset(
    (OCI_LAYER, f"{OCI_LAYER}+gzip", f"{OCI_LAYER}+zstd", DOCKER_LAYER, f"{DOCKER_LAYER}.gzip", f"{DOCKER_LAYER}.zstd")
)


class Platform(NamedTuple):
    """``variant`` is "" where none is said."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """``os/architecture[/variant]``. Raises InvalidArgument."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InvalidArgument(f"invalid platform {text!r}: use os/architecture[/variant], as linux/arm64")
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(NamedTuple):
    """A reference to a blob by what it must be."""

    media_type: str
    digest: str
    size_bytes: int
    platform: Platform | None
    annotations: dict[str, str]


class Manifest(NamedTuple):
    config: Descriptor
    layers: list[Descriptor]


def parse_descriptor(value: Any, what: str) -> Descriptor:
    """Raises InvalidArgument."""
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what} is no descriptor")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str):
        raise InvalidArgument(f"{what} has no media type or no digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidArgument(f"{what} {_brief(digest)} has no valid size")
    annotations = value.get("annotations") or {}
    if not isinstance(annotations, dict) or not all(isinstance(text, str) for text in annotations.values()):
        raise InvalidArgument(f"{what} {_brief(digest)} has invalid annotations")
    return Descriptor(media_type, check_digest(digest), size, _parse_platform(value.get("platform"), what), annotations)


def _parse_platform(value: Any, what: str) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what} has an invalid platform")
    words = [value.get(key) or "" for key in ("os", "architecture", "variant")]
    if not all(isinstance(word, str) and _PLATFORM_WORD.fullmatch(word) for word in words):
        raise InvalidArgument(f"{what} has an invalid platform")
    return Platform(*words)


def parse_manifest(body: bytes, media_type: str) -> Manifest:
    """An image's manifest. Raises InvalidArgument, NotSupported for what this engine can't run."""
    document = _checked(body, media_type, "manifest", ("manifests", "fsLayers"))
    config = parse_descriptor(document.get("config"), "the manifest's config")
    if config.media_type not in _CONFIG_TYPES:
        raise NotSupported(f"the manifest is no image: its config has the media type {_brief(config.media_type)}")
    listed = document.get("layers")
    if not isinstance(listed, list):
        raise InvalidArgument("the manifest has no list of layers")
    layers = [parse_descriptor(layer, "a layer of the manifest") for layer in listed]
    for layer in layers:
        if layer.media_type not in _LAYER_TYPES:
            raise NotSupported(f"layer {layer.digest} has the unsupported media type {_brief(layer.media_type)}")
    return Manifest(config, layers)


def parse_index(body: bytes, media_type: str) -> list[Descriptor]:
    """The manifests of an index or a manifest list. Raises InvalidArgument."""
    document = _checked(body, media_type, "index", ("config", "layers", "fsLayers"))
    listed = document.get("manifests")
    if not isinstance(listed, list):
        raise InvalidArgument("the index has no list of manifests")
    return [parse_descriptor(manifest, "a manifest of the index") for manifest in listed]


def _checked(body: bytes, media_type: str, what: str, foreign: tuple[str, ...]) -> dict[str, Any]:
    document = parse_object(body, f"the {what}")
    version = document.get("schemaVersion")
    if version != 2:
        raise NotSupported(f"the {what} has schema version {_brief(version)}, only 2 is supported")
    for key in foreign:
        if key in document:
            raise InvalidArgument(f"the {what} is ambiguous: it has {key!r}, which belongs to another kind of document")
    own = document.get("mediaType")
    if own is not None and own != media_type:
        raise InvalidArgument(f"the {what} calls itself {_brief(own)} but was announced as {media_type!r}")
    return document


def _brief(value: Any) -> str:
    """A value of a document in a message: it may be anything, and large."""
    text = repr(value)
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}..."


def layer_type(compression: str) -> str:
    """The OCI media type of a layer that is compressed so ("": plain). Raises NotSupported."""
    if compression not in ("", "gzip", "zstd"):
        raise NotSupported(f"a layer that is compressed by {compression} has no media type: only gzip and zstd have")
    return OCI_LAYER + (f"+{compression}" if compression else "")


def make_manifest(config: tuple[str, int], layers: Sequence[tuple[str, str, int]]) -> bytes:
    """A manifest of a configuration (digest, bytes) and layers (media type, digest, bytes); equal for equal content."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config[0], "size": config[1]},
        "layers": [{"mediaType": kind, "digest": digest, "size": size} for kind, digest, size in layers],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
