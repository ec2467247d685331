"""What there is: the engine's containers, networks, volumes and images of a project, found by their labels."""

from __future__ import annotations

from engine.client.api import Client, path_of
from engine.client.errors import APIError
from engine.compose import labels
from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping

    Json = dict[str, Any]

RUNNING_STATES = ("running", "paused", "restarting")


class Container(Record):
    """``state`` is Docker's word (created, running, paused, restarting, exited, dead), ``health`` "" without a check,
    ``exit_code`` None while there is none. ``networks`` are ids by name."""

    id: str
    name: str
    service: str
    number: int
    state: str
    health: str = ""
    exit_code: int | None = None
    one_off: bool = False
    image_id: str = ""
    labels: Mapping[str, str] = {}
    networks: Mapping[str, str] = {}
    volumes: frozenset[str] = frozenset()
    network_mode: str = ""

    @property
    def up(self) -> bool:
        return self.state in RUNNING_STATES

    @property
    def replaces(self) -> str:
        """The name that it was to get when it was made to take another's place."""
        return self.labels.get(labels.REPLACE, "")

    @property
    def interrupted(self) -> bool:
        """Whether a command was cut off before this container got its name."""
        return bool(self.replaces) and self.name != self.replaces and self.name.endswith("_" + self.replaces)


class Network(Record):
    id: str
    name: str
    labels: Mapping[str, str] = {}


class Volume(Record):
    name: str
    labels: Mapping[str, str] = {}


class Actual(Record):
    """``networks`` and ``volumes`` are all of the engine's by name, since the external ones are no project's."""

    containers: tuple[Container, ...] = ()
    networks: Mapping[str, Network] = {}
    volumes: Mapping[str, Volume] = {}

    def of(self, service: str) -> list[Container]:
        """The containers of a service, without those that ``run`` made, by number."""
        found = [one for one in self.containers if one.service == service and not one.one_off]
        return sorted(found, key=lambda one: (one.number, one.name))


def read(client: Client, project_name: str, *, with_resources: bool = True) -> Actual:
    """Ask the engine. ``with_resources`` false: the containers alone."""
    containers = tuple(container_of(one) for one in list_containers(client, project_name))
    if not with_resources:
        return Actual(containers)
    networks = [Network(one["Id"], one["Name"], one.get("Labels") or {}) for one in client.call("GET", "/networks")]
    volumes = [
        Volume(one["Name"], one.get("Labels") or {}) for one in client.call("GET", "/volumes").get("Volumes") or ()
    ]
    return Actual(containers, {one.name: one for one in networks}, {one.name: one for one in volumes})


def list_containers(client: Client, project_name: str, *, every: bool = True) -> list[Json]:
    """The API's summaries of a project's containers."""
    filters = {"label": {f"{labels.PROJECT}={project_name}": True}}
    return client.call("GET", "/containers/json", query={"all": every, "filters": filters})


def container_of(summary: Mapping[str, Any]) -> Container:
    own = summary.get("Labels") or {}
    status = summary.get("Status") or ""
    networks = (summary.get("NetworkSettings") or {}).get("Networks") or {}
    number = own.get(labels.NUMBER, "1")
    return Container(
        id=summary["Id"],
        name=own_name(summary),
        service=own.get(labels.SERVICE, ""),
        number=int(number) if number.isdecimal() else 1,
        state=summary.get("State") or "",
        health=health_in(status),
        exit_code=exit_code_in(status),
        one_off=own.get(labels.ONE_OFF) == labels.TRUE,
        image_id=summary.get("ImageID") or "",
        labels=own,
        networks={name: (one or {}).get("NetworkID") or "" for name, one in networks.items()},
        volumes=frozenset(one["Name"] for one in summary.get("Mounts") or () if one.get("Name")),
        network_mode=(summary.get("HostConfig") or {}).get("NetworkMode") or "",
    )


def own_name(summary: Mapping[str, Any]) -> str:
    """Its own name among those that links gave it."""
    names = [name.removeprefix("/") for name in summary.get("Names") or ()]
    return next((name for name in names if "/" not in name), summary["Id"][:12])


def health_in(status: str) -> str:
    """"Up 3 seconds (health: starting)" -> "starting"."""
    if not status.startswith("Up") or not status.endswith(")"):
        return ""
    word = status[status.rfind("(") + 1 : -1].removeprefix("health: ")
    return word if word in ("starting", "healthy", "unhealthy") else ""


def exit_code_in(status: str) -> int | None:
    """"Exited (5) 3 seconds ago" -> 5."""
    if not status.startswith("Exited ("):
        return None
    code = status[len("Exited (") : status.find(")")]
    return int(code) if code.lstrip("-").isdecimal() else None


def image_ids(client: Client, references: Iterable[str]) -> dict[str, str]:
    """The id of each image that is there."""
    found = {}
    for reference in sorted(set(references)):
        try:
            found[reference] = client.call("GET", path_of("images", reference, "json"))["Id"]
        except APIError as error:
            if error.status != 404:
                raise
    return found
