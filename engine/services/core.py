"""What all services share: the log, the way to change state, the runtime, the store, clock and randomness."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.errors import InvalidArgument, NotFound
from engine.domain.exec import Exec
from engine.eventlog.log import EventLog
from engine.runtime.rootless import Rootless
from engine.services.network_settings import NetworkSettings
from engine.services.ports import Clock, Randomness, Runtime, Store
from engine.services.recorder import Recorder
from engine.services.runtimes import Runtimes
from engine.services.timers import Timers
from engine.services.views import parse_document


@dataclass(frozen=True, slots=True)
class Core:
    """Put together by the composition root, once an engine. ``cgroup_parent`` is relative to each controller;
    ``rootless`` is there where the engine is an ordinary user's."""

    log: EventLog
    recorder: Recorder
    runtime: Runtime
    store: Store
    clock: Clock
    randomness: Randomness
    timers: Timers
    run_dir: Path
    cgroup_parent: str
    network: NetworkSettings = NetworkSettings()
    runtimes: Runtimes = Runtimes()
    rootless: Rootless | None = None

    def cgroup_path(self, container_id: str, host: Mapping[str, Any]) -> str:
        """Where a container's cgroups are: below the engine's own, or below ``--cgroup-parent``, which counts from the
        root of each controller."""
        return f"{(host.get('CgroupParent') or '').strip('/') or self.cgroup_parent}/{container_id}"

    def cgroup_path_of(self, container_id: str) -> str:
        """The same, for a container on record."""
        container = self.log.get("container", container_id)
        if container is None:
            return self.cgroup_path(container_id, {})
        return self.cgroup_path(container_id, self.settings_of(container)["HostConfig"])

    def settings_of(self, made: Container | Exec) -> dict[str, Any]:
        """The document that it was created with. Raises NotFound where that has been redacted."""
        return parse_document(self.log.document(made.config_digest))


def resolve_container(log: EventLog, reference: str, as_of: int | None = None) -> Container:
    """By full id, name (with or without slash), a link's name (``web/db``) or unique id prefix, a name winning over a
    prefix.

    Raises NotFound, or InvalidArgument with the candidates where a prefix is ambiguous.
    """
    text = reference.removeprefix("/")
    if not text:
        raise InvalidArgument("no container named: give a name or an id")
    found = log.get("container", text, as_of=as_of) or log.by_name("container", text, as_of=as_of)
    found = found or _linked(log, text, as_of)
    if found is not None:
        return found
    candidates = log.by_prefix("container", text.lower(), as_of=as_of, limit=5)
    if not candidates:
        raise NotFound(f"No such container: {reference}")
    if len(candidates) > 1:
        listed = ", ".join(f"{candidate.id[:12]} ({candidate.name})" for candidate in candidates)
        raise InvalidArgument(f"multiple IDs found with provided prefix: {reference}: {listed}")
    return candidates[0]


def _linked(log: EventLog, text: str, as_of: int | None) -> Container | None:
    """The container that another one calls so: ``HOLDER/ALIAS``."""
    name, slash, alias = text.partition("/")
    holder = log.by_name("container", name, as_of=as_of) if slash else None
    if holder is None:
        return None
    links = parse_document(log.document(holder.config_digest))["HostConfig"].get("Links") or []
    ids = [link.partition(":")[0] for link in links if link.partition(":")[2] == alias]
    return log.get("container", ids[0], as_of=as_of) if ids else None
