"""What services answer with: an object's state joined with the documents that it names. The API translates them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from engine.domain.container import Container
from engine.domain.endpoint import Endpoint
from engine.domain.exec import Exec
from engine.domain.image import Image
from engine.domain.network import Network
from engine.domain.volume import Volume


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container as of one moment. ``config``, ``host_config`` and ``mounts`` have Docker's shapes; ``exec_ids`` are
    those of execs that have not ended."""

    state: Container
    config: dict[str, Any]
    host_config: dict[str, Any]
    directory: Path
    mounts: list[dict[str, Any]]
    exec_ids: tuple[str, ...]
    written_bytes: Callable[[], int]
    layer_bytes: Callable[[], int]
    read_evidence: Callable[[], dict[str, Any] | None]
    read_image_name: Callable[[], str]
    read_image_config: Callable[[], dict[str, Any] | None]
    read_health: Callable[[], tuple[int, tuple[Any, ...]]]
    endpoints: tuple[tuple[Endpoint, Network], ...] = ()
    links: tuple[str, ...] = ()
    """Legacy links, as the configuration keeps them: ID:ALIAS."""
    link_names: tuple[str, ...] = ()
    """What others' links call it; lists say so."""

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.state.id}-json.log"

    @property
    def evidence(self) -> dict[str, Any] | None:
        """The isolation that the kernel confirmed at the last start; None before the first."""
        return self.read_evidence()

    @property
    def image_name(self) -> str:
        """What it was made from, as long as that name means this image; else the image's id."""
        return self.read_image_name()

    @property
    def image_config(self) -> dict[str, Any] | None:
        """The image's configuration, also where the image has been removed since."""
        return self.read_image_config()

    @property
    def health_results(self) -> tuple[int, tuple[Any, ...]]:
        """The streak of failing probes, and the last results (engine.services.health.Result), oldest first."""
        return self.read_health()

    def size(self) -> tuple[int, int]:
        """Bytes in the regular files of the writable layer, and of the whole root."""
        written = self.written_bytes()
        return written, written + self.layer_bytes()


@dataclass(frozen=True, slots=True)
class NetworkView:
    """``members`` are the containers that are on it, with their endpoints."""

    state: Network
    members: tuple[tuple[Endpoint, Container], ...]


@dataclass(frozen=True, slots=True)
class ExecView:
    state: Exec
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageView:
    """``config`` is the image's configuration (OCI image specification)."""

    state: Image
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class VolumeView:
    """``users`` are the ids of the containers that mount it."""

    state: Volume
    mountpoint: Path
    users: tuple[str, ...]


def parse_document(body: bytes) -> dict[str, Any]:
    """A stored document as the object that it is."""
    return json.loads(body)
