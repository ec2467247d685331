"""Compose files to a project: the order in which the parts of this package do their work."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

from engine.compose.model import selection
from engine.compose.model.consistency import check
from engine.compose.model.elements import PROJECT
from engine.compose.model.normalizing import hosts_listed, normalize
from engine.compose.model.supported import note_unsupported
from engine.compose.project import ComposeError, LoadOptions, Project
from engine.compose.reading import discovery, documents
from engine.compose.reading.context import Context
from engine.compose.reading.extending import Extending, without
from engine.compose.reading.including import include
from engine.compose.reading.interpolation import InterpolationError, substitute
from engine.compose.reading.layers import Layer, read_layers
from engine.compose.reading.merging import merge
from engine.compose.reading.resolving import resolve_service

_NAMED = re.compile(r"""^["']?name["']?\s*:|^\s*\{""", re.MULTILINE)
"""What a text must have in it to have a name at its top."""


def load(options: LoadOptions) -> Project:
    """The project that ``options`` mean. Raises ComposeError, one line with file, line and key."""
    context = Context(options, {})
    place = discovery.find(options, context)
    name = _name(place, context)
    context.environment["COMPOSE_PROJECT_NAME"] = name
    model = _merged(list(place.files), place.working_dir, context, (place.files[0],))
    name = _final_name(name, model, place, context)
    profiles = options.profiles or _listed(context.environment.get("COMPOSE_PROFILES", ""))
    return _finished(model, name, place, profiles, context)


def _finished(
    model: dict[str, Any], name: str, place: discovery.Place, profiles: tuple[str, ...], context: Context
) -> Project:
    options = context.options
    active = profiles if options.interpolate else ("*",)
    services, disabled = selection.split_by_profile(model.get("services", {}), active, options.services)
    model["services"] = services
    for service_name, service in services.items() if options.interpolate else ():
        resolve_service(service_name, service, context)
    if options.normalize:
        normalize(model, name, place.working_dir)
        normalize({"services": disabled}, name, place.working_dir)
    model["name"] = name
    for service in (*services.values(), *disabled.values()):
        hosts_listed(service)
    others = disabled
    if options.interpolate:
        model = PROJECT.canonical(model, (), context.positions)
        others = PROJECT.canonical({"services": disabled}, (), context.positions)["services"]
        if options.check_consistency:
            check(model, others, context.positions)
        if not options.all_resources:
            selection.drop_unused(model)
        note_unsupported(model, context)
    return Project(
        name=name,
        working_dir=Path(place.working_dir),
        files=tuple(Path(file) for file in place.files),
        model={key: value for key, value in model.items() if value or key in ("name", "services")},
        profiles=profiles,
        disabled=others,
        warnings=tuple(context.warnings),
        environment=context.environment,
    )


def _merged(files: list[str], folder: str, context: Context, chain: tuple[str, ...]) -> dict[str, Any]:
    """The documents of these files, what they extend and include filled in, merged one over the other."""
    model: dict[str, Any] = {}
    for file in files:
        extending = Extending(context)
        for layer in read_layers(file, folder, context):
            extending.apply(layer)
            include(layer, folder, context, _merged, chain)
            model = _laid_over(model, layer)
            context.positions.add(layer.positions)
    if not model:
        raise ComposeError("empty compose file")
    return copy.deepcopy(model)


def _laid_over(model: dict[str, Any], layer: Layer) -> dict[str, Any]:
    return merge(without(model, layer.replaced), layer.value)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _name(place: discovery.Place, context: Context) -> str:
    """The project's name as far as it is known before its files are loaded: they may use it as a variable."""
    given = context.options.project_name or context.environment.get("COMPOSE_PROJECT_NAME", "")
    if given:
        return discovery.checked(given)
    named = ""
    for file in place.files:
        if file != "-":
            named = _top_level_name(file, context) or named
    return discovery.normalized(named or os.path.basename(place.working_dir))


def _top_level_name(file: str, context: Context) -> str:
    with open(file, encoding="utf-8", errors="replace") as opened:
        text = opened.read()
    name = ""
    if _NAMED.search(text):
        for document in documents.documents(text, file):
            if isinstance(document.value, dict) and isinstance(found := document.value.get("name"), str):
                try:
                    name = substitute(found, context.environment, context.warn_unset)
                except InterpolationError as error:
                    raise document.positions.error(("name",), str(error)) from error
    return name


def _final_name(name: str, model: dict[str, Any], place: discovery.Place, context: Context) -> str:
    """A file that came by standard input can be read only once: its name counts from here on."""
    given = context.options.project_name or context.environment.get("COMPOSE_PROJECT_NAME") != name
    if not given and "-" in place.files and model.get("name"):
        name = discovery.normalized(str(model["name"]))
    if not name:
        raise ComposeError("project name must not be empty: give one by -p, COMPOSE_PROJECT_NAME or a top-level name:")
    return name
