"""Putting files into a container's root: what COPY and ADD do, in a mount of the root that the worker has for itself.

The destination is resolved as a process in the container would (openat2 with RESOLVE_IN_ROOT); below it no link is
followed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile
from typing import NamedTuple, Sequence

from engine.builder.modes import Mode
from engine.builder.sources import Found, Source, walk
from engine.client.dockerignore import Ignored
from engine.domain.errors import InvalidArgument
from engine.images.compression import Uncompressed
from engine.images.layer_writer import Rules as TarRules
from engine.images.layer_writer import write_layer
from engine.images.limits import Limits
from engine.images.tar import Stream
from engine.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, open_in_root, openat2

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES = 8 << 20
_MOST_LINKS = 40  # path_resolution(7)


class Rules(NamedTuple):
    """``owner`` of everything (None: as it is), ``mode`` of files and folders (None: as it is)."""

    owner: tuple[int, int] | None
    mode: Mode | None


def open_destination(root_fd: int, path: str, owner: tuple[int, int], links: int = 0) -> int:
    """A folder of the root, made with its parents where it is missing. ``links`` counts those that led here.

    Raises InvalidArgument, OSError."""
    parts = [part for part in path.split("/") if part]
    fd = os.open(".", _FOLDER | os.O_CLOEXEC, dir_fd=root_fd)
    for at, part in enumerate(parts, 1):
        prefix = "/".join(parts[:at])
        try:
            below = open_in_root(root_fd, prefix, _FOLDER)
        except FileNotFoundError:
            below = _missing_folder(root_fd, fd, "/".join(parts[: at - 1]), part, owner, links)
        except NotADirectoryError as error:
            raise InvalidArgument(f"cannot copy to /{path.strip('/')}: /{prefix} is not a directory") from error
        finally:
            os.close(fd)
        fd = below
    return fd


def _missing_folder(
    root_fd: int, parent_fd: int, above: str, name: str, owner: tuple[int, int], links: int
) -> int:
    """Make it; where a link stands in its place that leads to nothing, make what the link leads to."""
    try:
        return _made_folder(parent_fd, name, owner)
    except FileExistsError as error:
        if links == _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"/{above}/{name}") from error
        target = os.readlink(name, dir_fd=parent_fd)
        return open_destination(root_fd, posixpath.join("/", above, target), owner, links + 1)


def _made_folder(parent_fd: int, name: str, owner: tuple[int, int]) -> int:
    os.mkdir(name, 0o755, dir_fd=parent_fd)
    fd = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    os.fchmod(fd, 0o755)
    os.fchown(fd, *owner)
    return fd


def is_folder(root_fd: int, path: str) -> bool:
    """Whether the root has a folder there, links followed."""
    try:
        os.close(open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    return True


class Copier:
    """Copies sources of one tree to one destination of the root."""

    def __init__(self, root_fd: int, destination: str, rules: Rules) -> None:
        """``destination`` is absolute; a slash at its end says that it is a folder."""
        self._root_fd = root_fd
        self._destination = destination
        self._rules = rules
        self._parents_owner = rules.owner or (0, 0)
        self._links: dict[tuple[int, int], str] = {}

    def copy(self, tree_fd: int, sources: Sequence[Source], ignored: Ignored) -> None:
        """Raises InvalidArgument, OSError."""
        into_folder = self._destination.endswith("/") or is_folder(self._root_fd, self._destination)
        if len(sources) > 1 and not into_folder and not all(source.is_folder for source in sources):
            raise InvalidArgument(
                "when using COPY with more than one source file, the destination must be a directory and end with a /"
            )
        for source in sources:
            folder, name = self._destination, ""
            if not source.is_folder and not into_folder and "/" not in source.target:
                folder, name = posixpath.split(self._destination)
            fd = open_destination(self._root_fd, folder, self._parents_owner)
            try:
                self._copy_source(tree_fd, source._replace(target=name or source.target), fd, ignored)
            finally:
                os.close(fd)

    def _copy_source(self, tree_fd: int, source: Source, into_fd: int, ignored: Ignored) -> None:
        self._links.clear()
        times: list[tuple[str, int]] = []
        for one in walk(tree_fd, source, ignored):
            if not one.name:
                continue  # the folder whose content is copied: the destination has a mode of its own
            folder, _, leaf = one.name.rpartition("/")
            parent = self._open_parent(into_fd, folder)
            try:
                if stat.S_ISDIR(one.found.st_mode):
                    self._folder(one, parent, leaf)
                    times.append((one.name, one.found.st_mtime_ns))
                else:
                    self._other(one, parent, leaf, into_fd)
            finally:
                os.close(parent)
        for name, mtime_ns in reversed(times):
            fd = openat2(into_fd, name, _FOLDER, resolve=_BENEATH)
            try:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)

    def _open_parent(self, into_fd: int, folder: str) -> int:
        if not folder:
            return os.dup(into_fd)
        try:
            return openat2(into_fd, folder, _FOLDER, resolve=_BENEATH)
        except FileNotFoundError:
            return self._made_parents(into_fd, folder)

    def _made_parents(self, into_fd: int, folder: str) -> int:
        """With those that are missing: of --parents, or of an --exclude with an exception below."""
        fd = os.dup(into_fd)
        for part in folder.split("/"):
            try:
                below = openat2(fd, part, _FOLDER, resolve=_BENEATH)
            except FileNotFoundError:
                below = _made_folder(fd, part, self._parents_owner)
            finally:
                os.close(fd)
            fd = below
        return fd

    # --- one by one ---

    def _folder(self, one: Found, parent_fd: int, leaf: str) -> None:
        there = _lstat(parent_fd, leaf)
        if there is None or not stat.S_ISDIR(there.st_mode):
            if there is not None:  # a link to a folder as well: what goes through it must not be lost
                raise InvalidArgument(f"cannot copy to non-directory: {posixpath.join(self._destination, one.name)}")
            os.mkdir(leaf, 0o755, dir_fd=parent_fd)
        fd = os.open(leaf, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            self._set(one, fd)
        finally:
            os.close(fd)

    def _other(self, one: Found, parent_fd: int, leaf: str, into_fd: int) -> None:
        there = _lstat(parent_fd, leaf)
        if there is not None:
            if stat.S_ISDIR(there.st_mode):
                raise InvalidArgument(f"cannot copy to directory: {one.name!r} is a file, and a folder at its place")
            os.unlink(leaf, dir_fd=parent_fd)
        mode = one.found.st_mode
        if stat.S_ISREG(mode):
            self._file(one, parent_fd, leaf, into_fd)
            return
        if stat.S_ISLNK(mode):
            os.symlink(one.link(), leaf, dir_fd=parent_fd)
        else:
            os.mknod(leaf, stat.S_IFMT(mode) | 0o600, one.found.st_rdev, dir_fd=parent_fd)
        os.chown(leaf, *self._owner(one), dir_fd=parent_fd, follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            os.chmod(leaf, stat.S_IMODE(mode), dir_fd=parent_fd)
        time_ns = one.found.st_mtime_ns
        os.utime(leaf, ns=(time_ns, time_ns), dir_fd=parent_fd, follow_symlinks=False)

    def _file(self, one: Found, parent_fd: int, leaf: str, into_fd: int) -> None:
        if one.found.st_nlink > 1 and one.leaf:
            first = self._links.setdefault((one.found.st_dev, one.found.st_ino), one.name)
            if first != one.name:
                os.link(first, leaf, src_dir_fd=into_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
                return
        source = one.open()
        try:
            target = os.open(leaf, _NEW_FILE, 0o600, dir_fd=parent_fd)
            try:
                while os.sendfile(target, source, None, _PIECE_BYTES):  # type: ignore[arg-type]
                    continue
                self._set(one, target)
                os.utime(target, ns=(one.found.st_mtime_ns, one.found.st_mtime_ns))
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _owner(self, one: Found) -> tuple[int, int]:
        return self._rules.owner or (one.found.st_uid, one.found.st_gid)

    def _set(self, one: Found, fd: int) -> None:
        """Owner, mode and extended attributes of a file or folder."""
        os.fchown(fd, *self._owner(one))
        mode = one.found.st_mode
        os.fchmod(fd, stat.S_IMODE(mode) if self._rules.mode is None else self._rules.mode(mode))
        for name in _xattrs(one):
            os.setxattr(fd, name, os.getxattr(one.path, name, follow_symlinks=not one.leaf))


def _xattrs(one: Found) -> list[str]:
    try:
        names = os.listxattr(one.path, follow_symlinks=not one.leaf)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
    return [name for name in names if name.startswith("user.") or name == "security.capability"]


def _lstat(parent_fd: int, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return None


# --- archives ---


def is_archive(tree_fd: int, source: Source, limits: Limits) -> bool:
    """Whether a file is a tar archive, compressed or not, told by its content."""
    if source.is_folder:
        return False
    try:
        with open(_opened(tree_fd, source), "rb", buffering=0) as file, Uncompressed(file, limits) as pieces:
            tarfile.TarInfo.frombuf(Stream(pieces).read_block(), "utf-8", "surrogateescape")
    except (tarfile.HeaderError, InvalidArgument, EOFError, OSError):
        return False
    return True


def unpack(root_fd: int, tree_fd: int, source: Source, destination: str, limits: Limits) -> None:
    """Unpack an archive into a folder of the root, owners and all. Raises InvalidArgument, OSError."""
    fd = open_destination(root_fd, destination, (0, 0))
    try:
        with open(_opened(tree_fd, source), "rb", buffering=0) as file, Uncompressed(file, limits) as pieces:
            rules = TarRules(whiteouts=False, replace_folders=True)
            write_layer(Stream(pieces), fd, limits, rules)
    finally:
        os.close(fd)


def _opened(tree_fd: int, source: Source) -> int:
    return open_in_root(tree_fd, source.path, os.O_RDONLY | os.O_NONBLOCK)
