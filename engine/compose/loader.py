"""Compose files to a project: the order in which the parts of this package do their work."""

from __future__ import annotations

from engine.compose.model import selection
from engine.compose.model.consistency import check
from engine.compose.model.elements import PROJECT
from engine.compose.model.normalizing import hosts_listed, normalize
from engine.compose.model.supported import note_unsupported
from engine.compose.project import ComposeError, LoadOptions, Project
from engine.compose.reading import discovery, naming
from engine.compose.reading.context import Context
from engine.compose.reading.extending import Extending, without
from engine.compose.reading.including import include
from engine.compose.reading.layers import read_layers
from engine.compose.reading.merging import merge
from engine.compose.reading.resolving import resolve_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load(options: LoadOptions) -> Project:
    """The project that ``options`` mean. Raises ComposeError, one line with file, line and key."""
    context = Context(options, {})
    place = discovery.find(options, context)
    given = naming.given_name(context)
    name = given or naming.name_of_files(place, context)
    context.environment["COMPOSE_PROJECT_NAME"] = name
    model = _merged(list(place.files), place.working_dir, context, (place.files[0],))
    if not given and "-" in place.files and model.get("name"):
        name = naming.normalized(str(model["name"]))
    if not name:
        raise ComposeError("project name must not be empty: give one by -p, COMPOSE_PROJECT_NAME or a top-level name:")
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
        working_dir=place.working_dir,
        files=tuple(place.files),
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
        for layer in read_layers(file, folder, context, (model.get("services") or {}).keys()):
            extending.apply(layer)
            include(layer, context, _merged, chain)
            model = merge(without(model, layer.replaced), layer.value)
            context.positions.add(layer.positions)
    if not model:
        raise ComposeError("empty compose file")
    return _copied(model)


def _copied(value: Any) -> Any:
    """Without anything in common with what it was merged from."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)
