"""A user namespace: root inside is nobody outside. What only the host's root can do for its init, the launcher does.

    launcher                                              init
      │ clone with CLONE_NEWUSER ............................│ waits, without powers over anything of the host's
      │ maps, cgroups, OOM score, owners of the pipes        │
      │ in a mount namespace of its own: layers and volumes  │
      │ id-mapped, overlay over them                         │
      │            prepared (root, sources)                  │
      ├─────────────────────────────────────────────────────>│ becomes the namespace's root; operations as ever

Layers and volumes keep their owners on disk: their mounts are mapped (mount_setattr(2), Linux 5.12; layers of an
overlay 5.19). Where the file system can't, the plan has copies of the layers that have the owners, and what of volumes
is given to the namespace's root (services.remaps). The writable layer has the host's numbers. Bind mounts of the host's
folders are not mapped: the host's root is nobody in them.
"""

from __future__ import annotations

import errno
import os
import stat

from engine.kernel import mounts, namespaces
from engine.kernel.cgroups import Cgroup
from engine.kernel.mounts import AT_RECURSIVE, OPEN_TREE_CLONE
from engine.kernel.namespaces import CLONE_NEWNS, unshare
from engine.kernel.steps import step
from engine.runtime import messages, mount_options, overlay, owners, rootfs, scheduling
from engine.runtime.joining import InMountNamespaceOf
from engine.runtime.setup import Json, Operation, Setup, joined_namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Sequence

_PLACE = "/etc"
"""Where the init attaches its root for the moment before it becomes the root: any folder that everybody may enter."""
_PLACEHOLDER = [{"containerID": 0, "hostID": 0, "size": 1}]


# --- the launcher's side --------------------------------------------------------------------------------------------


def prepare(pid: int, plan: Json, cgroup: Cgroup, stdio: Sequence[int], handshake: socket.socket) -> None:
    """Everything for the init ``pid``, which waits for it. Changes the caller's mount namespace. Raises OSError."""
    joined = joined_namespaces(plan["spec"])
    with step("cgroup.join"):
        cgroup.join(pid)
    with step("userns.map"):
        (_compare_maps if "user" in joined else _write_maps)(pid, plan["spec"]["linux"])
        root_ids = root_of(pid)
        process = plan["spec"].get("process") or {}
        scheduling.apply(pid, process)
        score = process.get("oomScoreAdj") or 0
        if score > 0:
            owners.write(f"/proc/{pid}/oom_score_adj", str(score))
        own_pipes(stdio, root_ids)
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    setup = Setup(plan)
    with step("rootfs.overlay"):
        unshare(CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
        with InMountNamespaceOf(joined):
            root = _make_root(plan, namespace, root_ids)
    with step("rootfs.mounts"), InMountNamespaceOf(joined):
        for index, entry in enumerate(setup.mounts):
            if entry.get("type") == "bind" or {"bind", "rbind"} & set(entry.get("options") or ()):
                setup.sources[index] = _clone_source(setup, entry, namespace, root_ids)
    indexes = list(setup.sources)
    found = {"type": "prepared", "indexes": indexes, "binds": setup.binds}
    messages.send(handshake, found, [root, *(setup.sources[index] for index in indexes)])


def _write_maps(pid: int, linux: Json) -> None:
    if not (linux.get("uidMappings") and linux.get("gidMappings")):
        raise OSError(errno.EINVAL, "a user namespace can't be made without uidMappings and gidMappings")
    for name in ("uid", "gid"):
        owners.write(f"/proc/{pid}/{name}_map", owners.map_text(linux[f"{name}Mappings"]))


def _compare_maps(pid: int, linux: Json) -> None:
    """A namespace that is joined has its maps. Callers give them nevertheless, as older versions of runc asked for it:
    containerd the real ones, podman a placeholder."""
    for name in ("uid", "gid"):
        given = linux.get(f"{name}Mappings")
        if given and given != _PLACEHOLDER and owners.map_text(given).split() != _map(pid, name):
            raise OSError(errno.EINVAL, "they are not those of the user namespace that is joined", f"{name}Mappings")


def _map(pid: int | str, name: str) -> list[str]:
    with open(f"/proc/{pid}/{name}_map", encoding="ascii") as file:
        return file.read().split()


def root_of(pid: int) -> tuple[int, int]:
    """The host's numbers of the root of a process's user namespace, user and group, once that has its maps."""
    return root_in(_map(pid, "uid")), root_in(_map(pid, "gid"))


def root_in(words: Sequence[str]) -> int:
    """The host's number of 0 in a map: first number inside, first one outside, how many, and the next ones. 0 where
    there is none."""
    inside, outside = words[::3], words[1::3]
    return int(outside[inside.index("0")]) if "0" in inside else 0


def own_pipes(stdio: Sequence[int], owner: tuple[int, int]) -> None:
    """Pipes are made by the host's root: without this nobody inside could open /dev/stdout again."""
    for fd in stdio:
        if owner != (0, 0) and stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, *owner)


def _make_root(plan: Json, namespace: int, root_ids: tuple[int, int]) -> int:
    """A detached overlay. Its layers are attached first, since older kernels take no detached
    ones. The writable layer is not mapped: the kernel itself makes files in it, as the host's root, whom a map would
    not know."""
    scratch = os.path.join(plan["directory"], (plan["spec"].get("root") or {}).get("path") or "rootfs")
    layers = plan.get("overlay")
    if layers is None:  # a bundle's folder has the owners that its maker gave it: the specification maps no root
        clone = mounts.open_tree(-1, scratch, OPEN_TREE_CLONE | AT_RECURSIVE)
        mounts.mount_setattr(clone, propagation=mounts.MS_PRIVATE, recursive=True, subject=scratch)
        return clone
    mounts.mount("tmpfs", scratch, "tmpfs", 0, "mode=700")
    lower = []
    for index, layer in enumerate(layers["lower"]):
        is_mapped = not layers.get("has_own_owners")
        lower.append(_attach(_mapped(layer, namespace), f"{scratch}/{index}") if is_mapped else layer)
    os.chown(layers["upper"], *root_ids)
    os.mkdir(f"{scratch}/root", 0o700)
    overlay.mount_overlay(lower, layers["upper"], layers["work"], f"{scratch}/root")
    return mounts.open_tree(-1, f"{scratch}/root", OPEN_TREE_CLONE)


def _mapped(path: str, namespace: int) -> int:
    """A detached clone that shows each owner by the namespace's map."""
    clone = mounts.open_tree(-1, path, OPEN_TREE_CLONE)
    try:
        mounts.mount_setattr(
            clone, attributes=mounts.MOUNT_ATTR_IDMAP, propagation=mounts.MS_PRIVATE, user_namespace=namespace,
            subject=path,
        )  # fmt: skip
    except OSError as error:
        os.close(clone)
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EOPNOTSUPP, "its file system can't be mounted with mapped owners", path) from error
    return clone


def _attach(clone: int, place: str) -> str:
    os.mkdir(place, 0o700)
    target = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mounts.move_mount(clone, target, place)
    finally:
        os.close(target)
        os.close(clone)
    return place


def _clone_source(setup: Setup, entry: Json, namespace: int, root_ids: tuple[int, int]) -> int:
    if entry["destination"] in (setup.plan.get("given") or ()):
        _give(entry["source"], root_ids)
    options = mount_options.parse(entry.get("options") or ())
    clone = rootfs.clone_of_host(setup, entry, options)
    owners.shift(clone, entry, options, namespace)
    rootfs.change(clone, options, entry["destination"])
    return clone


def _give(path: str, root_ids: tuple[int, int]) -> None:
    """To the namespace's root, while it is the host's root's: the folder of a volume, or a file of the engine's."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if (found.st_uid, found.st_gid) == (0, 0):
            os.fchown(fd, *root_ids)
    finally:
        os.close(fd)


# --- the init's side ------------------------------------------------------------------------------------------------


def become_root() -> None:
    """Take the identity of the namespace's root, whose number only the map makes one of the host's."""
    try:
        os.setgroups([])
    except PermissionError:
        pass  # the namespace forbids it (user_namespaces(7)), so they went before it was entered, or it has one group
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


class TakePrepared(Operation):
    """Wait for what the launcher prepares."""

    step = "userns.map"

    def __init__(self, handshake: socket.socket) -> None:
        self._handshake = handshake

    def execute(self, setup: Setup) -> None:
        received = messages.receive(self._handshake)
        if received is None:
            os._exit(1)  # the launcher has failed, and tells why itself
        message, fds = received
        setup.root_fd, *sources = fds
        setup.sources = dict(zip(message["indexes"], sources, strict=True))
        setup.binds = message["binds"]
        become_root()
        namespaces.forget_mapped_ids()


class AttachRoot(Operation):
    """Attach the root that was prepared, so that it can be pivoted to."""

    step = "rootfs.overlay"

    def execute(self, setup: Setup) -> None:
        target = os.open(_PLACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mounts.move_mount(setup.root_fd, target, "/")
        finally:
            os.close(target)
