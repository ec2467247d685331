"""``include``: other projects' resources, with paths and variables of their own."""

from __future__ import annotations

import os

from engine.compose.model.positions import Path, shown_file
from engine.compose.reading.context import Context
from engine.compose.reading.layers import Layer
from engine.compose.reading.paths import NO_REMOTE_FILES, is_remote_file
from engine.compose.reading.variables import default_files, with_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Load = Callable[[list[str], str, Context, tuple[str, ...]], dict[str, Any]]
    """Files, folder, context, and the files that are being included, to the merged model."""

_SECTIONS = ("services", "volumes", "networks", "secrets", "configs", "models")


def include(layer: Layer, context: Context, load: Load, chain: tuple[str, ...]) -> None:
    """Add what a layer includes to its value, in place. Raises ComposeError."""
    for index, entry in enumerate(layer.value.pop("include", None) or ()):
        path: Path = ("include", index)
        entry = {"path": entry} if isinstance(entry, str) else entry
        if not entry.get("path"):
            raise layer.positions.error(path, "path is required")
        for name in _texts(entry["path"]):
            if is_remote_file(name):
                raise layer.positions.error(path, f"{name}: {NO_REMOTE_FILES}")
        files = [_absolute(layer.folder, name) for name in _texts(entry["path"])]
        for file in files:
            if not os.path.isfile(file):
                raise layer.positions.error(path, f"{shown_file(file)} is not a file")
        if files[0] in chain:
            steps = " -> ".join(shown_file(file) for file in (*chain, files[0]))
            raise layer.positions.error(path, f"include cycle detected: {steps}")
        folder = _absolute(layer.folder, entry["project_directory"]) if entry.get("project_directory") else ""
        folder = folder or os.path.dirname(files[0])
        inner = context.with_environment(_variables(entry, layer.folder, folder, context))
        _import(load(files, folder, inner, (*chain, files[0])), layer, path)


def _variables(entry: dict[str, Any], home: str, folder: str, context: Context) -> dict[str, str]:
    """The including project's variables win over the files of the included one."""
    files = [_absolute(home, name) for name in _texts(entry.get("env_file") or [])]
    if not files:
        files = default_files({}, (), folder)
    return with_files(context.environment, files, context.warn_unset)


def _import(model: dict[str, Any], layer: Layer, path: Path) -> None:
    for section in _SECTIONS:
        own = layer.value.setdefault(section, {}) if model.get(section) else {}
        for name, value in (model.get(section) or {}).items():
            if name in own and own[name] != value:
                raise layer.positions.error(
                    (section, name), f"conflicts with the one that {_shown(path)} brings in"
                )
            own[name] = value


def _shown(path: Path) -> str:
    return f"{path[0]}[{path[1]}]"


def _texts(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value]


def _absolute(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
