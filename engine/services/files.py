"""Files of containers, running or not: looked at, copied out, copied in, and the whole root exported."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import Any, Iterator

from engine.domain.container import Container, Status
from engine.domain.container_commands import AccessFiles, FileAccess
from engine.domain.errors import Conflict, InvalidArgument, NotFound
from engine.eventlog.log import Context
from engine.images.content import Readable
from engine.services import mount_points, sharing, user_namespace
from engine.services.core import Core, resolve_container
from engine.services.job_streams import feed, output_of
from engine.services.launch_plan import root_layers, volume_folders

_ATTEMPTS = 200
_PAUSE_S = 0.01
"""For the end of a container that has just ended to be on record: then its files are those of one at rest."""


class Files:
    """The use cases. Who reads or writes files of a container is on record, with the path."""

    def __init__(self, core: Core, limits: dict[str, int] | None = None) -> None:
        self._core = core
        self._limits = limits

    def stat(self, reference: str, path: str) -> dict[str, Any]:
        """What a path names: see ``file_archives.stat_path``. Raises NotFound, InvalidArgument."""
        return self._run(self._resolve(reference), "root.stat", {"path": _checked(path)})

    def read(self, reference: str, path: str, context: Context) -> Iterator[bytes]:
        """A tar archive of what a path names; a container that stands still is held meanwhile."""
        container = self._resolve(reference)
        self._record(container, FileAccess.READ, path, context)
        return self._pieces(container, "root.read", {"path": _checked(path)})

    def export(self, reference: str, context: Context) -> Iterator[bytes]:
        """A tar archive of the root, without what is mounted in it."""
        container = self._resolve(reference)
        self._record(container, FileAccess.EXPORT, "/", context)
        return self._pieces(container, "root.export", {}, plain=True)

    def user(self, reference: str, name: str, groups: list[str]) -> dict[str, Any]:
        """Who a user is by the container's own files: uid, gid, additionalGids and home. Raises EngineError."""
        return self._run(self._resolve(reference), "root.user", {"name": name, "groups": groups}, plain=True)

    def write(
        self, reference: str, path: str, stream: Readable, *, keep_kinds: bool, as_own_user: bool, context: Context
    ) -> None:
        """Unpack a tar archive (plain or compressed) into a folder. Raises NotFound, InvalidArgument.

        ``keep_kinds``: a folder is not replaced by something else nor the other way round; ``as_own_user``: all of it
        belongs to the user that the container runs as.
        """
        container = self._resolve(reference)
        self._record(container, FileAccess.WRITE, path, context)
        arguments: dict[str, Any] = {"path": _checked(path), "keep_kinds": keep_kinds, "limits": self._limits}
        if as_own_user:
            settings = self._core.settings_of(container)
            arguments["user"] = settings["Config"]["User"]
        feed(stream, lambda fds: self._run(container, "root.write", arguments, fds))

    def _resolve(self, reference: str) -> Container:
        container = resolve_container(self._core.log, reference)
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {reference} is marked for removal: its files are going")
        return container

    def _record(self, container: Container, access: FileAccess, path: str, context: Context) -> None:
        self._core.recorder.decide("container", container.id, AccessFiles(access, path), context)

    def _pieces(
        self, container: Container, job: str, arguments: dict[str, Any], *, plain: bool = False
    ) -> Iterator[bytes]:
        return output_of(lambda fds: self._run(container, job, arguments, fds, plain))

    def _run(
        self, container: Container, job: str, arguments: dict[str, Any], fds: list[int] | None = None,
        plain: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        host = self._core.settings_of(container)["HostConfig"]
        arguments = {**arguments, "owners": user_namespace.mappings(host)}
        for _ in range(_ATTEMPTS):
            with self._root(container.id, plain) as root:
                try:
                    return self._core.runtime.run_job(job, {**arguments, "root": root}, fds or [])
                except NotFound as error:  # the job knows paths, not names
                    raise NotFound(f"{error} {container.name}") from error
                except ProcessLookupError:  # before the job began: the word of its end is on its way
                    if "pid" not in root:
                        raise
            time.sleep(_PAUSE_S)
        raise Conflict(f"container {container.id[:12]} is ending: try again")

    @contextmanager
    def _root(self, container_id: str, plain: bool) -> Iterator[dict[str, Any]]:
        """The root for a job (``container_root.with_root``). One that is mounted for it is nobody else's meanwhile."""
        with self._core.recorder.exclusive(f"container/{container_id}"):
            state = self._resolve(container_id)
            if not state.alive:
                yield self._at_rest(state, plain)
                return
        yield {
            "pid": state.pid, "cgroup_path": self._core.cgroup_path_of(state.id), "plain": plain,
            "pid_namespace": sharing.namespace_of(self._core, state.id, "pid"),
        }  # fmt: skip

    def _at_rest(self, container: Container, plain: bool) -> dict[str, Any]:
        settings = self._core.settings_of(container)
        folder = self._core.store.container(container.id)
        folder.mkdir(mode=0o700, exist_ok=True)
        binds = [] if plain else self._binds(container, settings["HostConfig"], settings["Config"])
        return {
            "overlay": root_layers(self._core, container, settings["HostConfig"]),
            "target": str(folder / "rootfs"),
            "binds": binds,
            "read_only": bool(settings["HostConfig"].get("ReadonlyRootfs")),
        }  # fmt: skip

    def _binds(self, container: Container, host: dict[str, Any], config: dict[str, Any]) -> list[list[Any]]:
        """[source, destination, whether it is read-only] of volumes and bind mounts whose source is there."""
        mounts = mount_points.parse(host, config)
        volumes = volume_folders(self._core, container, mounts)
        binds = []
        for mount in mounts:
            source = str(volumes.get(mount.destination, mount.source))
            if mount.type != "tmpfs" and os.path.exists(source):
                binds.append([source, mount.destination, mount.read_only])
        return binds


def _checked(path: str) -> str:
    if not path:
        raise InvalidArgument("bad parameter: 'path' cannot be empty")
    return path if path.startswith("/") else f"/{path}"
