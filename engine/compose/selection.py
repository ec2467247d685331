"""Which services of a model are meant by the active profiles, and which resources these use."""

from __future__ import annotations

from typing import Any

_MOUNTED = ("secrets", "configs")


def split_by_profile(services: dict[str, Any], profiles: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The services that are enabled, and those of inactive profiles. The profile ``*`` stands for all."""
    enabled, disabled = {}, {}
    for name, service in services.items():
        wanted = service.get("profiles") or []
        active = not wanted or "*" in profiles or any(profile in profiles for profile in wanted)
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
