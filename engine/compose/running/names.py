"""Names as Docker Compose gives them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


def container_name(project: str, service_name: str, service: Mapping[str, Any], number: int) -> str:
    """``<project>-<service>-<number>``, or the one that the file gives."""
    return service.get("container_name") or f"{project}-{service_name}-{number}"


def one_off_name(project: str, service_name: str, slug: str) -> str:
    return f"{project}-{service_name}-run-{slug}"


def waiting_name(old_id: str, name: str) -> str:
    """The name of a container until the one whose place it takes is gone."""
    return f"{old_id[:12]}_{name}"


def image_name(project: str, service_name: str, service: Mapping[str, Any]) -> str:
    """The image that a service runs: the file's, or what its build is called."""
    return service.get("image") or f"{project}-{service_name}"


def log_name(project: str, container: str) -> str:
    """A container's name in front of its lines: without the project's, as ``web-1``."""
    return container.removeprefix(f"{project}-")


def cause_of(project: str, verb: str, service: str) -> str:
    """What the event log says about why a request came."""
    return f"{project}/{verb}" + (f"/{service}" if service else "")
