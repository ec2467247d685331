"""Layers on file systems that can't be mounted with mapped owners (an overlay, many network file systems): copies whose
owners on disk are the host's numbers of the container's users.

They lie in the container's own folder, made by its first start and gone with it. A copy has its name when it is whole.
"""

from __future__ import annotations

import os
import struct

from engine.kernel.digest import sha256_hex
from engine.kernel.paths import syncfs
from engine.runtime import copy_up
from engine.runtime.setup import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

FOLDER = "shifted"
_NOBODY = 65534
_CAPABILITIES, _LISTS = "security.capability", ("system.posix_acl_access", "system.posix_acl_default")
_REVISION_2, _REVISION_3 = 0x0200_0000, 0x0300_0000
_ACL_USER, _ACL_GROUP = 0x02, 0x08


def copy_of(layer: str, directory: str, linux: Json) -> tuple[str, bool]:
    """The copy's folder below a container's ``directory``, and whether it was made just now. Raises OSError."""
    maps = [linux["uidMappings"], linux["gidMappings"]]
    place = os.path.join(directory, FOLDER, sha256_hex(f"{layer}\n{maps}".encode())[:16])
    if os.path.isdir(place):
        return place, False
    unfinished = f"{place}.part"
    if os.path.isdir(unfinished):
        import shutil  # only after a crash

        shutil.rmtree(unfinished)
    os.makedirs(unfinished, 0o700)
    source = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    target = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy_up.fill(source, target, _Owners(*maps))
        syncfs(target)
    finally:
        os.close(source)
        os.close(target)
    os.rename(unfinished, place)
    return place, True


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
