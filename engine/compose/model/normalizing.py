"""What the specification leaves out and means: default networks, names, dependencies that other keys imply."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
_NAMED = ("networks", "volumes", "secrets", "configs")


def normalize(model: dict[str, Any], name: str, working_dir: str) -> None:
    """Make what is implied explicit, in place. ``name`` is the project's."""
    model["name"] = name
    services = model.setdefault("services", {})
    for service in services.values():
        _normalize_service(service, working_dir)
    if any("default" in (service.get("networks") or {}) for service in services.values()):
        model.setdefault("networks", {}).setdefault("default", {})
    for section in _NAMED:
        for key, resource in (model.get(section) or {}).items():
            if not resource.get("name"):
                resource["name"] = key if resource.get("external") else f"{name}_{key}"


def _normalize_service(service: dict[str, Any], working_dir: str) -> None:
    if not any(service.get(key) for key in ("networks", "network_mode", "provider")):
        service["networks"] = {"default": None}
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    if (build := service.get("build")) is not None:
        build.setdefault("context", working_dir)
        if not build.get("dockerfile_inline"):
            build.setdefault("dockerfile", "Dockerfile")
    for secret in service.get("secrets") or ():
        secret.setdefault("target", f"/run/secrets/{secret.get('source')}")
    for dependency, meaning in implied_dependencies(service):
        wanted = service.setdefault("depends_on", {})
        wanted.setdefault(dependency, {"condition": "service_started", "required": True, **meaning})
    for dependency in (service.get("depends_on") or {}).values():
        dependency.setdefault("condition", "service_started")
    deploy, scale = service.get("deploy"), service.get("scale")
    if deploy is not None and scale is not None:
        deploy.setdefault("replicas", scale)


def implied_dependencies(service: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Services that a service refers to by other keys than ``depends_on``, and what else their dependency says."""
    for link in service.get("links") or ():
        yield link.partition(":")[0], {"restart": True}
    for key in _NAMESPACES:
        kind, has_name, name = str(service.get(key) or "").partition(":")
        if kind == "service" and has_name:
            yield name, {"restart": True}
    for source in service.get("volumes_from") or ():
        if not source.startswith("container:"):
            yield source.partition(":")[0], {}


def hosts_listed(service: dict[str, Any]) -> None:
    """Extra hosts as Docker Compose prints them: a list of ``HOST=ADDRESS``, sorted. In place."""
    for holder in (service, service.get("build") or {}):
        if isinstance(hosts := holder.get("extra_hosts"), dict):
            holder["extra_hosts"] = sorted(
                f"{host}={address}" for host, addresses in hosts.items() for address in dict.fromkeys(addresses)
            )
