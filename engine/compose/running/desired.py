"""What there should be: the services of a project as the planner takes them."""

from __future__ import annotations

from engine.compose.bodies.endpoints import network_name, ordered_networks
from engine.compose.bodies.mounts import volume_name
from engine.compose.project import ComposeError, Project
from engine.compose.records import Record
from engine.compose.running import comparison, names
from engine.compose.running.dependencies import (
    Dependency, dependencies_of, in_order, linked_with, shared_with, with_dependencies,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    Json = dict[str, Any]


class Service(Record):
    """``document`` is what its containers are compared by, ``networks`` and ``volumes`` are the engine's names."""

    name: str
    config: Mapping[str, Any]
    scale: int
    image: str
    names_its_image: bool
    needs: Mapping[str, Dependency]
    shares: tuple[str, ...]
    links: tuple[str, ...]
    document: Mapping[str, Any]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]

    @property
    def is_built(self) -> bool:
        return bool(self.config.get("build"))


class Desired(Record):
    """``services`` are all that the project has, each behind what it needs; ``selected`` those that a command is about,
    ``named`` those that were named on the command line (all, if none were)."""

    project: Project
    services: Mapping[str, Service]
    selected: tuple[str, ...]
    named: frozenset[str]
    networks: Mapping[str, Json] = {}
    volumes: Mapping[str, Json] = {}

    @property
    def needs(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(service.needs) for name, service in self.services.items()}


def desired_state(
    project: Project, chosen: tuple[str, ...] = (), *, with_needs: bool = True, scales: Mapping[str, int] | None = None
) -> Desired:
    """``chosen`` services (none: all), with everything that they need unless ``with_needs`` is false.

    Raises ComposeError: a service that there is not, a cycle, a dependency on nothing."""
    model = project.model.get("services") or {}
    check_names(project, (*chosen, *(scales or {})))
    services = {name: _service(project, name, config, (scales or {}).get(name)) for name, config in model.items()}
    for service in services.values():
        _check_needs(project, service)
    needs = {name: tuple(service.needs) for name, service in services.items()}
    order = in_order(needs)
    wanted = set(chosen) or set(services)
    selected = with_dependencies(wanted, needs) if with_needs else wanted
    return Desired(
        project,
        {name: services[name] for name in order},
        tuple(name for name in order if name in selected),
        frozenset(wanted),
        project.model.get("networks") or {},
        project.model.get("volumes") or {},
    )


def check_names(project: Project, chosen: tuple[str, ...]) -> None:
    """Raises ComposeError in Docker Compose's words."""
    model = project.model.get("services") or {}
    for name in chosen:
        if name not in model:
            if name in project.disabled:
                profiles = project.disabled[name].get("profiles") or []
                raise ComposeError(f"no such service: {name} (its profiles are not active: {', '.join(profiles)})")
            raise ComposeError(f"no such service: {name}")


def _service(project: Project, name: str, config: Mapping[str, Any], scale: int | None) -> Service:
    image, is_named = names.image_name(project.name, name, config), bool(config.get("image"))
    config = {**config, "image": image}
    count = _scale(config) if scale is None else scale
    if config.get("container_name") and count > 1:
        raise ComposeError(
            f'services.{name}: can\'t set container_name and {count} replicas: container names must be unique, so '
            f'"{config["container_name"]}" can be given to one container only'
        )
    mounted = [one["source"] for one in config.get("volumes") or () if one["type"] == "volume" and one.get("source")]
    on = [] if config.get("network_mode") else ordered_networks(config)
    return Service(
        name, config, count, image, is_named, dependencies_of(config),
        tuple(shared_with(config)), tuple(linked_with(config)),
        comparison.document(project, name, config), tuple(network_name(project, key) for key in on),
        tuple(dict.fromkeys(volume_name(project, key) for key in mounted)),
    )  # fmt: skip


def _scale(config: Mapping[str, Any]) -> int:
    for value in (config.get("scale"), (config.get("deploy") or {}).get("replicas")):
        if value is not None:
            return int(value)
    return 1


def _check_needs(project: Project, service: Service) -> None:
    for name, dependency in service.needs.items():
        if name in (project.model.get("services") or {}) or not dependency.required:
            continue
        if name in project.disabled:
            raise ComposeError(f"service {service.name} depends on {name}, whose profiles are not active")
        raise ComposeError(f'service "{service.name}" depends on undefined service "{name}": invalid compose project')
