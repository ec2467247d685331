"""The table of contents of the domain: which machine folds which stream, which class a stored type names."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Callable, Mapping

from engine.domain import (
    build, cache, container, container_commands, document, endpoint, exec as exec_, image, layer, network, prune,
    remap, runtime, volume,
)  # fmt: skip
from engine.domain.machine import Event


@dataclass(frozen=True, slots=True)
class Noun:
    """One kind of object. ``state`` is its frozen dataclass; a stream is named ``<name>/<id>``."""

    name: str
    module: ModuleType
    state: type
    status: type
    commands_apart: ModuleType | None = None
    """The module of its commands, where that isn't ``module``."""
    evolve: Callable[[Any, Event], Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "evolve", self.module.evolve)

    @property
    def decide(self) -> Callable[[Any, Any], list[Event]]:
        return self.commands.decide

    @property
    def commands(self) -> ModuleType:
        return self.commands_apart or self.module


NOUNS: Mapping[str, Noun] = {
    noun.name: noun
    for noun in (
        Noun("build", build, build.Build, build.Status),
        Noun("cache", cache, cache.Cache, cache.Status),
        Noun("container", container, container.Container, container.Status, container_commands),
        Noun("document", document, document.RedactedDocument, document.Status),
        Noun("endpoint", endpoint, endpoint.Endpoint, endpoint.Status),
        Noun("exec", exec_, exec_.Exec, exec_.Status),
        Noun("image", image, image.Image, image.Status),
        Noun("layer", layer, layer.Layer, layer.Status),
        Noun("network", network, network.Network, network.Status),
        Noun("prune", prune, prune.Prune, prune.Status),
        Noun("remap", remap, remap.Remap, remap.Status),
        Noun("runtime", runtime, runtime.RuntimeJournal, runtime.Status),
        Noun("volume", volume, volume.Volume, volume.Status),
    )
}

EVENT_TYPES: Mapping[str, type[Event]] = {
    event.TYPE: event for noun in NOUNS.values() for event in noun.module.EVENTS
}
