"""``--volumes-from``: the bind mounts and volumes of other containers become the new one's own."""

from __future__ import annotations

from typing import Any, Mapping

from engine.domain.errors import InvalidArgument
from engine.services import mount_points
from engine.services.core import Core, resolve_container
from engine.services.launch_plan import volume_folders


def inherit(core: Core, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the others' mounts among its Binds, by the names that they have; what it mounts itself wins.

    Raises NotFound, InvalidArgument.
    """
    host = body.get("HostConfig") or {}
    if not isinstance(host, dict) or not host.get("VolumesFrom"):
        return body
    own = {mount.destination for mount in mount_points.parse(host, {"Volumes": body.get("Volumes")})}
    binds = list(host.get("Binds") or [])
    for text in host["VolumesFrom"]:
        reference, _, mode = text.partition(":")
        if not reference or mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidArgument(f"invalid volumes-from specification: {text!r}: give CONTAINER[:ro|rw]")
        for destination, bind in _mounts_of(core, reference, read_only=mode == "ro"):
            if destination not in own:
                own.add(destination)
                binds.append(bind)
    return {**body, "HostConfig": {**host, "Binds": binds}}


def _mounts_of(core: Core, reference: str, *, read_only: bool) -> list[tuple[str, str]]:
    """Destination and notation as for ``-v``, of everything that lasts longer than its container."""
    other = resolve_container(core.log, reference)
    settings = core.settings_of(other)
    mounts = mount_points.parse(settings["HostConfig"], settings["Config"])
    folders = volume_folders(core, other, mounts)
    found = []
    for mount in mounts:
        access = "ro" if read_only or mount.read_only else "rw"
        if mount.type == "volume":
            source, mode = folders[mount.destination].parent.name, access if mount.copy else f"{access},nocopy"
        elif mount.type == "bind":
            source, mode = mount.source, f"{access},{mount.propagation}"
        else:
            continue
        found.append((mount.destination, f"{source}:{mount.destination}:{mode}"))
    return found
