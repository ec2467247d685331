"""Copying a tree of an image, with contents, owners, modes and attributes: into a fresh volume what the image has at
the place where it is mounted, and layers whose owners change (``shifted``).

The image is hostile: links are copied as links and never followed, every file is opened relative to its folder. The
target is empty and nobody else's meanwhile (of volumes services.volumes sees to that).
"""

from __future__ import annotations

import errno
import os
import stat

from engine.kernel.namespaces import in_user_namespace

_CHUNK_BYTES = 1 << 24
_DEEPEST = 400
"""Folders in folders; each is a descriptor on both sides, and a call."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Owners:
    """Whose the copies are, and what of that attributes say: as in the image."""

    def of(self, uid: int, gid: int) -> tuple[int, int]:
        return uid, gid

    def attribute(self, name: str, value: bytes) -> bytes:
        return value


_AS_THEY_ARE = Owners()


def fill(image_fd: int, volume_fd: int, owners: Owners = _AS_THEY_ARE) -> None:
    """Copy the folder at ``image_fd`` over the one at ``volume_fd``. Raises OSError with the path below them."""
    source, target = os.open(".", _FOLDER, dir_fd=image_fd), os.open(".", _FOLDER, dir_fd=volume_fd)
    try:
        _Copy(owners).folder(source, target, "", 0)
    finally:
        os.close(source)
        os.close(target)


class _Copy:
    """One volume. ``_links``: of each file with several names the one that was copied, as a path below the volume."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._links: dict[tuple[int, int], str] = {}
        self._root = -1

    def folder(self, source: int, target: int, path: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise OSError(errno.ELOOP, "too many folders in folders to be copied into a volume", path)
        if self._root < 0:
            self._root = target
        for name in os.listdir(source):
            below = f"{path}/{name}" if path else name
            try:
                self._entry(source, target, name, below, depth)
            except OSError as error:
                if error.filename is None or error.filename == name:
                    error.filename = below
                raise
        self._describe(source, target, os.fstat(source))

    def _entry(self, source: int, target: int, name: str, path: str, depth: int) -> None:
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            inner, made = os.open(name, _FOLDER, dir_fd=source), os.open(name, _FOLDER, dir_fd=target)
            try:
                self.folder(inner, made, path, depth + 1)
            finally:
                os.close(inner)
                os.close(made)
        elif stat.S_ISREG(info.st_mode):
            self._file(source, target, name, path, info)
        else:
            if stat.S_ISLNK(info.st_mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            elif not stat.S_ISFIFO(info.st_mode) and not stat.S_ISSOCK(info.st_mode) and in_user_namespace():
                return  # nobody can make a device there
            else:
                os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
            os.chown(name, *self._owners.of(info.st_uid, info.st_gid), dir_fd=target, follow_symlinks=False)
            if not stat.S_ISLNK(info.st_mode):
                os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)
            os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)

    def _file(self, source: int, target: int, name: str, path: str, info: os.stat_result) -> None:
        if info.st_nlink > 1:
            first = self._links.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
                return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        readable = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        writable = os.open(name, flags, 0o600, dir_fd=target)
        try:
            while os.sendfile(writable, readable, None, _CHUNK_BYTES):
                continue
            self._describe(readable, writable, info)
        finally:
            os.close(readable)
            os.close(writable)

    def _describe(self, source: int, target: int, info: os.stat_result) -> None:
        """Owner before mode, which a change of owner would cut; attributes after both, capabilities among them."""
        os.fchown(target, *self._owners.of(info.st_uid, info.st_gid))
        os.fchmod(target, stat.S_IMODE(info.st_mode))
        for name in os.listxattr(source):
            try:
                os.setxattr(target, name, self._owners.attribute(name, os.getxattr(source, name)))
            except OSError as error:
                if error.errno != errno.ENOTSUP:  # the target's file system has no such attributes
                    raise
        os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
