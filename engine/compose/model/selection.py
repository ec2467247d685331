"""Which services of a model are meant by the active profiles, and which resources these use."""

from __future__ import annotations

from engine.compose.project import ComposeError, Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOUNTED = ("secrets", "configs")


def split_by_profile(
    services: dict[str, Any], profiles: tuple[str, ...], named: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The services that are enabled, and those of inactive profiles. The profile ``*`` stands for all; services that
    are ``named`` are meant in any case, and activate their profiles."""
    profiles += tuple(profile for name in named for profile in (services.get(name) or {}).get("profiles") or ())
    enabled, disabled = {}, {}
    for name, service in services.items():
        wanted = service.get("profiles") or []
        active = not wanted or name in named or "*" in profiles or any(profile in profiles for profile in wanted)
        (enabled if active else disabled)[name] = service
    return enabled, disabled


def drop_unused(model: dict[str, Any]) -> None:
    """Take out the resources that no enabled service uses, in place."""
    services = model.get("services", {}).values()
    used: dict[str, set[str]] = {section: set() for section in ("networks", "volumes", "models", *_MOUNTED)}
    for service in services:
        used["networks"] |= set(service.get("networks") or ())
        used["models"] |= set(service.get("models") or ())
        used["volumes"] |= {
            mount.get("source", "") for mount in service.get("volumes") or () if mount.get("type") == "volume"
        }
        for section in _MOUNTED:
            used[section] |= {entry.get("source", "") for entry in service.get(section) or ()}
        used["secrets"] |= {entry.get("source", "") for entry in (service.get("build") or {}).get("secrets") or ()}
    for section, names in used.items():
        if section in model:
            model[section] = {name: value for name, value in model[section].items() if name in names}


def with_dependencies(services: dict[str, Any], names: tuple[str, ...]) -> set[str]:
    """These services and all that they depend on. Raises ComposeError for one that isn't there."""
    for name in names:
        if name not in services:
            raise ComposeError(f"no such service: {name}")
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found and name in services:
            found.add(name)
            pending += services[name].get("depends_on") or ()
    return found


def narrowed(project: Project, names: tuple[str, ...]) -> Project:
    """The project with no other services than these and all that they depend on. Raises ComposeError."""
    kept = with_dependencies(project.model["services"], names)
    services = {name: service for name, service in project.model["services"].items() if name in kept}
    model = {**project.model, "services": services}
    drop_unused(model)
    return project.replace(model={key: value for key, value in model.items() if value or key in ("name", "services")})
