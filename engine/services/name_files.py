"""What the resolvers in the shims read: a file a network with its names, and a file a container with its networks.

Each is written whole and renamed into place; a resolver that sees another file reads it at its next question. So the
answers follow at once, without the daemon having to reach every shim, and are there while it is down.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Collection, Iterable, NamedTuple, Sequence

from engine.domain.errors import NotFound
from engine.services.core import Core
from engine.services.views import parse_document

FILE = "resolver.json"
"""In the container's folder."""


class Member(NamedTuple):
    """A container on a network: ``names`` are all that it is found by, its own the first."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]


class NameFiles:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: dict[str, dict[str | None, None]] = {}
        """Of each network, the endpoints whose change nobody has begun to write yet (None: any): many containers that
        come or go at the same moment share a file. In order, as the addresses of an alias are told in it."""
        self._members: dict[str, dict[str, Member]] = {}
        """Of each network, by endpoint: so that a start among hundreds reads its own rows from the log alone."""

    def path(self, network_id: str) -> Path:
        return self._core.run_dir / "names" / f"{network_id}.json"

    def write(self, network_id: str, changed: Sequence[str] | None = None) -> None:
        """Write a network's names as the log has them now: of containers that are attached or about to be. ``changed``
        are the endpoints of which something may be otherwise than the last time (None: any)."""
        with self._guard:
            self._waiting.setdefault(network_id, {}).update(dict.fromkeys([None] if changed is None else changed))
        with self._lock:
            with self._guard:
                asked = self._waiting.pop(network_id, {})
            if not asked:
                return  # whoever had the lock before has seen to it
            try:
                self._write(network_id, asked)
            except BaseException:
                with self._guard:
                    self._waiting.setdefault(network_id, {}).update(asked)
                raise

    def _write(self, network_id: str, changed: Collection[str | None]) -> None:
        network = self._core.log.get("network", network_id)
        if network is None:
            return
        members = self._members.get(network_id)
        if members is None or None in changed:
            members = self._members[network_id] = {}
            changed = self._core.log.endpoints_of_network(network_id)
        for endpoint_id in changed:
            assert endpoint_id is not None
            members.pop(endpoint_id, None)
            if (member := self._member(network_id, endpoint_id)) is not None:
                members[endpoint_id] = member
        path = self.path(network_id)
        path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        _replace(path, _document(network.name, members.values()))

    def _member(self, network_id: str, endpoint_id: str) -> Member | None:
        endpoint = self._core.log.get("endpoint", endpoint_id)
        if endpoint is None or endpoint.network_id != network_id or not endpoint.addresses:
            return None
        if endpoint.status == "detaching":
            return None
        container = self._core.log.get("container", endpoint.container_id)
        if container is None:
            return None
        names = dict.fromkeys([container.name, container.id[:12], *endpoint.aliases, *self._hostname(container)])
        return Member(tuple(names), tuple(endpoint.addresses))

    def _hostname(self, container: Any) -> list[str]:
        """The name that it was given for itself, if any."""
        try:
            settings = parse_document(self._core.log.document(container.config_digest))
        except NotFound:
            return []  # redacted: the neighbours of who is on the record without it must be found still
        return [name] if (name := settings["Config"].get("Hostname")) else []

    def forget(self, network_id: str) -> None:
        """The network is gone."""
        with self._lock:
            self._members.pop(network_id, None)
            self.path(network_id).unlink(missing_ok=True)

    def write_container(self, folder: Path, networks: list[dict[str, Any]], servers: list[str]) -> None:
        """``networks`` have "file", "internal" and "links" (alias -> name); ``servers`` are asked for the rest."""
        _replace(folder / FILE, {"networks": networks, "servers": servers})


def _document(network: str, members: Iterable[Member]) -> dict[str, Any]:
    names: dict[str, list[str]] = {}
    addresses: dict[str, str] = {}
    for member in members:
        for name in member.names:
            names.setdefault(name.lower(), []).extend(member.addresses)
        for address in member.addresses:
            addresses[address] = f"{member.names[0]}.{network}"
    return {"network": network, "names": names, "addresses": addresses}


def _replace(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    # the kernel's own times may be the same for files that are written a moment after each other
    os.utime(temporary, ns=(time.time_ns(),) * 2)
    temporary.rename(path)
