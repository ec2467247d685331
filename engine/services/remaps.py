"""Layers and volumes for containers with a user namespace, where their file system can't be mounted with mapped owners.

Layers are copied then, once for all containers with the same ranges. Volumes are as Docker's with userns-remap: their
own folder belongs to the container's root while it is nobody else's, and what is in them has the owners that it has.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, Mapping, Sequence

from engine.domain.container import Container
from engine.domain.errors import Conflict, EngineError, InvalidArgument, NotFound, describe
from engine.domain.remap import CopyLayer, Remap, RemapCopied, RemapCopyFailed, RemapCopying, RemoveRemap, Status
from engine.eventlog.log import Context
from engine.runtime.owners import map_text
from engine.services import user_namespace
from engine.services.core import Core
from engine.services.launch_plan import chain_ids_of
from engine.services.recorder import caused_by
from engine.services.trash import Trash

_WHY = "their file system can't be mounted with mapped owners"


class Remaps:
    """``apply`` at a start, ``drop`` with a layer, ``prune`` when somebody asks for space."""

    def __init__(self, core: Core, trash: Trash) -> None:
        self._core = core
        self._trash = trash
        self._mounts_can_map: bool | None = None

    def apply(self, plan: dict[str, Any], container: Container, context: Context) -> list[str]:
        """Change the plan of a start where mounts can't give the owners; what its user should know."""
        linux = plan["spec"]["linux"]
        if not linux.get("uidMappings") or self._can_map():
            return []
        maps = [map_text(linux[name]) for name in ("uidMappings", "gidMappings")]
        chain_ids = chain_ids_of(self._core, container)
        made = sum([self._ensure(chain_id, linux, maps, context) for chain_id in chain_ids])
        places = [str(self._core.store.remap(remap_id(chain_id, maps))) for chain_id in chain_ids]
        plan["overlay"] |= {"lower": places, "has_own_owners": True}
        plan["given"] = _take_mapping_away(plan["spec"]["mounts"])
        return [f"{made} layers were copied, for all containers with these ranges: {_WHY}"] if made else []

    def _can_map(self) -> bool:
        """Asked for once: all layers and volumes lie on the data root's file system."""
        if self._mounts_can_map is None:
            answer = self._core.runtime.run_job("layer.can_be_mapped", {"path": str(self._core.store.layers)})
            self._mounts_can_map = answer["can"]
        return self._mounts_can_map

    def _ensure(self, chain_id: str, linux: Mapping[str, Any], maps: Sequence[str], context: Context) -> bool:
        """Whether a copy was made just now. The same one wanted twice at once is made once."""
        copying = RemapCopying(remap_id(chain_id, maps), chain_id, *maps)
        stream, target = copying.remap_id, self._core.store.remap(copying.remap_id)
        with self._core.recorder.exclusive(f"remap/{stream}"):
            state = self._core.log.get("remap", stream)
            if state is not None and state.status is Status.PRESENT and not target.exists():
                self._core.recorder.decide("remap", stream, RemoveRemap("missing"), context)
            intents = self._core.recorder.decide("remap", stream, CopyLayer(copying), context)
            if not intents:
                return False
            outcome = caused_by(context, intents[-1])
            job = {
                "layer": str(self._core.store.layer(chain_id)), "target": str(target),
                "users": linux["uidMappings"], "groups": linux["gidMappings"],
            }  # fmt: skip
            try:
                self._core.runtime.run_job("layer.remap", job)
            except Exception as error:  # a defect as well: the intent must get its outcome
                self._core.recorder.record("remap", stream, RemapCopyFailed(stream, describe(error)), outcome)
                raise
            self._core.recorder.record("remap", stream, RemapCopied(stream), outcome)
        return True

    def drop(self, chain_id: str, context: Context) -> None:
        """The layer is about to go, and no container needs it. Raises OSError, Conflict."""
        for stream in self._core.log.remaps_of_layer(chain_id):
            with self._core.recorder.exclusive(f"remap/{stream}"):
                self._remove(stream, RemoveRemap("layer"), context)

    def prune(self, context: Context) -> int:
        """Remove those that no container needs: they are made again when one does. Answers with their bytes."""
        freed = 0
        for remap in self._core.log.all("remap"):
            with self._core.recorder.exclusive(f"remap/{remap.id}"):
                try:
                    if self._remove(remap.id, RemoveRemap("prune", self._users_of(remap.id)), context):
                        freed += self._size_bytes(remap)
                except Conflict:
                    continue
        return freed

    def usage(self) -> list[dict[str, Any]]:
        """The copies that are there: {"id", "chain_id", "uid_map", "size_bytes", "containers"}, the latter as many as
        would be started on it."""
        users = Counter(wanted for one in self._core.log.all("container") for wanted in self._wanted_by(one))
        return [
            {"id": one.id, "chain_id": one.chain_id, "uid_map": one.uid_map, "size_bytes": self._size_bytes(one),
             "containers": users[one.id]}
            for one in self._core.log.all("remap") if one.status is Status.PRESENT
        ]  # fmt: skip

    def _size_bytes(self, remap: Remap) -> int:
        """Its files are the layer's."""
        layer = self._core.log.get("layer", remap.chain_id)
        return layer.size_bytes if layer is not None else 0

    def _remove(self, stream: str, command: RemoveRemap, context: Context) -> bool:
        """Whether it was there. What a crash leaves of its files after the event, the next start takes away."""
        try:
            self._core.recorder.decide("remap", stream, command, context)
            self._trash.throw(self._core.store.remap(stream))
            return True
        except (NotFound, FileNotFoundError):
            return False  # somebody was quicker; or it had failed

    def _users_of(self, stream: str) -> tuple[str, ...]:
        """Containers, running or not, that would be started on it."""
        return tuple(one.id for one in self._core.log.all("container") if stream in self._wanted_by(one))

    def _wanted_by(self, container: Container) -> set[str]:
        try:
            host = self._core.settings_of(container)["HostConfig"]
            mappings = user_namespace.mappings(host)
            chain_ids = chain_ids_of(self._core, container)
        except (EngineError, InvalidArgument):
            return set()  # it can't be started any more: its configuration, its ranges or its image are gone
        maps = [map_text(mappings[name]) for name in ("uidMappings", "gidMappings")] if mappings else []
        return {remap_id(chain_id, maps) for chain_id in chain_ids} if maps else set()


def remap_id(chain_id: str, maps: Sequence[str]) -> str:
    """The name of a layer's copy with these owners."""
    return "sha256:" + hashlib.sha256("\n".join((chain_id, *maps)).encode()).hexdigest()


def _take_mapping_away(mounts: Sequence[dict[str, Any]]) -> list[str]:
    """The destinations of what should have been mounted with mapped owners, and is given to the container's root."""
    given = []
    for mount in mounts:
        if "idmap" in mount["options"]:
            mount["options"] = [option for option in mount["options"] if option != "idmap"]
            given.append(mount["destination"])
    return given
