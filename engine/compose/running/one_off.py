"""One-off containers of ``run``: a service's container with other words, outside of what ``up`` keeps."""

from __future__ import annotations

import os
import posixpath
import shlex

from engine import __version__
from engine.client.api import Client
from engine.compose import labels
from engine.compose.bodies.container import Surroundings, container_body, own_labels
from engine.compose.records import Record
from engine.compose.running import names
from engine.compose.running.actual import read
from engine.compose.running.desired import Desired, Service
from engine.compose.running.effects import create_container, inject
from engine.compose.running.hashing import service_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

_NOT_A_ONE_OFFS = ("container_name", "restart", "stdin_open", "tty")
_SLUG_BYTES, _SHORT_SLUG_CHARACTERS = 32, 12


class OneOff(Record):
    """What the command line says. ``entrypoint`` None: the service's; ``environment`` are NAME=value; ``ports`` are
    pairs of a container's port and its binding."""

    name: str = ""
    command: Sequence[str] = ()
    entrypoint: str | None = None
    environment: Sequence[str] = ()
    labels: Mapping[str, str] = {}
    user: str = ""
    working_dir: str = ""
    volumes: Sequence[str] = ()
    ports: Sequence[tuple[str, dict[str, str]]] = ()
    service_ports: bool = False
    use_aliases: bool = False
    remove: bool = False
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()
    stdin: bool = False
    tty: bool = False


def create_one_off(
    client: Client, desired: Desired, service: Service, wanted: OneOff, images: Mapping[str, str]
) -> str:
    """Make the container and copy into it what belongs there. Answers with its id."""
    project = desired.project
    slug = os.urandom(_SLUG_BYTES).hex()
    name = wanted.name or names.one_off_name(project.name, service.name, slug[:_SHORT_SLUG_CHARACTERS])
    config = _changed(service.config, wanted)
    there = read(client, project.name, with_resources=False)
    surroundings = Surroundings(
        {one.service: one.id for one in reversed(there.containers) if not one.one_off},
        names={name: [one.name for one in there.of(name)] for name in desired.services},
    )
    own = own_labels(
        project, service.name, service.config, number=1, config_hash=service_hash(service, surroundings.containers),
        image_id=images.get(service.image, ""), version=__version__, document="", one_off=True,
    )  # fmt: skip
    del own[labels.NUMBER], own[labels.SERVICE_DOCUMENT]
    body = container_body(
        project, service.name, config, name, {**own, labels.SLUG: slug, **wanted.labels}, surroundings,
        with_aliases=wanted.use_aliases,
    )  # fmt: skip
    _complete(body, wanted)
    container_id = create_container(client, body, name, config.get("platform"))
    inject(client, desired, service, container_id)
    return container_id


def _changed(given: Mapping[str, Any], wanted: OneOff) -> dict[str, Any]:
    """The service as this container is to be: its ports only where they are asked for, without its name, and with what
    the command line mounts instead of what has the same place."""
    config = {key: value for key, value in given.items() if key not in _NOT_A_ONE_OFFS}
    config["deploy"] = {key: value for key, value in (given.get("deploy") or {}).items() if key != "restart_policy"}
    places = {_place_of(volume) for volume in wanted.volumes}
    config["volumes"] = [one for one in given.get("volumes") or () if posixpath.normpath(one["target"]) not in places]
    if not wanted.service_ports:
        config.pop("ports", None)
    if wanted.command:
        config["command"] = wanted.command
    if wanted.entrypoint is not None:
        config["entrypoint"] = shlex.split(wanted.entrypoint)
        if not wanted.command:
            config["command"] = None
    variables = dict(entry.partition("=")[::2] for entry in wanted.environment)
    config["environment"] = {**(given.get("environment") or {}), **variables}
    config["user"] = wanted.user or given.get("user")
    config["working_dir"] = wanted.working_dir or given.get("working_dir")
    config["cap_add"] = [*(given.get("cap_add") or ()), *wanted.cap_add]
    config["cap_drop"] = [*(given.get("cap_drop") or ()), *wanted.cap_drop]
    return config


def _place_of(volume: str) -> str:
    """Of ``[SOURCE:]TARGET[:OPTION,...]``."""
    first, *more = volume.split(":")
    return posixpath.normpath(more[0] if more else first)


def _complete(body: dict[str, Any], wanted: OneOff) -> None:
    """What the canonical form has no words for."""
    host = body["HostConfig"]
    body.update(OpenStdin=wanted.stdin, StdinOnce=wanted.stdin, AttachStdin=wanted.stdin, Tty=wanted.tty)
    host["AutoRemove"] = wanted.remove
    for volume in wanted.volumes:
        source, found, _ = volume.partition(":")
        if not found:
            body.setdefault("Volumes", {})[volume] = {}
        elif source.startswith((".", "~")):
            host.setdefault("Binds", []).append(os.path.abspath(os.path.expanduser(source)) + volume[len(source) :])
        else:
            host.setdefault("Binds", []).append(volume)
    for port, binding in wanted.ports:
        host.setdefault("PortBindings", {}).setdefault(port, []).append(binding)
        body.setdefault("ExposedPorts", {})[port] = {}
