"""Layers on file systems that can't be mounted with mapped owners (an overlay, many network file systems): copies whose
owners on disk are the host's numbers of the container's users.

One serves all containers with the same ranges (see services.remaps). A copy has its name when it is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct

from engine.kernel import mounts
from engine.kernel.paths import fsync_folder, syncfs
from engine.kernel.steps import step
from engine.runtime import copy_up, owners
from engine.runtime.setup import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

_UNFINISHED = ".part"
_ANY_MAP = "0 100000 1\n"
_NOBODY = 65534
_CAPABILITIES, _LISTS = "security.capability", ("system.posix_acl_access", "system.posix_acl_default")
_REVISION_2, _REVISION_3 = 0x0200_0000, 0x0300_0000
_ACL_USER, _ACL_GROUP = 0x02, 0x08


def copy_job(arguments: Json, fds: Sequence[int]) -> Json:
    """``layer``'s tree at ``target``, with owners by the mappings ``users`` and ``groups``; durable, and there as a
    whole or not at all. Raises OSError."""
    target = arguments["target"]
    unfinished = f"{target}{_UNFINISHED}"
    for left in (unfinished, target):
        if os.path.isdir(left):
            shutil.rmtree(left)  # of a copy that was cut off
    os.mkdir(unfinished, 0o700)
    source = os.open(arguments["layer"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    copy = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy_up.fill(source, copy, _Owners(arguments["users"], arguments["groups"]))
        syncfs(copy)
    finally:
        os.close(source)
        os.close(copy)
    with step("layer.rename"):
        os.rename(unfinished, target)
        fsync_folder(os.path.dirname(target))
    return {}


def can_be_mapped_job(arguments: Json, fds: Sequence[int]) -> Json:
    """Whether what lies at ``path`` can be mounted with mapped owners."""
    namespace = owners.mapped_namespace(_ANY_MAP, _ANY_MAP)
    try:
        clone = mounts.open_tree(-1, arguments["path"], mounts.OPEN_TREE_CLONE)
        try:
            mounts.mount_setattr(
                clone, attributes=mounts.MOUNT_ATTR_IDMAP, user_namespace=namespace, subject=arguments["path"]
            )
        finally:
            os.close(clone)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return {"can": False}
    finally:
        os.close(namespace)
    return {"can": True}


JOBS = {"layer.remap": copy_job, "layer.can_be_mapped": can_be_mapped_job}


class _Owners(copy_up.Owners):
    """By the maps of a user namespace. Who is in none of them is nobody, as he is in a mapped mount."""

    def __init__(self, users: Sequence[Json], groups: Sequence[Json]) -> None:
        self._users, self._groups = users, groups

    def of(self, uid: int, gid: int) -> tuple[int, int]:
        return _mapped(uid, self._users), _mapped(gid, self._groups)

    def attribute(self, name: str, value: bytes) -> bytes:
        """Capabilities count in the namespace of a root of their own (capabilities(7), "Namespaced file
        capabilities"); access control lists name users and groups (acl(5))."""
        if name == _CAPABILITIES and len(value) == 20:
            (magic,) = struct.unpack_from("<I", value)
            magic = magic & ~_REVISION_2 | _REVISION_3
            return struct.pack("<I", magic) + value[4:] + struct.pack("<I", _mapped(0, self._users))
        if name in _LISTS:
            entries = struct.iter_unpack("<HHI", value[4:])
            return value[:4] + b"".join(struct.pack("<HHI", *self._entry(*entry)) for entry in entries)
        return value

    def _entry(self, tag: int, powers: int, number: int) -> tuple[int, int, int]:
        mappings = {_ACL_USER: self._users, _ACL_GROUP: self._groups}.get(tag)
        return tag, powers, number if mappings is None else _mapped(number, mappings)


def _mapped(number: int, mappings: Sequence[Json]) -> int:
    for one in mappings:
        if one["containerID"] <= number < one["containerID"] + one["size"]:
            return int(one["hostID"] + number - one["containerID"])
    return _NOBODY
