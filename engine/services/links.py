"""Legacy links (``--link`` on the default network): what a container is told of another one, as Docker tells it.

A link is kept as ``ID:ALIAS``, since names may change hands. The linking container gets a line in /etc/hosts, which
follows the other one's restarts, and variables that say where its ports are. On networks of the user's a link is no
more than an alias that one container alone knows: see ``EndpointCreated.links``.
"""

from __future__ import annotations

import threading
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from engine.domain.container import Container
from engine.domain.errors import Conflict, InvalidArgument, NotFound
from engine.services.core import Core, resolve_container
from engine.services.network_config import exposed, parse_link

DEFAULT = "bridge"
_CONTAINER = "container:"
_NOT_OURS = ("HOME", "PATH")
"""Variables that say nothing of what the other container offers."""

Json = dict[str, Any]


class Link(NamedTuple):
    """``addresses`` are the linked container's on the default network; none while it doesn't run."""

    alias: str
    child: Container
    config: Json
    addresses: tuple[str, ...]


def with_ids(core: Core, host: Json) -> None:
    """Check the links of a container to be and put ids in the places of names. Raises NotFound, InvalidArgument."""
    links, mode = host.get("Links") or [], host["NetworkMode"]
    if links and (mode == "host" or mode.startswith(_CONTAINER)):
        raise _contradiction("host type networking" if mode == "host" else "container type network")
    found = [_with_id(core, text) for text in links] if mode in (DEFAULT, "none") else []
    host["Links"] = found if mode == DEFAULT else []  # without a network there is nothing to be told of


def _with_id(core: Core, text: Any) -> str:
    name, alias = parse_link(text)
    try:
        child = resolve_container(core.log, name)
    except NotFound as error:
        raise NotFound(f"could not get container for {name}: {error}") from error
    if core.settings_of(child)["HostConfig"]["NetworkMode"] == "host":
        raise _contradiction("host type networking")
    return f"{child.id}:{alias}"


def _contradiction(kind: str) -> InvalidArgument:
    return InvalidArgument(
        f"conflicting options: {kind} can't be used with links. This would result in undefined behavior"
    )


def of(core: Core, host: Mapping[str, Any]) -> Iterator[Link]:
    """The links of a container, the first alias first; without those whose container is gone."""
    for text in host.get("Links") or []:
        identifier, _, alias = text.partition(":")
        child = core.log.get("container", identifier)
        if child is not None:
            addresses = tuple(_addresses(core, child)) if child.alive else ()
            yield Link(alias, child, core.settings_of(child)["Config"], addresses)


def _addresses(core: Core, child: Container) -> Iterator[str]:
    for endpoint_id in core.log.endpoints_of_container(child.id):
        endpoint = core.log.get("endpoint", endpoint_id)
        network = core.log.get("network", endpoint.network_id) if endpoint is not None else None
        if endpoint is not None and network is not None and network.name == DEFAULT:
            yield from endpoint.addresses


def for_start(core: Core, container: Container, host: Mapping[str, Any]) -> list[Link]:
    """The links of a container that starts. Raises Conflict where one can't be had."""
    found = list(of(core, host))
    if len(found) < len(host.get("Links") or []):
        raise Conflict(f"Cannot link to a container that has been removed: {container.name} must be created anew")
    for link in found:
        if not link.child.alive:
            raise Conflict(
                f"Cannot link to a non running container: /{link.child.name} AS /{container.name}/{link.alias}"
            )
        if not link.addresses:
            raise Conflict(f"Cannot link to /{link.child.name}, as it does not belong to the default network")
    return found


def host_lines(links: Sequence[Link]) -> list[tuple[str, str]]:
    """Address and names, as /etc/hosts has them: the alias, the host name, and the name where that is another one."""
    lines = []
    for link in links:
        names = [link.alias, link.config["Hostname"] or link.child.id[:12]]
        names += [link.child.name] if link.child.name != link.alias else []
        lines += [(address, " ".join(names)) for address in link.addresses]
    return lines


def variables(container: Container, links: Sequence[Link]) -> list[str]:
    """Docker's environment variables, those of the last link first."""
    found: list[str] = []
    for link in links:
        if link.addresses:
            found += _variables(f"/{container.name}/{link.alias}", link)
    return found


def _variables(name: str, link: Link) -> Iterator[str]:
    prefix, address = link.alias.upper().replace("-", "_"), link.addresses[0]
    ports = sorted(exposed(link.config), key=lambda port: (port[0], port[1] != "tcp"))
    if ports:
        yield f"{prefix}_PORT={ports[0][1]}://{address}:{ports[0][0]}"
    for first, last in _runs(ports):
        (number, protocol), (end, end_protocol) = first, last
        start, until = f"{prefix}_PORT_{number}_{protocol.upper()}", f"{prefix}_PORT_{number}_{end_protocol.upper()}"
        yield f"{start}_START={protocol}://{address}:{number}"
        yield f"{start}_ADDR={address}"
        yield f"{start}_PROTO={protocol}"
        yield f"{start}_PORT_START={number}"
        yield f"{until}_END={end_protocol}://{address}:{end}"
        yield f"{until}_PORT_END={end}"
    for number, protocol in ports:
        start = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{start}={protocol}://{address}:{number}"
        yield f"{start}_ADDR={address}"
        yield f"{start}_PORT={number}"
        yield f"{start}_PROTO={protocol}"
    yield f"{prefix}_NAME={name}"
    for entry in link.config["Env"]:
        variable, separator, value = entry.partition("=")
        if separator and variable not in _NOT_OURS:
            yield f"{prefix}_ENV_{variable}={value}"


def _runs(ports: Sequence[tuple[int, str]]) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """First and last of every three or more ports in a row: Docker's variables name no shorter runs."""
    at = 0
    while at < len(ports):
        end = at
        while end + 1 < len(ports) and ports[end + 1][0] <= ports[end][0] + 1:
            end += 1
        if end > at + 1:
            yield ports[at], ports[end]
            at = end + 1
        else:
            at += 1


def shown(core: Core, container: Container, host: Mapping[str, Any]) -> list[str] | None:
    """HostConfig.Links as Docker's inspect has them: ``/NAME:/OWN_NAME/ALIAS``."""
    found = []
    for text in host.get("Links") or []:
        identifier, _, alias = text.partition(":")
        child = core.log.get("container", identifier)
        found.append(f"/{child.name if child else identifier}:/{container.name}/{alias}")
    return found or None


class LinkIndex:
    """Who links to whom, so that a start finds the hosts files that it changes without reading every configuration."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._parents: dict[str, set[str]] | None = None
        self._lock = threading.Lock()

    def add(self, container_id: str, host: Mapping[str, Any]) -> None:
        """A container was created."""
        with self._lock:
            self._enter(self._known(), container_id, host)

    def parents(self, child_id: str) -> list[Container]:
        """The running containers that link to one."""
        with self._lock:
            identifiers = sorted(self._known().get(child_id, ()))
        found = (self._core.log.get("container", identifier) for identifier in identifiers)
        return [container for container in found if container is not None and container.alive]

    def _known(self) -> dict[str, set[str]]:
        if self._parents is None:
            parents: dict[str, set[str]] = {}
            for container in self._core.log.all("container"):
                self._enter(parents, container.id, self._core.settings_of(container)["HostConfig"])
            self._parents = parents
        return self._parents

    @staticmethod
    def _enter(parents: dict[str, set[str]], container_id: str, host: Mapping[str, Any]) -> None:
        for text in host.get("Links") or []:
            parents.setdefault(text.partition(":")[0], set()).add(container_id)
