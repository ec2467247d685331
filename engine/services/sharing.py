"""Namespaces that a container shares: ``--pid``, ``--ipc``, ``--uts``, ``--cgroupns``, ``--network container:NAME``.

Another container's namespace is found by its first process. A pid may be another process's by the time that it is
used; so the number of the namespace goes along, as the evidence of the other's start has it, and the init joins no
other one.
"""

from __future__ import annotations

from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.errors import Conflict, InvalidArgument
from engine.services.core import Core, resolve_container

_MODES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    # field: (flag, modes beside container:NAME where that is possible)
    "PidMode": ("pid", ("", "private", "host")),
    "IpcMode": ("ipc", ("", "private", "shareable", "none", "host")),
    "UTSMode": ("uts", ("", "private", "host")),
    "CgroupnsMode": ("cgroupns", ("", "private", "host")),
}
_JOINABLE = ("PidMode", "IpcMode")
_NAMED = (*_JOINABLE, "NetworkMode")
_CONTAINER = "container:"
_KINDS = {"PidMode": "pid", "IpcMode": "ipc", "UTSMode": "uts", "CgroupnsMode": "cgroup"}
_FILES = {"pid": "pid", "ipc": "ipc", "network": "net", "mount": "mnt"}

Json = dict[str, Any]


def check(host: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """The notation, and what contradicts itself. Raises InvalidArgument with Docker's wording."""
    for field, (flag, modes) in _MODES.items():
        mode = host.get(field) or ""
        if mode in modes:
            continue
        if not (field in _JOINABLE and mode.startswith(_CONTAINER) and mode != _CONTAINER):
            raise InvalidArgument(f"--{flag}: invalid {flag.upper()} mode: {mode}")
    if host.get("UTSMode") == "host" and (config.get("Hostname") or config.get("Domainname")):
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    ipc = host.get("IpcMode") or ""
    if host.get("ShmSize") and (ipc in ("host", "none") or ipc.startswith(_CONTAINER)):
        raise InvalidArgument(f"--shm-size has no meaning with --ipc {ipc}: the container has no /dev/shm of its own")


def with_ids(core: Core, host: Json) -> None:
    """Put ids in the places of names, which may change hands. Raises NotFound."""
    for field in _NAMED:
        mode = host.get(field) or ""
        if mode.startswith(_CONTAINER):
            host[field] = _CONTAINER + resolve_container(core.log, mode.removeprefix(_CONTAINER)).id


def namespaces(core: Core, host: Mapping[str, Any]) -> list[Json]:
    """``linux.namespaces``, network only where it is another container's. One to join has ``path`` and (not of the
    specification) ``inode``.

    Raises NotFound or Conflict where the other container isn't there or doesn't run, or doesn't share.
    """
    entries: list[Json] = [{"type": "mount"}]
    if (network := host.get("NetworkMode") or "").startswith(_CONTAINER):
        entries.append(joined(core, network.removeprefix(_CONTAINER), "network"))
    for field, kind in _KINDS.items():
        mode = host.get(field) or ""
        if mode.startswith(_CONTAINER):
            entries.append(joined(core, mode.removeprefix(_CONTAINER), kind))
        elif mode != "host":
            entries.append({"type": kind})
    return entries


def joined(core: Core, reference: str, kind: str) -> Json:
    """The entry that joins another container's namespace. Raises NotFound, or Conflict where it can't be joined."""
    other = resolve_container(core.log, reference)
    if not other.alive:
        raise Conflict(f"cannot join {kind.upper()} of a non running container: {other.id}")
    if kind == "ipc":
        _refuse_private_ipc(core, other)
    return {"type": kind, **_place(core, other, kind)}


def shared_memory(core: Core, host: Mapping[str, Any]) -> Json | None:
    """The mount namespace whose /dev/shm belongs to the IPC namespace that is joined; None where none is."""
    mode = host.get("IpcMode") or ""
    if not mode.startswith(_CONTAINER):
        return None
    return _place(core, resolve_container(core.log, mode.removeprefix(_CONTAINER)), "mount")


def _place(core: Core, other: Container, kind: str) -> Json:
    return {"path": f"/proc/{other.pid}/ns/{_FILES[kind]}", "inode": namespace_of(core, other.id, kind)}


def namespace_of(core: Core, container_id: str, kind: str) -> int:
    """The number of a container's namespace, as the evidence of its last start has it; 0 where it never started."""
    started = list(core.log.events(streams=[f"container/{container_id}"], types=["container.started"]))
    return started[-1].data["evidence"]["namespaces"][kind] if started else 0


def _refuse_private_ipc(core: Core, other: Container) -> None:
    mode = core.settings_of(other)["HostConfig"].get("IpcMode") or "private"
    if mode in ("private", "none"):
        raise Conflict(
            f"cannot join IPC of container {other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor "
            "container)"
        )
