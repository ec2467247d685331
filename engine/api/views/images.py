"""Images: the list's entry and inspect."""

from __future__ import annotations

from typing import Any, Callable

from engine.api.times import ZERO, rfc3339nano
from engine.api.views.docker_defaults import CONFIG, STORAGE_DRIVER, filled
from engine.domain.errors import InvalidArgument
from engine.services.as_of import parse_time_us

_NO_TAG = "<none>:<none>"
_NO_DIGEST = "<none>@<none>"


def familiar(reference: str) -> str:
    """A normalized reference as people write it: without Docker Hub's domain and the official ``library``."""
    return reference.removeprefix("docker.io/").removeprefix("library/") if reference.startswith("docker.io/") \
        else reference  # fmt: skip


def tags_of(view: Any) -> list[str]:
    return [familiar(reference) for reference in view.state.references if "@" not in reference]


def digests_of(view: Any) -> list[str]:
    return [familiar(reference) for reference in view.state.references if "@" in reference]


def created_us(view: Any) -> int:
    """When the image was made, as its configuration says; 0 where it doesn't."""
    return _made_us(view.config.get("created"))


def _made_us(created: Any) -> int:
    """0 for what is no time: the configuration is whatever somebody loaded, and must not break the list of images."""
    try:
        return parse_time_us(created, 0) if isinstance(created, str) and created else 0
    except InvalidArgument:
        return 0


def labels_of(view: Any) -> dict[str, str] | None:
    return (view.config.get("config") or {}).get("Labels") or None


def history_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """A step of an image's history: Docker counts its time in seconds."""
    return {**entry, "Created": _made_us(entry["Created"]) // 1_000_000}


def summary(
    view: Any, version: tuple[int, int], *, shared_bytes: int = -1, containers: int = -1,
    shows: Callable[[str], bool] = lambda name: True,
) -> dict[str, Any]:  # fmt: skip
    """An entry of the list, with those of its names that it ``shows``. -1 is a number that nobody asked for."""
    tags, digests = list(filter(shows, tags_of(view))), list(filter(shows, digests_of(view)))
    size = view.state.size_bytes
    if version < (1, 43):  # placeholders, and null for nothing
        tags, digests = (tags or None, digests or None) if tags or digests else ([_NO_TAG], [_NO_DIGEST])
    return {
        "Containers": containers,
        "Created": created_us(view) // 1_000_000,
        "Id": view.state.id,
        "Labels": labels_of(view),
        "ParentId": "",
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": shared_bytes,
        "Size": size,
        **({"VirtualSize": size} if version < (1, 44) else {}),
    }


def inspect(view: Any, version: tuple[int, int], *, tagged_at_us: int) -> dict[str, Any]:
    """The whole of an image. ``tagged_at_us`` is when it last got a name here, 0 for never."""
    config, size = view.config, view.state.size_bytes
    retired = {"Container": ""} if version < (1, 45) else {}
    return {
        "Id": view.state.id,
        "RepoTags": tags_of(view),
        "RepoDigests": digests_of(view),
        "Parent": "",
        "Comment": config.get("comment", "") or _last_comment(config),
        "Created": config.get("created") or ZERO,
        **retired,
        "ContainerConfig": CONFIG,  # gone since 1.45, and docker-compose 1.29 recreates no container without it
        "DockerVersion": config.get("docker_version", ""),
        "Author": config.get("author", ""),
        "Config": filled(CONFIG, config.get("config")),
        "Architecture": config.get("architecture", ""),
        **({"Variant": config["variant"]} if config.get("variant") else {}),
        "Os": config.get("os", ""),
        "Size": size,
        **({"VirtualSize": size} if version < (1, 44) else {}),
        "GraphDriver": {"Data": {}, "Name": STORAGE_DRIVER},
        "RootFS": {"Type": "layers", "Layers": (config.get("rootfs") or {}).get("diff_ids") or []},
        "Metadata": {"LastTagTime": rfc3339nano(tagged_at_us)},
    }


def layer_copy(usage: dict[str, Any]) -> dict[str, Any]:
    """A copy of a layer for containers with a user namespace."""
    return {
        "ID": usage["id"], "LayerID": usage["chain_id"], "Users": usage["uid_map"].strip(), "Size": usage["size_bytes"],
        "Containers": usage["containers"],
    }  # fmt: skip


def _last_comment(config: dict[str, Any]) -> str:
    history = config.get("history") or [{}]
    return history[-1].get("comment", "")
