"""A project as its containers, networks and volumes tell it by their labels: for commands on a project whose file is
elsewhere (``docket compose -p shop down``)."""

from __future__ import annotations

from engine.compose import labels
from engine.compose.project import Project
from engine.compose.running.actual import Actual
from engine.compose.running.dependencies import STARTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    Json = dict[str, Any]


def observed_project(name: str, actual: Actual, named: Iterable[str] = ()) -> Project:
    """Enough of a model to stop, start, remove and show; not to make containers. It is empty where there is nothing of
    that name, but for the services that are ``named``."""
    services: dict[str, Json] = {}
    files, folder = "", ""
    for one in actual.containers:
        services.setdefault(one.service, {"image": one.labels.get(labels.IMAGE, ""), "depends_on": _needs(one.labels)})
        files = files or one.labels.get(labels.CONFIG_FILES, "")
        folder = folder or one.labels.get(labels.WORKING_DIR, "")
    for service in named:
        services.setdefault(service, {"image": "", "depends_on": {}})
    networks = _resources(name, actual.networks, labels.NETWORK)
    volumes = _resources(name, actual.volumes, labels.VOLUME)
    for service in services.values():  # what is not there can't be waited for
        service["depends_on"] = {other: one for other, one in service["depends_on"].items() if other in services}
    model = {"name": name, "services": services, "networks": networks, "volumes": volumes}
    paths = tuple(file for file in files.split(",") if file)
    return Project(name, folder or ".", paths, model, (), {}, ())


def _needs(found: Any) -> dict[str, Json]:
    needs = {}
    for entry in filter(None, found.get(labels.DEPENDS_ON, "").split(",")):
        name, _, rest = entry.partition(":")
        condition, _, restart = rest.partition(":")
        needs[name] = {"condition": condition or STARTED, "required": True, "restart": restart == "true"}
    return needs


def _resources(project: str, found: Any, key: str) -> dict[str, Json]:
    return {
        one.labels[key]: {"name": name}
        for name, one in found.items()
        if one.labels.get(labels.PROJECT) == project and key in one.labels
    }
