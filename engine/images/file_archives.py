"""Files of a container's root as tar archives: copied out, copied in, and the whole of it. Jobs for ``with_root``.

The root is the container's to arrange: every name is resolved in it by the kernel (openat2(2), RESOLVE_IN_ROOT).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, BinaryIO

from engine.domain.errors import InvalidArgument, NotFound
from engine.images.compression import Uncompressed
from engine.images.layer_writer import LayerWriter, Rules
from engine.images.limits import Limits
from engine.images.owners import Owners
from engine.images.tar import Stream, entries
from engine.images.tar_writer import TarWriter, add_folder
from engine.kernel.paths import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, open_in_root

Json = dict[str, Any]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_KERNELS_OWN = frozenset(
    {
        "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc",
        "pstore", "securityfs", "sysfs", "tracefs",
    }
)  # fmt: skip
"""File systems whose files are no files to be copied."""


class _Found:
    """What a path names: ``leaf`` in the folder ``fd``. A path that ends in a slash, or in ``/.``, names what a link
    leads to; any other names the link itself."""

    def __init__(self, root_fd: int, path: str) -> None:
        self.path = path
        clean = path.strip("/")
        try:
            if not clean or clean.endswith("/.") or clean == "." or path.endswith("/"):
                self.fd, self.leaf = open_in_root(root_fd, path or "/", _FOLDER), b"."
            else:
                parent, _, name = clean.rpartition("/")
                if name == "..":
                    raise InvalidArgument(f"the path {path!r} ends in '..': name the folder itself")
                self.fd, self.leaf = open_in_root(root_fd, "/" + parent, _FOLDER), os.fsencode(name)
            self.stats = os.lstat(self.leaf, dir_fd=self.fd)
        except FileNotFoundError as error:
            raise NotFound(f"Could not find the file {path} in container") from error
        except NotADirectoryError as error:
            raise InvalidArgument(f"not a directory: {path}") from error

    @property
    def name(self) -> bytes:
        """How its entries in an archive begin."""
        if self.path.endswith("/."):
            return b"."
        return os.fsencode(self.path.rstrip("/").rpartition("/")[2]) or b"/"


def stat_path(arguments: Json, fds: list[int], root_fd: int) -> Json:
    """What ``path`` names: {"name", "size_bytes", "mode" (st_mode), "mtime_ns", "link" (where it leads, absolute)}."""
    found = _Found(root_fd, arguments["path"])
    try:
        link = ""
        if stat.S_ISLNK(found.stats.st_mode):
            link = _where(root_fd, found)
        return {
            "name": os.fsdecode(found.name), "size_bytes": found.stats.st_size, "mode": found.stats.st_mode,
            "mtime_ns": found.stats.st_mtime_ns, "link": link,
        }  # fmt: skip
    finally:
        os.close(found.fd)


def _where(root_fd: int, found: _Found) -> str:
    """The path in the container that a link leads to; where it leads nowhere, as it is written."""
    target = os.readlink(found.leaf, dir_fd=found.fd)
    text = os.fsdecode(target)
    if not text.startswith("/"):
        text = f"/{found.path.strip('/').rpartition('/')[0]}/{text}"
    return os.path.normpath("/" + text.lstrip("/"))


def read_path(arguments: Json, fds: list[int], root_fd: int) -> Json:
    """Write ``path`` as an archive to the first descriptor. Raises NotFound, InvalidArgument, OSError."""
    found = _Found(root_fd, arguments["path"])
    skip = _kernels_own(arguments["root"].get("pid"))
    with open(fds[0], "wb", closefd=False) as output:
        writer = TarWriter(output.write, owners=Owners.from_json(arguments.get("owners")))
        try:
            if not stat.S_ISDIR(found.stats.st_mode):
                writer.add(found.name, found.fd, found.leaf, found.stats)
            else:
                _add_folder(writer, found, skip)
        finally:
            os.close(found.fd)
        writer.end()
    return {"size_bytes": writer.size_bytes}


def _add_folder(writer: TarWriter, found: _Found, skip: frozenset[int]) -> None:
    prefix = found.name if found.name.endswith(b"/") else found.name + b"/"
    writer.add(prefix, found.fd, found.leaf, found.stats)
    fd = os.open(found.leaf, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.fd)
    try:
        add_folder(writer, prefix, fd, skip)
    finally:
        os.close(fd)


def _kernels_own(pid: int | None) -> frozenset[int]:
    """The devices (st_dev) of file systems in a process's mount namespace that are windows into the kernel."""
    if pid is None:
        return frozenset()
    devices = set()
    with open(f"/proc/{pid}/mountinfo", "rb") as file:  # proc(5)
        for line in file:
            fields, _, rest = line.partition(b" - ")
            if rest.split(b" ", 1)[0].decode() in _KERNELS_OWN:
                major, minor = fields.split(b" ")[2].split(b":")
                devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)


def export_root(arguments: Json, fds: list[int], root_fd: int) -> Json:
    """Write the whole root as an archive to the first descriptor."""
    with open(fds[0], "wb", closefd=False) as output:
        writer = TarWriter(output.write, owners=Owners.from_json(arguments.get("owners")))
        add_folder(writer, b"", root_fd)
        writer.end()
    return {"size_bytes": writer.size_bytes}


def write_path(arguments: Json, fds: list[int], root_fd: int) -> Json:
    """Unpack the archive that the first descriptor gives into the folder ``path``. ``keep_kinds``: a folder is not
    replaced by something else nor the other way round; ``owner``: [uid, gid] of all that is made, null for the
    archive's own. Raises NotFound, InvalidArgument, OSError."""
    path, limits = arguments["path"], Limits.from_json(arguments.get("limits"))
    try:
        target = open_in_root(root_fd, path, _FOLDER)
    except FileNotFoundError as error:
        raise NotFound(f"Could not find the file {path} in container") from error
    except NotADirectoryError as error:
        raise InvalidArgument("extraction point is not a directory") from error
    os.close(target)
    owner = arguments.get("owner")
    keep = bool(arguments.get("keep_kinds"))
    rules = Rules(
        whiteouts=False, replace_folders=not keep, keep_files=keep, owner=tuple(owner) if owner else None,
        resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        owners=Owners.from_json(arguments.get("owners")),
        prefix=tuple(part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")), absolute_names=True,
    )  # fmt: skip
    umask = os.umask(0)
    try:
        with open(fds[0], "rb", buffering=0, closefd=False) as archive:
            _unpack(archive, root_fd, limits, rules)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise InvalidArgument("container rootfs is marked read-only") from error
        raise
    finally:
        os.umask(umask)
    return {}


def _unpack(archive: BinaryIO, root_fd: int, limits: Limits, rules: Rules) -> None:
    with Uncompressed(archive, limits) as pieces:
        stream = Stream(pieces)
        writer = LayerWriter(stream, root_fd, limits, rules)
        try:
            for entry in entries(stream, limits):
                writer.apply(entry)
            writer.finish()
        finally:
            writer.close()
        stream.drain()


ROOT_JOBS = {"root.stat": stat_path, "root.read": read_path, "root.export": export_root, "root.write": write_path}
