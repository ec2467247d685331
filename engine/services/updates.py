"""``docket update``: other limits, or another restart policy, for a container that there is; ``docket rm --link``."""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping

from engine.domain.container import Container, ContainerUpdated, ContainerUpdateFailed
from engine.domain.container_commands import UpdateContainer
from engine.domain.errors import Conflict, InvalidArgument, NotFound, NotSupported, describe
from engine.eventlog.log import Context, Document
from engine.services import limits, request_shapes
from engine.services.container_config import NEVER_ASKS, check_restart
from engine.services.core import Core, resolve_container
from engine.services.recorder import caused_by
from engine.services.views import parse_document

FIELDS = (
    "Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod",
    "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems", "BlkioWeight", "PidsLimit", "OomKillDisable",
)  # fmt: skip
_NOT_LIVE = (
    "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps",
    "CgroupParent", "Devices", "DeviceCgroupRules", "DeviceRequests", "KernelMemory", "KernelMemoryTCP",
    "MemorySwappiness", "Ulimits", "Init",
)  # fmt: skip


class Updates:
    """``links_changed`` is told of a running container whose hosts file has to be written anew."""

    def __init__(self, core: Core, links_changed: Callable[[Container], None] = lambda container: None) -> None:
        self._core = core
        self._links_changed = links_changed

    def update(self, reference: str, body: Mapping[str, Any], context: Context) -> list[str]:
        """Change what ``body`` names, and answer with warnings. Raises InvalidArgument, Conflict, or OSError where the
        kernel refuses a limit: then all of them are as before."""
        container = resolve_container(self._core.log, reference)
        request_shapes.check(body, request_shapes.LIMITS)
        with self._core.recorder.exclusive(f"container/{container.id}"):
            state = resolve_container(self._core.log, container.id)
            settings = self._core.settings_of(state)
            changes = _changes(body, settings["HostConfig"])
            host = {**settings["HostConfig"], **changes}
            check_restart(host)
            warnings = limits.check(host)
            return warnings + self._change(state, {**settings, "HostConfig": host}, changes, context)

    def unlink(self, name: str, context: Context) -> None:
        """Take away a link on the default network: ``CONTAINER/ALIAS``. Raises NotFound, Conflict."""
        reference, _, alias = name.strip("/").partition("/")
        if not alias:
            resolve_container(self._core.log, reference)
            raise Conflict("Conflict, cannot remove the default link name of the container")
        container = self._core.log.by_name("container", reference)
        if container is None:
            raise NotFound(f"No such container: {name}")
        with self._core.recorder.exclusive(f"container/{container.id}"):
            state = resolve_container(self._core.log, container.id)
            settings = self._core.settings_of(state)
            host = settings["HostConfig"]
            left = [link for link in host.get("Links") or [] if link.partition(":")[2] != alias]
            if len(left) == len(host.get("Links") or []):
                raise NotFound(f"No such container: {name}")
            self._change(state, {**settings, "HostConfig": {**host, "Links": left}}, {}, context)
            state = resolve_container(self._core.log, container.id)
        if state.alive:
            self._links_changed(state)

    def _change(
        self, state: Container, settings: Mapping[str, Any], changes: Mapping[str, Any], context: Context
    ) -> list[str]:
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        document = Document("container-config", text.encode())
        command = UpdateContainer(document.digest)
        intent = self._core.recorder.decide("container", state.id, command, context, [document])[-1]
        return self.finish(state, document.digest, changes, caused_by(context, intent))

    def resume(self, state: Container, context: Context) -> None:
        """Finish the update that an earlier life of the engine left open. Raises as ``finish``."""
        intents = list(self._core.log.events(streams=[f"container/{state.id}"], types=["container.updating"]))
        self.finish(state, intents[-1].data["config_digest"], dict.fromkeys(FIELDS), caused_by(context, intents[-1]))

    def finish(self, state: Container, digest: str, changes: Mapping[str, Any], context: Context) -> list[str]:
        """The effect and the outcome of an open update; may be done again after a crash."""
        host = parse_document(self._core.log.document(digest))["HostConfig"]
        wanted = {field: host[field] for field in changes if field in FIELDS and field in host}
        if "Memory" in wanted:
            wanted["MemorySwap"] = host.get("MemorySwap") or 0
        done: dict[str, Any] = {"warnings": [], "limits": {}}
        try:
            if state.alive and (resources := limits.resources(wanted)):
                done = self._core.runtime.update(state.id, resources)
        except Exception as error:
            failed = ContainerUpdateFailed(state.id, describe(error))
            self._core.recorder.record("container", state.id, failed, context)
            raise
        policy = host["RestartPolicy"]
        updated = ContainerUpdated(
            state.id, digest, policy["Name"], policy["MaximumRetryCount"], done["limits"], done["warnings"]
        )
        self._core.recorder.record("container", state.id, updated, context)
        return done["warnings"]


def _changes(body: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the request really sets. Raises InvalidArgument with Docker's wording."""
    for field in _NOT_LIVE:
        if body.get(field) not in NEVER_ASKS:
            raise NotSupported(f"{field} can't be updated: give it to a new container")
    changes = {field: body[field] for field in FIELDS if body.get(field) not in NEVER_ASKS}
    if body.get("PidsLimit") == 0:
        changes["PidsLimit"] = -1
    memory, swap = changes.get("Memory") or 0, host.get("MemorySwap") or 0
    if isinstance(memory, int) and "MemorySwap" not in changes and memory > swap > 0:
        raise InvalidArgument(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    policy = body.get("RestartPolicy") or {}
    if policy.get("Name"):
        if host.get("AutoRemove") and policy["Name"] != "no":
            raise InvalidArgument("Restart policy cannot be updated because AutoRemove is enabled for the container")
        changes["RestartPolicy"] = policy
    return changes
