"""``extends``: a service that starts from another one, of the same file or of another."""

from __future__ import annotations

import os

from engine.compose.model.positions import Path, Positions, shown_file
from engine.compose.project import ComposeError
from engine.compose.reading.context import Context
from engine.compose.reading.layers import Layer, read_layers
from engine.compose.reading.merging import merge
from engine.compose.reading.paths import NO_REMOTE_FILES, is_remote_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Chain = tuple[tuple[str, str], ...]
"""Which services (file, name) led here."""


class Extending:
    """Fills in what the services of a layer extend. Files that they name are read once each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files: dict[str, Layer] = {}

    def apply(self, layer: Layer) -> None:
        services = layer.value.get("services", {})
        for name in services:
            services[name] = self._service(name, layer, ())

    def _service(self, name: str, layer: Layer, chain: Chain) -> dict[str, Any]:
        services = layer.value.get("services", {})
        service, here = services[name], (layer.file, name)
        extends = service.get("extends")
        if extends is None:
            return service
        path: Path = ("services", name, "extends")
        if here in chain:
            steps = " -> ".join(f"{service} ({shown_file(file)})" for file, service in (*chain, here))
            raise layer.positions.error(path, f"circular reference: {steps}")
        base_layer = self._layer_of(extends.get("file"), layer, path)
        base_name = extends["service"]
        if base_name not in base_layer.value.get("services", {}):
            raise layer.positions.error(
                path, f"cannot extend service {base_name!r}: not found in {shown_file(base_layer.file)}"
            )
        base = self._service(base_name, base_layer, (*chain, here))
        self._take_positions(base_layer, base_name, layer, name)
        base = without(base, [p[2:] for p in layer.replaced if p[:2] == ("services", name) and len(p) > 2])
        own = {key: value for key, value in service.items() if key != "extends"}
        merged = merge({"services": {name: base}}, {"services": {name: own}})["services"][name]
        services[name] = merged
        return merged

    def _layer_of(self, file: str | None, layer: Layer, path: Path) -> Layer:
        if file is None:
            return layer
        if is_remote_file(file):
            raise layer.positions.error((*path, "file"), f"{file}: {NO_REMOTE_FILES}")
        found = os.path.normpath(os.path.join(layer.folder, os.path.expanduser(file)))
        if found not in self._files:
            if not os.path.isfile(found):
                raise layer.positions.error((*path, "file"), f"{shown_file(found)} is not a file")
            self._files[found] = self._one(found)
        return self._files[found]

    def _one(self, file: str) -> Layer:
        """All documents of a file as one layer."""
        layers = read_layers(file, os.path.dirname(file), self._context)
        if not layers:
            raise ComposeError(f"{shown_file(file)}: empty compose file")
        whole, positions = layers[0].value, Positions()
        positions.add(layers[0].positions)
        for layer in layers[1:]:
            whole = merge(whole, layer.value)
            positions.add(layer.positions)
        replaced = [path for layer in layers for path in layer.replaced]
        return Layer(file, os.path.dirname(file), whole, positions, replaced)

    @staticmethod
    def _take_positions(source: Layer, base: str, target: Layer, name: str) -> None:
        own = Positions()
        own.add(target.positions)
        target.positions.add(source.positions, ("services", base), ("services", name))
        target.positions.add(own)


def without(value: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """The value less what stands at these paths."""
    for path in paths:
        value = _without(value, path)
    return value


def _without(value: Any, path: Path) -> Any:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    return {**value, path[0]: _without(value[path[0]], path[1:])}
