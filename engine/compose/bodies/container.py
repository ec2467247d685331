"""From a canonical service to the body of POST /containers/create (Docker Engine API 1.47).

What the file leaves open is left out: the engine's defaults are the engine's, and what it can't do it names itself.
"""

from __future__ import annotations

from engine.compose import labels
from engine.compose.bodies.endpoints import network_config
from engine.compose.bodies.host_config import host_config
from engine.compose.bodies.mounts import storage
from engine.compose.bodies.ports import exposed_ports
from engine.compose.project import Project
from engine.compose.bodies.values import nanoseconds, seconds, whole
from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    Json = dict[str, Any]


class Surroundings(Record):
    """What a container needs to know of others before it can be made.

    ``containers`` are ids by service, for the namespaces and volumes that it shares; ``names`` are the names of all of
    a service's containers, for links; ``anonymous`` are volumes of the container whose place it takes, by where they
    are mounted."""

    containers: Mapping[str, str] = {}
    anonymous: Mapping[str, str] = {}
    names: Mapping[str, Sequence[str]] = {}


def container_body(
    project: Project, name: str, service: Mapping[str, Any], container_name: str, own_labels: Mapping[str, str],
    surroundings: Surroundings, *, one_off: bool = False, with_aliases: bool = True,
) -> Json:  # fmt: skip
    """The body for one container of the service ``name``. Raises ComposeError where a value has no meaning."""
    body = {
        **_process(service),
        **_identity(service),
        "Healthcheck": _healthcheck(service.get("healthcheck")),
        "Labels": {**(service.get("labels") or {}), **own_labels},
        "ExposedPorts": {port: {} for port in exposed_ports(service)},
        "StopSignal": service.get("stop_signal"),
        "StopTimeout": _stop_timeout(service),
        "AttachStdout": True,
        "AttachStderr": True,
    }
    aliases = [container_name, *([name] if with_aliases and (not one_off or "container_name" not in service) else [])]
    mode, endpoints = network_config(project, service, aliases, surroundings.containers)
    host = host_config(project, service, surroundings.containers)
    host |= {**storage(project, service, surroundings.anonymous, surroundings.containers), "NetworkMode": mode}
    host["Links"] = links = _links(project, service, surroundings.names)
    body["HostConfig"] = without_silence(host)
    if endpoints and links:
        endpoints = {name: {**endpoint, "Links": links} for name, endpoint in endpoints.items()}
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return without_silence(body)


def without_silence(fields: Mapping[str, Any]) -> Json:
    """The fields that say something; a zero does, an empty text or list does not."""
    return {key: value for key, value in fields.items() if value not in (None, "", [], {}) and value is not False}


def _process(service: Mapping[str, Any]) -> Json:
    """The program. An empty ``entrypoint`` or ``command`` takes the image's away, a null one leaves it."""
    found: Json = {"Image": service.get("image"), "Env": environment(service), "Tty": bool(service.get("tty"))}
    found["OpenStdin"] = bool(service.get("stdin_open"))
    command, entrypoint = service.get("command"), service.get("entrypoint")
    if command:
        found["Cmd"] = list(command)
    if entrypoint is not None:
        found["Entrypoint"] = list(entrypoint) or [""]
    found["WorkingDir"], found["User"] = service.get("working_dir"), service.get("user")
    return found


def environment(service: Mapping[str, Any]) -> list[str]:
    """NAME=value, sorted; a name without a value takes the image's variable away."""
    found = service.get("environment") or {}
    return [name if found[name] is None else f"{name}={found[name]}" for name in sorted(found)]


def _identity(service: Mapping[str, Any]) -> Json:
    return {
        "Hostname": service.get("hostname"),
        "Domainname": service.get("domainname"),
        "MacAddress": service.get("mac_address") if service.get("network_mode") else None,
    }


def _links(project: Project, service: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> list[str]:
    """Every container of a linked service by the link's name, by its own and by its own without the project's."""
    found = []
    for link in service.get("links") or ():
        other, _, alias = link.partition(":")
        for name in names.get(other, ()):
            called = [alias or other, name.removeprefix(f"{project.name}-"), name]
            found += [f"{name}:{one}" for one in dict.fromkeys(called)]
    return found + list(service.get("external_links") or ())


def _stop_timeout(service: Mapping[str, Any]) -> int | None:
    value = service.get("stop_grace_period")
    return None if value is None else seconds(value, "stop_grace_period")


def _healthcheck(given: Mapping[str, Any] | None) -> Json | None:
    if not given:
        return None
    if given.get("disable"):
        return {"Test": ["NONE"]}
    times = {
        "Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period", "StartInterval": "start_interval",
    }  # fmt: skip
    check: Json = {field: nanoseconds(given[key], f"healthcheck.{key}") for field, key in times.items() if key in given}
    if "retries" in given:
        check["Retries"] = whole(given["retries"], "healthcheck.retries")
    if test := given.get("test"):
        check["Test"] = list(test)
    return check


def own_labels(
    project: Project, service_name: str, service: Mapping[str, Any], *, number: int, config_hash: str, image_id: str,
    version: str, document: str, one_off: bool = False, replaces: str = "",
) -> dict[str, str]:  # fmt: skip
    """Docker Compose's labels of a container, and the document that ``--explain`` compares with."""
    depends = [(name, one) for name, one in (service.get("depends_on") or {}).items() if name not in project.disabled]
    found = {
        labels.PROJECT: project.name,
        labels.SERVICE: service_name,
        labels.NUMBER: str(number),
        labels.ONE_OFF: labels.TRUE if one_off else labels.FALSE,
        labels.CONFIG_HASH: config_hash,
        labels.CONFIG_FILES: ",".join(project.files),
        labels.WORKING_DIR: project.working_dir,
        labels.VERSION: version,
        labels.DEPENDS_ON: ",".join(sorted(_dependency_label(name, one) for name, one in depends)),
        labels.SERVICE_DOCUMENT: document,
    }
    if image_id:
        found[labels.IMAGE] = image_id
    if replaces:
        found[labels.REPLACE] = replaces
    return found


def _dependency_label(name: str, dependency: Mapping[str, Any]) -> str:
    restart = "true" if dependency.get("restart") else "false"
    return f"{name}:{dependency.get('condition', 'service_started')}:{restart}"
