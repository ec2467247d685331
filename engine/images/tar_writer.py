"""Writing files and folders as a tar archive that is the same for the same tree: PAX (pax(1)), written in ustar where
that suffices, numeric owners, whole seconds, extended attributes as SCHILY.xattr records.

Names are bytes as the kernel has them. What can't be in an archive (sockets) is left out, as every tar does.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import Callable

from engine.images.owners import Owners
from engine.images.tar import BLOCK

RECORD_BYTES = 10240
_PIECE_BYTES = 1 << 18
_OVERLAYS_OWN = ("trusted.overlay.", "user.overlay.")
_HOSTS_OWN = ("security.selinux", "security.ima", "security.evm")
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE,
}  # fmt: skip


class TarWriter:
    """``write`` takes the archive's bytes. ``latest_s`` is the latest time that a file may have (seconds since the
    epoch; None: its own), ``owners`` tells what owners on disk are called."""

    def __init__(
        self, write: Callable[[bytes], object], latest_s: int | None = None, owners: Owners = Owners()
    ) -> None:
        self._write = write
        self._owners = owners
        self._latest_s = latest_s
        self._links: dict[tuple[int, int], bytes] = {}
        self.size_bytes = 0

    def _put(self, data: bytes) -> None:
        self._write(data)
        self.size_bytes += len(data)

    def add(self, name: bytes, folder_fd: int, leaf: bytes, found: os.stat_result) -> None:
        """What ``leaf`` is in the folder ``folder_fd`` (``found`` by lstat), under ``name``. The second name of a file
        becomes a hard link to the first. Raises OSError."""
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return
        info = self._info(name, kind, found)
        info.pax_headers = _xattrs(folder_fd, leaf, found)
        if kind == tarfile.SYMTYPE:
            info.linkname = os.fsdecode(os.readlink(leaf, dir_fd=folder_fd))
        elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
        if not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), name)
            if first != name:
                info.type, info.size, info.linkname = tarfile.LNKTYPE, 0, os.fsdecode(first)
                info.pax_headers = {}
        if info.type != tarfile.REGTYPE:
            self._header(info)
            return
        fd = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        try:
            self._header(info)
            self._content(fd, info.size)
        finally:
            os.close(fd)

    def add_empty(self, name: bytes, found: os.stat_result | None = None) -> None:
        """An empty file of root's; its time is that of ``found``."""
        info = tarfile.TarInfo(os.fsdecode(name))
        info.mode = 0o600
        info.mtime = self._time(found) if found is not None else 0
        self._header(info)

    def _info(self, name: bytes, kind: bytes, found: os.stat_result) -> tarfile.TarInfo:
        info = tarfile.TarInfo(os.fsdecode(name))
        info.type = kind
        info.mode = stat.S_IMODE(found.st_mode)
        info.uid, info.gid = self._owners.inside(found.st_uid, found.st_gid)
        info.mtime = self._time(found)
        info.size = found.st_size if kind == tarfile.REGTYPE else 0
        return info

    def _time(self, found: os.stat_result) -> int:
        own = max(0, found.st_mtime_ns // 1_000_000_000)
        return own if self._latest_s is None else min(own, self._latest_s)

    def _header(self, info: tarfile.TarInfo) -> None:
        self._put(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _content(self, fd: int, size: int) -> None:
        """Exactly as much as the header says, whatever becomes of the file meanwhile."""
        left = size
        while left:
            piece = os.read(fd, min(left, _PIECE_BYTES)) or bytes(min(left, _PIECE_BYTES))
            self._put(piece)
            left -= len(piece)
        if padding := -size % BLOCK:
            self._put(bytes(padding))

    def end(self) -> None:
        """The two blocks that end an archive, filled up to a whole record."""
        self._put(bytes(2 * BLOCK))
        self._put(bytes(-self.size_bytes % RECORD_BYTES))


def _xattrs(folder_fd: int, leaf: bytes, found: os.stat_result) -> dict[str, str]:
    """The PAX records of the extended attributes, in the order of their names."""
    path = b"/proc/self/fd/%d/%s" % (folder_fd, leaf)
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}  # the file system knows none
    kept = (name for name in sorted(names) if not name.startswith(_OVERLAYS_OWN) and name not in _HOSTS_OWN)
    return {f"SCHILY.xattr.{name}": os.fsdecode(os.getxattr(path, name, follow_symlinks=False)) for name in kept}


def add_tree(
    writer: TarWriter, name: bytes, folder_fd: int, leaf: bytes, skip: frozenset[int] = frozenset()
) -> None:
    """A file, or a folder with all that is below it, on whatever file systems; names are sorted. What lies on the
    devices (st_dev) in ``skip`` is left out, but for the folder that it is mounted on."""
    found = os.lstat(leaf, dir_fd=folder_fd)
    if not stat.S_ISDIR(found.st_mode):
        writer.add(name, folder_fd, leaf, found)
        return
    writer.add(name + b"/", folder_fd, leaf, found)
    if found.st_dev in skip:
        return
    fd = os.open(leaf, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        add_folder(writer, name + b"/", fd, skip)
    finally:
        os.close(fd)


def add_folder(writer: TarWriter, prefix: bytes, fd: int, skip: frozenset[int] = frozenset()) -> None:
    """What is in a folder, not the folder itself; ``prefix`` (b"" or with a slash at its end) begins every name."""
    for child in sorted(map(os.fsencode, os.listdir(fd))):
        try:
            add_tree(writer, prefix + child, fd, child, skip)
        except FileNotFoundError:
            continue  # a living tree changes while it is read
