"""A mount's options, as the OCI specification and mount(8) name them, sorted by who takes them."""

from __future__ import annotations

import errno
from typing import NamedTuple, Sequence

from engine.kernel import mounts
from engine.kernel.mounts import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
)

_SET = {
    "ro": MOUNT_ATTR_RDONLY, "nosuid": MOUNT_ATTR_NOSUID, "nodev": MOUNT_ATTR_NODEV, "noexec": MOUNT_ATTR_NOEXEC,
    "noatime": MOUNT_ATTR_NOATIME, "nodiratime": MOUNT_ATTR_NODIRATIME, "strictatime": MOUNT_ATTR_STRICTATIME,
    "relatime": 0, "nosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
}  # fmt: skip
_CLEAR = {
    "rw": MOUNT_ATTR_RDONLY, "suid": MOUNT_ATTR_NOSUID, "dev": MOUNT_ATTR_NODEV, "exec": MOUNT_ATTR_NOEXEC,
    "atime": MOUNT_ATTR_NOATIME, "diratime": MOUNT_ATTR_NODIRATIME, "nostrictatime": MOUNT_ATTR_STRICTATIME,
    "symfollow": MOUNT_ATTR_NOSYMFOLLOW,
}  # fmt: skip
_PROPAGATION = {
    "private": mounts.MS_PRIVATE, "slave": mounts.MS_SLAVE, "shared": mounts.MS_SHARED,
    "unbindable": mounts.MS_UNBINDABLE,
}  # fmt: skip
_ATIMES = ("noatime", "strictatime", "relatime")
_SUPERBLOCK_FLAGS = ("sync", "dirsync", "lazytime", "mand")


class Options(NamedTuple):
    """``attributes`` and ``clear`` belong to the mount, ``data`` to the file system (a flag has the value None);
    ``idmap``: owners are those of the container's user namespace."""

    attributes: int
    clear: int
    propagation: int
    propagation_recursive: bool
    recursive_bind: bool
    data: list[tuple[str, str | None]]
    idmap: bool = False


def propagation_of(word: str) -> tuple[int, bool] | None:
    """("rslave") -> (MS_SLAVE, recursively); None for what is no propagation."""
    if word in _PROPAGATION:
        return _PROPAGATION[word], False
    if word[:1] == "r" and word[1:] in _PROPAGATION:
        return _PROPAGATION[word[1:]], True
    return None


def parse(words: Sequence[str]) -> Options:
    """A later word wins over an earlier one, as for mount(8)."""
    attributes = clear = 0
    propagation, recursive, bind, idmap = 0, False, False, False
    data: list[tuple[str, str | None]] = []
    for word in words:
        if word in ("bind", "rbind"):
            bind = word == "rbind"
        elif word == "idmap":
            idmap = True
        elif word in _ATIMES:
            attributes, clear = attributes & ~MOUNT_ATTR__ATIME | _SET[word], clear | MOUNT_ATTR__ATIME
        elif word in _SET:
            attributes, clear = attributes | _SET[word], clear & ~_SET[word]
        elif word in _CLEAR:
            attributes, clear = attributes & ~_CLEAR[word], clear | _CLEAR[word]
        elif (found := propagation_of(word)) is not None:
            propagation, recursive = found
        elif word in _SUPERBLOCK_FLAGS:
            data.append((word, None))
        elif word not in ("async", "defaults", "nolazytime"):
            key, separator, value = word.partition("=")
            if not key:
                raise OSError(errno.EINVAL, "a mount option has no name", word)
            data.append((key, value if separator else None))
    return Options(attributes, clear, propagation, recursive, bind, data, idmap)
