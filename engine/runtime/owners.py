"""Bind mounts whose files show other owners (mount_setattr(2) with MOUNT_ATTR_IDMAP): by the map of the container's
user namespace, or by one of the mount's own (``uidMappings`` and ``gidMappings`` of a specification's mount)."""

from __future__ import annotations

import errno
import os

from engine.kernel import mounts
from engine.kernel.namespaces import CLONE_NEWUSER, clone
from engine.runtime.mount_options import Options
from engine.runtime.setup import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


def shift(mount_fd: int, entry: Json, options: Options, namespace: int = -1) -> None:
    """As the entry wants it. ``namespace`` is the descriptor of the container's user namespace. Raises OSError."""
    own = [entry.get("uidMappings") or [], entry.get("gidMappings") or []]
    if not any(own) and not options.idmap:
        return
    if any(own):
        if not all(own):
            raise OSError(errno.EINVAL, "it needs both, uidMappings and gidMappings", entry["destination"])
        namespace = mapped_namespace(*map(map_text, own))
    elif namespace < 0:
        raise OSError(errno.EINVAL, "without a user namespace it needs uidMappings", entry["destination"])
    try:
        mounts.mount_setattr(
            mount_fd, attributes=mounts.MOUNT_ATTR_IDMAP, user_namespace=namespace,
            recursive=options.idmap == "ridmap" or options.idmap == "idmap" and options.recursive_bind and not any(own),
            subject=entry["destination"],
        )  # fmt: skip
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        text = "its file system can't be mounted with mapped owners"
        raise OSError(errno.EOPNOTSUPP, text, entry["destination"]) from error
    finally:
        if any(own):
            os.close(namespace)


def map_text(mappings: Sequence[Json]) -> str:
    """As /proc/PID/uid_map wants it (user_namespaces(7))."""
    return "".join(f"{one['containerID']} {one['hostID']} {one['size']}\n" for one in mappings)


def mapped_namespace(users: str, groups: str) -> int:
    """The descriptor of a user namespace in which nobody is, with these maps. Raises OSError."""
    gate, opener = os.pipe2(os.O_CLOEXEC)
    said, says = os.pipe2(os.O_CLOEXEC)
    try:
        child = clone(CLONE_NEWUSER)
        if child == 0:
            try:  # its number is asked of the procfs that is in sight, which may be of another pid namespace than ours
                os.write(says, os.readlink("/proc/self").encode())
                os.close(opener)
                os.read(gate, 1)
            finally:
                os._exit(0)
        try:
            number = os.read(said, 64).decode()
            for name, text in (("uid", users), ("gid", groups)):
                write(f"/proc/{number}/{name}_map", text)
            return os.open(f"/proc/{number}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(opener)
            opener = -1
            os.waitpid(child, 0)
    finally:
        for fd in (gate, said, says, opener):
            if fd >= 0:
                os.close(fd)


def write(path: str, text: str) -> None:
    """Into a file of /proc. Raises OSError that names what was to be written, since the kernel says EINVAL to much."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} writing {text!r}", path) from error
    finally:
        os.close(fd)
