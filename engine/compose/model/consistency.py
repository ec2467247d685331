"""What a schema can't say: names that must exist, keys that exclude each other, cycles."""

from __future__ import annotations

import posixpath

from engine.compose.model.normalizing import implied_dependencies
from engine.compose.model.positions import Path, Positions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

Problem = tuple[Path, str]
_RESOURCES = (("secrets", "secret"), ("configs", "config"))


def check(model: dict[str, Any], disabled: dict[str, Any], positions: Positions) -> None:
    """Raises ComposeError for the first thing that doesn't fit together."""
    for problem in _problems(model, disabled):
        path, words = problem
        raise positions.error(path, words)
    if (cycle := find_cycle(model["services"])) is not None:
        raise positions.error(("services", cycle[0], "depends_on"), "dependency cycle: " + " -> ".join(cycle))


def _problems(model: dict[str, Any], disabled: dict[str, Any]) -> Iterator[Problem]:
    for name, service in model["services"].items():
        path: Path = ("services", name)
        for examine in _SERVICE_CHECKS:
            for key, words in examine(service):
                yield (*path, *key), words
        yield from _dependencies(path, service, model["services"], disabled)
        yield from _references(path, service, model)
    yield from _container_names(model["services"])
    for section, noun in _RESOURCES:
        for name, resource in (model.get(section) or {}).items():
            yield from _source((section, name), resource, noun)
    for name, volume in (model.get("volumes") or {}).items():
        for key in ("driver", "driver_opts", "labels"):
            if volume.get("external") and volume.get(key):
                yield ("volumes", name, key), "the volume is external: what it is made of is not said here"


def _dependencies(
    path: Path, service: dict[str, Any], services: dict[str, Any], disabled: dict[str, Any]
) -> Iterator[Problem]:
    for name, dependency in (service.get("depends_on") or {}).items():
        if name == path[-1]:
            yield (*path, "depends_on", name), "a service can't depend on itself"
        elif name not in services and dependency.get("required", True):
            words = f"depends on undefined service {name!r}"
            if name in disabled:
                words = f"depends on service {name!r}, which is disabled: none of its profiles is active"
            yield (*path, "depends_on", name), words
    for name, _ in implied_dependencies(service):
        if name not in services:
            yield path, f"refers to undefined service {name!r}"


def _references(path: Path, service: dict[str, Any], model: dict[str, Any]) -> Iterator[Problem]:
    for name in service.get("networks") or ():
        if name not in (model.get("networks") or {}):
            yield (*path, "networks", name), f"refers to undefined network {name}"
    for index, mount in enumerate(service.get("volumes") or ()):
        source = mount.get("source")
        if mount.get("type") == "volume" and source and source not in (model.get("volumes") or {}):
            yield (*path, "volumes", index), f"refers to undefined volume {source}"
    for section, noun in _RESOURCES:
        for index, entry in enumerate(service.get(section) or ()):
            if entry.get("source") not in (model.get(section) or {}):
                yield (*path, section, index), f"refers to undefined {noun} {entry.get('source')}"
    for index, entry in enumerate((service.get("build") or {}).get("secrets") or ()):
        if entry.get("source") not in (model.get("secrets") or {}):
            yield (*path, "build", "secrets", index), f"refers to undefined secret {entry.get('source')}"
    for name in service.get("models") or ():
        if name not in (model.get("models") or {}):
            yield (*path, "models", name), f"refers to undefined model {name}"
    for key, context in ((service.get("build") or {}).get("additional_contexts") or {}).items():
        kind, _, name = context.partition(":")
        if kind == "service" and not (model["services"].get(name) or {}).get("build"):
            yield (*path, "build", "additional_contexts", key), f"{name!r} is no service with a build"


def _source(path: Path, resource: dict[str, Any], noun: str) -> Iterator[Problem]:
    """Where a secret or config comes from: just one of the ways."""
    ways = ("file", "environment") if noun == "secret" else ("file", "environment", "content")
    given = [way for way in ways if resource.get(way) is not None]
    if resource.get("external"):
        if given:
            yield path, f"is external, which excludes {given[0]}"
    elif len(given) > 1:
        yield path, f"{' and '.join(given)} exclude each other"
    elif not given and not resource.get("driver"):
        yield path, f"must have one of {', '.join(ways)} or be external"


def _has_image(service: dict[str, Any]) -> Iterator[Problem]:
    if not service.get("image") and service.get("build") is None and not service.get("provider"):
        yield (), "has neither an image nor a build context specified"


def _build(service: dict[str, Any]) -> Iterator[Problem]:
    build = service.get("build") or {}
    if build.get("dockerfile") and build.get("dockerfile_inline"):
        yield ("build",), "dockerfile and dockerfile_inline exclude each other"
    platforms, platform = build.get("platforms") or [], service.get("platform")
    if platforms and platform and platform not in platforms:
        yield ("build", "platforms"), f"must include the service's platform {platform}"


def _network_mode(service: dict[str, Any]) -> Iterator[Problem]:
    if service.get("network_mode") and service.get("networks"):
        yield ("network_mode",), "network_mode and networks exclude each other"


def _health(service: dict[str, Any]) -> Iterator[Problem]:
    test = (service.get("healthcheck") or {}).get("test")
    if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        yield ("healthcheck", "test"), 'must start either by "CMD", "CMD-SHELL" or "NONE"'


def _scale(service: dict[str, Any]) -> Iterator[Problem]:
    replicas = (service.get("deploy") or {}).get("replicas")
    scale = service.get("scale")
    if scale is not None and replicas is not None and scale != replicas:
        yield ("scale",), "can't set distinct values on 'scale' and 'deploy.replicas'"
    if service.get("container_name") and max(scale or 0, replicas or 0) > 1:
        yield ("container_name",), "can't set container_name and more than one replica: its name must be unique"


_SAME = (
    ("mem_limit", "limits", "memory"), ("mem_reservation", "reservations", "memory"), ("cpus", "limits", "cpus"),
    ("pids_limit", "limits", "pids"),
)  # fmt: skip


def _limits(service: dict[str, Any]) -> Iterator[Problem]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    for key, kind, name in _SAME:
        other = (resources.get(kind) or {}).get(name)
        if service.get(key) is not None and other is not None and service[key] != other:
            yield (key,), f"can't set distinct values on '{key}' and 'deploy.resources.{kind}.{name}'"


def _mac_address(service: dict[str, Any]) -> Iterator[Problem]:
    mac_address, networks = service.get("mac_address"), service.get("networks") or {}
    for name, attachment in networks.items():
        other = (attachment or {}).get("mac_address")
        if mac_address and other and len(networks) == 1 and other != mac_address:
            yield ("networks", name, "mac_address"), "differs from the service's mac_address"


def _watch(service: dict[str, Any]) -> Iterator[Problem]:
    for index, watch in enumerate((service.get("develop") or {}).get("watch") or ()):
        if watch["action"] not in ("rebuild", "restart") and not watch.get("target"):
            yield ("develop", "watch", index), "target is required for non-rebuild actions"


def _targets(service: dict[str, Any]) -> Iterator[Problem]:
    """A volume and a tmpfs can't be mounted at one place."""
    taken = {
        posixpath.normpath(entry.partition(":")[0]): f"tmpfs[{index}]"
        for index, entry in enumerate(service.get("tmpfs") or ())
    }
    for index, entry in enumerate(service.get("volumes") or ()):
        target = posixpath.normpath(entry.get("target") or "/")
        if target in taken:
            yield ("volumes", index), f"target {target} already mounted as {taken[target]}"


_SERVICE_CHECKS: tuple[Callable[[dict[str, Any]], Iterator[Problem]], ...] = (
    _has_image, _build, _network_mode, _health, _scale, _limits, _mac_address, _watch,
    _targets,
)  # fmt: skip


def _container_names(services: dict[str, Any]) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, service in services.items():
        wanted = service.get("container_name")
        if wanted and wanted in owners:
            yield ("services", name, "container_name"), f"{wanted!r} is already in use by service {owners[wanted]!r}"
        elif wanted:
            owners[wanted] = name


def find_cycle(services: dict[str, Any]) -> list[str] | None:
    """The first cycle of dependencies, from a service back to it."""
    done: set[str] = set()
    for start in services:
        trail: list[str] = []
        pending: list[tuple[str, bool]] = [(start, False)]
        while pending:
            name, leaving = pending.pop()
            if leaving:
                trail.pop()
                done.add(name)
            elif name in trail:
                return [*trail[trail.index(name) :], name]
            elif name not in done and name in services:
                trail.append(name)
                pending.append((name, True))
                pending += [(other, False) for other in sorted(services[name].get("depends_on") or (), reverse=True)]
    return None
