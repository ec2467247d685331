"""Archives of images: what ``docker save`` writes, and OCI layouts (OCI image specification, image-layout.md).

All that is said is checked before it is kept: names that are digests, sizes, the number of layers, and each plain
layer against the configuration's diff ID (a compressed layer's is checked when it is unpacked).
"""

from __future__ import annotations

from typing import Any

from engine.domain.errors import EngineError, InvalidArgument, NotFound, NotSupported
from engine.images import config as image_config
from engine.images import manifests
from engine.images.compression import Uncompressed, check_supported
from engine.images.content import ContentStore, Readable
from engine.images.documents import parse_document, parse_object
from engine.images.limits import Limits
from engine.images.manifests import Descriptor, Platform
from engine.images.platforms import best, of_config, parse, runs, this_machine
from engine.images.references import Reference
from engine.images.staging import Staging
from engine.images.tar import Stream

_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def read_archive(
    file: Readable, store: ContentStore, limits: Limits, platform: str | None = None
) -> list[dict[str, Any]]:
    """The images of an archive, which may be compressed; their blobs are in the store afterwards.

    Each is ``{"config_digest", "manifest_digest" ("" where the archive has none), "layers": [{"digest", "diff_id",
    "size_bytes", "media_type"}] from the base upwards, "tags": [...]}``. Of an image for several platforms
    ``platform`` (this machine's) is taken; where one is given, images for others are left out.

    Raises InvalidArgument, NotFound, NotSupported, OSError.
    """
    asked = parse(platform) if platform else None
    with Staging(store) as staging:
        with Uncompressed(file, limits) as pieces:
            staging.read(Stream(pieces), limits)
        if staging.has("manifest.json"):
            images = _saved_images(staging, asked)
        elif staging.has("index.json"):
            images = _layout_images(staging, asked)
        else:
            raise InvalidArgument("archive holds no images: manifest.json and index.json are missing")
        if not images:
            raise NotFound(f"the archive holds no image for platform {asked}")
        staging.commit()
    return images


# --- docker save ---


def _saved_images(staging: Staging, asked: Platform | None) -> list[dict[str, Any]]:
    listed = parse_document(staging.document("manifest.json"), "manifest.json")
    if not isinstance(listed, list) or not listed:
        raise InvalidArgument("manifest.json is no list of images")
    known = _known_manifests(staging)
    return [image for item in listed if (image := _saved_image(staging, item, known, asked))]


def _known_manifests(staging: Staging) -> dict[str, Descriptor]:
    """Manifests that lie beside ``manifest.json``, by what they list (configuration and layers): newer engines write
    an OCI layout into the same archive. One that can't be read is none."""
    known: dict[str, Descriptor] = {}
    try:
        for descriptor in manifests.parse_index(staging.document("index.json"), manifests.OCI_INDEX):
            if descriptor.media_type in manifests.MANIFEST_TYPES:
                found = manifests.parse_manifest(_blob_document(staging, descriptor), descriptor.media_type)
                known[" ".join([found.config.digest, *(layer.digest for layer in found.layers)])] = descriptor
    except EngineError:
        return known
    return known


def _saved_image(
    staging: Staging, item: Any, known: dict[str, Descriptor], asked: Platform | None
) -> dict[str, Any] | None:
    """None where it is for another platform."""
    if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
        raise InvalidArgument("manifest.json has an image without a configuration")
    paths, tags = item.get("Layers") or [], item.get("RepoTags") or []
    for texts in (paths, tags):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidArgument("manifest.json has an image whose layers or tags are no list of strings")
    config_digest = staging.blob(item["Config"]).digest
    diff_ids = _diff_ids(staging, item["Config"], len(paths))
    if not _fits(staging, item["Config"], asked):
        return None
    layers = [_layer(staging, path, diff_id) for path, diff_id in zip(paths, diff_ids)]
    checked = [Reference.parse(tag).normalized for tag in tags]
    staging.keep(item["Config"], *paths)
    manifest = known.get(" ".join([config_digest, *(layer["digest"] for layer in layers)]))
    if manifest is not None:
        staging.keep(_checked_name(staging, manifest))
    digest = manifest.digest if manifest is not None else ""
    return {"config_digest": config_digest, "manifest_digest": digest, "layers": layers, "tags": checked}


def _diff_ids(staging: Staging, config_name: str, layer_count: int) -> list[str]:
    diff_ids = image_config.parse(staging.document(config_name))["rootfs"]["diff_ids"]
    if len(diff_ids) != layer_count:
        raise InvalidArgument(f"image has {layer_count} layers but its configuration lists {len(diff_ids)}")
    return diff_ids


def _fits(staging: Staging, config_name: str, asked: Platform | None) -> bool:
    return asked is None or runs(asked, of_config(image_config.parse(staging.document(config_name)))) > 0


def _layer(staging: Staging, name: str, diff_id: str, media_type: str = "") -> dict[str, Any]:
    blob = staging.blob(name)
    compression = staging.compression(name)
    if not compression and blob.digest != diff_id:
        raise InvalidArgument(f"layer {name!r} has the digest {blob.digest} where its image says {diff_id}")
    check_supported(compression, name)
    return {
        "digest": blob.digest, "diff_id": diff_id, "size_bytes": blob.size_bytes,
        "media_type": media_type or manifests.DOCKER_LAYER + (f".{compression}" if compression else ""),
    }  # fmt: skip


# --- OCI layout ---


def _layout_images(staging: Staging, asked: Platform | None) -> list[dict[str, Any]]:
    version = parse_object(staging.document("oci-layout"), "oci-layout").get("imageLayoutVersion")
    if version != "1.0.0":
        raise NotSupported(f"image layout version {version!r} is not supported, only '1.0.0' is")
    by_name: dict[str, list[Descriptor]] = {}
    for descriptor in manifests.parse_index(staging.document("index.json"), manifests.OCI_INDEX):
        by_name.setdefault(_image_name(descriptor), []).append(descriptor)
    if not by_name:
        raise InvalidArgument("index.json lists no image")
    images = []
    for name, group in by_name.items():
        chosen = group if not name or len(group) == 1 else [best(group, asked or this_machine())]
        images += [image for descriptor in chosen if (image := _layout_image(staging, descriptor, name, asked))]
    return images


def _image_name(descriptor: Descriptor) -> str:
    """The normalized reference that an annotation gives; "" for none. A bare tag names nothing by itself."""
    for key in _NAME_ANNOTATIONS:
        text = descriptor.annotations.get(key, "")
        if ":" in text or "/" in text:
            return Reference.parse(text).normalized
    return ""


def _layout_image(
    staging: Staging, descriptor: Descriptor, name: str, asked: Platform | None
) -> dict[str, Any] | None:
    """None where it is for another platform."""
    if descriptor.media_type in manifests.INDEX_TYPES:
        listed = manifests.parse_index(_blob_document(staging, descriptor), descriptor.media_type)
        descriptor = best(listed, asked or this_machine())
    if descriptor.media_type not in manifests.MANIFEST_TYPES:
        raise NotSupported(f"manifest {descriptor.digest} has the unsupported media type {descriptor.media_type!r}")
    manifest = manifests.parse_manifest(_blob_document(staging, descriptor), descriptor.media_type)
    config_name = _checked_name(staging, manifest.config)
    diff_ids = _diff_ids(staging, config_name, len(manifest.layers))
    if not _fits(staging, config_name, asked):
        return None
    names = [_checked_name(staging, layer) for layer in manifest.layers]
    layers = [
        _layer(staging, layer_name, diff_id, layer.media_type)
        for layer_name, diff_id, layer in zip(names, diff_ids, manifest.layers)
    ]
    staging.keep(_checked_name(staging, descriptor), config_name, *names)
    return {
        "config_digest": manifest.config.digest, "manifest_digest": descriptor.digest, "layers": layers,
        "tags": [name] if name else [],
    }  # fmt: skip


def _blob_document(staging: Staging, descriptor: Descriptor) -> bytes:
    return staging.document(_checked_name(staging, descriptor))


def _checked_name(staging: Staging, descriptor: Descriptor) -> str:
    """Where the layout has the blob, which is what the descriptor says. Raises InvalidArgument."""
    name = "blobs/" + descriptor.digest.replace(":", "/")
    blob = staging.blob(name)
    if blob.size_bytes != descriptor.size_bytes:
        raise InvalidArgument(f"{name!r} has {blob.size_bytes} bytes where {descriptor.size_bytes} are announced")
    return name
