"""A mount's options, as the OCI specification and mount(8) name them, sorted by who takes them."""

from __future__ import annotations

import errno

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_SET = {
    "ro": MOUNT_ATTR_RDONLY, "nosuid": MOUNT_ATTR_NOSUID, "nodev": MOUNT_ATTR_NODEV, "noexec": MOUNT_ATTR_NOEXEC,
    "noatime": MOUNT_ATTR_NOATIME, "nodiratime": MOUNT_ATTR_NODIRATIME, "strictatime": MOUNT_ATTR_STRICTATIME,
    "relatime": 0, "nosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
}  # fmt: skip
_CLEAR = {
    "rw": MOUNT_ATTR_RDONLY, "suid": MOUNT_ATTR_NOSUID, "dev": MOUNT_ATTR_NODEV, "exec": MOUNT_ATTR_NOEXEC,
    "atime": MOUNT_ATTR_NOATIME, "diratime": MOUNT_ATTR_NODIRATIME, "nostrictatime": MOUNT_ATTR_STRICTATIME,
    "symfollow": MOUNT_ATTR_NOSYMFOLLOW, "norelatime": MOUNT_ATTR__ATIME,
}  # fmt: skip
_PROPAGATION = {
    "private": mounts.MS_PRIVATE, "slave": mounts.MS_SLAVE, "shared": mounts.MS_SHARED,
    "unbindable": mounts.MS_UNBINDABLE,
}  # fmt: skip
_ATIMES = ("noatime", "strictatime", "relatime")
_SUPERBLOCK_FLAGS = ("sync", "dirsync", "lazytime", "mand", "iversion")
_SAYING_NOTHING = ("async", "defaults", "nolazytime", "nomand", "noiversion", "loud", "silent")


def all_words() -> list[str]:
    """Every option that is not a file system's own."""
    attributes = [*_SET, *_CLEAR]
    return sorted({
        *attributes, *(f"r{word}" for word in attributes), *_PROPAGATION, *(f"r{word}" for word in _PROPAGATION),
        *_SUPERBLOCK_FLAGS, *_SAYING_NOTHING, "bind", "rbind", "idmap", "ridmap", "tmpcopyup",
    })  # fmt: skip


class Options:
    """``attributes`` and ``clear`` belong to the mount, those of ``recursive`` also to the mounts below it, ``data`` to
    the file system (a flag has the value None). ``idmap``: owners are those of a user namespace ("idmap", or "ridmap"
    for the mounts below, too). ``copy_up``: a fresh file system gets what it hides."""

    __slots__ = (
        "attributes", "clear", "propagation", "propagation_recursive", "recursive_bind", "data", "idmap", "copy_up",
        "recursive",
    )  # fmt: skip

    def __init__(
        self, attributes: int, clear: int, propagation: int, propagation_recursive: bool, recursive_bind: bool,
        data: list[tuple[str, str | None]], idmap: str = "", copy_up: bool = False, recursive: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        self.attributes, self.clear, self.recursive = attributes, clear, recursive
        self.propagation, self.propagation_recursive = propagation, propagation_recursive
        self.recursive_bind, self.data, self.idmap, self.copy_up = recursive_bind, data, idmap, copy_up

    def but(self, **changes: Any) -> Options:
        """The same with other values."""
        return Options(**{name: getattr(self, name) for name in self.__slots__} | changes)

    @property
    def read_only(self) -> bool:
        return bool((self.attributes | self.recursive[0]) & MOUNT_ATTR_RDONLY)


class _Attributes:
    """Words that set and clear a mount's attributes; a later one wins."""

    def __init__(self) -> None:
        self.set = self.clear = 0

    def take(self, word: str) -> bool:
        """Whether it was one of them."""
        if word in _ATIMES:
            self.set, self.clear = self.set & ~MOUNT_ATTR__ATIME | _SET[word], self.clear | MOUNT_ATTR__ATIME
        elif word in _SET:
            self.set, self.clear = self.set | _SET[word], self.clear & ~_SET[word]
        elif word in _CLEAR:
            self.set, self.clear = self.set & ~_CLEAR[word], self.clear | _CLEAR[word]
        else:
            return False
        return True


def propagation_of(word: str) -> tuple[int, bool] | None:
    """("rslave") -> (MS_SLAVE, recursively); None for what is no propagation."""
    if word in _PROPAGATION:
        return _PROPAGATION[word], False
    if word[:1] == "r" and word[1:] in _PROPAGATION:
        return _PROPAGATION[word[1:]], True
    return None


def parse(words: Sequence[str]) -> Options:
    """A later word wins over an earlier one, as for mount(8)."""
    own, all_below = _Attributes(), _Attributes()
    propagation, recursive, bind, idmap, copy_up = 0, False, False, "", False
    data: list[tuple[str, str | None]] = []
    for word in words:
        if word in ("bind", "rbind"):
            bind = word == "rbind"
        elif word in ("idmap", "ridmap"):
            idmap = word
        elif word == "tmpcopyup":
            copy_up = True
        elif (found := propagation_of(word)) is not None:
            propagation, recursive = found
        elif own.take(word) or word[:1] == "r" and all_below.take(word[1:]):
            continue
        elif word in _SUPERBLOCK_FLAGS:
            data.append((word, None))
        elif word not in _SAYING_NOTHING:
            key, separator, value = word.partition("=")
            if not key:
                raise OSError(errno.EINVAL, "a mount option has no name", word)
            data.append((key, value if separator else None))
    return Options(
        own.set, own.clear, propagation, recursive, bind, data, idmap, copy_up, (all_below.set, all_below.clear)
    )  # fmt: skip
