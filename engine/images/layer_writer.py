"""Writing a layer's entries into a folder, in overlay's form, whatever the entries try.

Every name is resolved by the kernel beneath the layer's root (openat2 with RESOLVE_BENEATH) and every last component is
made or opened relative to its parent's descriptor without following links, so nothing can be touched outside, not
through links, links through links, nor names. What can't be stored is refused with the entry's name:

- names and hard link targets with ``..``, absolute names, and parents that lead out through a link. (The *target* of
  a symbolic link is free text and may be absolute; a hard link's may be absolute too and counts from the layer's root.)
- anything but a folder where the layer already has a folder, and what lies below something that is no folder
- devices 0:0 and overlay's own extended attributes, which would be whiteouts, redirects and the like in disguise
- whiteouts that are no empty files, or that name ``.``, ``..`` or nothing

A later entry replaces an earlier one of the same name. Deviations from the archive are Docker's: the root's own entry
is ignored (mode 0755, owner root), folders that have no entry get mode 0755, times before the epoch become the epoch.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import Callable, NamedTuple

from engine.images import tar
from engine.images.layer_folders import FOLDER, Folders, lstat
from engine.images.layer_names import ARCHIVES_FAULT, Names, components_of, refused
from engine.images.limits import Limits
from engine.images.overlay_diff import is_whiteout, opaque_xattr
from engine.images.owners import Owners
from engine.images.tar import Entry, Stream
from engine.images.tar_fields import shown, storable_time_ns
from engine.kernel.namespaces import Ids, in_user_namespace, is_mapped, mapped_ids
from engine.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, start_writeback

WHITEOUT = b".wh."
WHITEOUT_META = b".wh..wh."
OPAQUE = b".wh..wh..opq"
_RESERVED_XATTRS = (b"trusted.overlay.", b"user.overlay.")
_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGE_BYTES = 256 << 10
"""From here on a file is worth a call that lets the disk begin with it, so that the sync at the end has less to do."""


class _Made(NamedTuple):
    """What a file got that was made in ``folder`` with ``permissions``: the folder may have a say in that."""

    folder: bytes
    permissions: int
    owner: tuple[int, int]
    mode: int


class Written(NamedTuple):
    """``size_bytes`` is the sum of the regular files, each hard-linked file once."""

    size_bytes: int
    entries: int
    warnings: list[str]


class Rules(NamedTuple):
    """How entries become files. The defaults are those of layers; copying into a container has others.

    ``whiteouts``: names that begin with ``.wh.`` stand for what is deleted. ``replace_folders``: something else may
    take a folder's place. ``keep_files``: a folder may not take the place of something else. ``owner`` (uid, gid) of
    everything, in place of the archive's; ``owners`` tells what it is on disk. ``resolve``: how openat2(2) walks;
    ``prefix``: below which path of the root. ``absolute_names`` count from there, too, as in Docker.
    """

    whiteouts: bool = True
    replace_folders: bool = False
    keep_files: bool = False
    owner: tuple[int, int] | None = None
    owners: Owners = Owners()
    resolve: int = _BENEATH
    prefix: tuple[bytes, ...] = ()
    absolute_names: bool = False


def write_layer(stream: Stream, root_fd: int, limits: Limits, rules: Rules = Rules()) -> Written:
    """Apply every entry of a layer's tar to the empty folder ``root_fd``. Raises InvalidArgument, OSError."""
    writer = LayerWriter(stream, root_fd, limits, rules)
    umask = os.umask(0)
    try:
        for entry in tar.entries(stream, limits):
            writer.apply(entry)
        writer.finish()
    finally:
        os.umask(umask)
        writer.close()
    return Written(writer.size_bytes, writer.count, writer.warnings)


class LayerWriter:
    """Applies entries one by one; ``finish`` sets what must come last."""

    def __init__(self, stream: Stream, root_fd: int, limits: Limits, rules: Rules = Rules()) -> None:
        self._stream = stream
        self._rules = rules
        self._limits = limits
        self._folders = Folders(root_fd, rules.resolve)
        self._names = Names(rules.prefix)
        self._made: _Made | None = None  # the last file, while nothing but files come
        self._folder_times: dict[bytes, int] = {}
        self.size_bytes = 0
        self.count = 0
        self.warnings: list[str] = []
        self._ids = mapped_ids() if in_user_namespace() else None
        self._changes_owners = bool(rules.owner is not None or rules.owners.users or self._ids is not None)
        self._squashed = self._devices = 0
        self._make: dict[bytes, Callable[[Entry, int, bytes], None]] = {
            tar.REGULAR: self._make_file,
            tar.HARD_LINK: self._make_hard_link,
            tar.SYMLINK: self._make_symlink,
            tar.FOLDER: self._make_folder,
            tar.CHARACTER: self._make_node,
            tar.BLOCK_DEVICE: self._make_node,
            tar.FIFO: self._make_node,
        }

    def apply(self, entry: Entry) -> None:
        """Raises InvalidArgument with the entry's name, or OSError where the machine is at fault."""
        self.count += 1
        self._folders.close_forgotten()
        try:
            self._apply(entry)
        except OSError as error:
            reason = ARCHIVES_FAULT.get(error.errno or 0)
            if reason is None:
                raise OSError(error.errno, error.strerror, f"layer entry {shown(entry.name)}") from error
            raise refused(entry, reason) from error

    def _apply(self, entry: Entry) -> None:
        rules = self._rules
        path = entry.name.lstrip(b"/") if rules.absolute_names else entry.name
        make = self._make.get(entry.kind)
        name = self._names.enter(path, entry)
        if make is None:
            raise refused(entry, f"is of the unsupported type {shown(entry.kind)!r}")
        if not name:
            self._check_root(entry)
            return
        if self._changes_owners:
            self._set_owner(entry)
        if entry.kind != tar.REGULAR:
            self._made = None
        if rules.whiteouts and WHITEOUT in path and self._is_whiteout(entry, components_of(path, entry)):
            self._made = None
            return
        make(entry, self._folders.get(self._names.folder), name)

    def _set_owner(self, entry: Entry) -> None:
        if self._rules.owner is not None:
            entry.uid, entry.gid = self._rules.owner
        if self._rules.owners.users:
            entry.uid, entry.gid = self._rules.owners.on_disk(entry.uid, entry.gid)
        if self._ids is not None:
            self._squash(entry, *self._ids)

    def _is_whiteout(self, entry: Entry, components: list[bytes]) -> bool:
        """Whether the entry stands for something that is deleted; then it has been dealt with."""
        if components[0].startswith(WHITEOUT_META) and components[0] != OPAQUE:
            self._stream.skip(entry.stored_bytes)  # the records of AUFS itself in layers of Docker's first years
            return True
        parent, name = b"/".join(components[:-1]), components[-1]
        if parent.startswith(WHITEOUT) or b"/" + WHITEOUT in parent:
            raise refused(entry, "lies below a whiteout")
        if not name.startswith(WHITEOUT):
            return False
        self._whiteout(entry, parent, name)
        return True

    def _squash(self, entry: Entry, users: Ids, groups: Ids) -> None:
        """In a user namespace what belongs to ids that it has no numbers for belongs to its root."""
        uid, gid = entry.uid if is_mapped(entry.uid, users) else 0, entry.gid if is_mapped(entry.gid, groups) else 0
        if (uid, gid) != (entry.uid, entry.gid):
            entry.uid, entry.gid = uid, gid
            self._squashed += 1

    @staticmethod
    def _check_root(entry: Entry) -> None:
        if entry.kind != tar.FOLDER:
            raise refused(entry, "replaces the layer's root")

    # --- entries ---

    def _make_folder(self, entry: Entry, parent_fd: int, name: bytes) -> None:
        self._stream.skip(entry.stored_bytes)
        try:
            fd = self._folders.make(parent_fd, name, None, entry.mode)
        except FileExistsError:
            fd = self._folder_in_place(entry, parent_fd, name)
        try:
            there = os.fstat(fd)
            if (there.st_uid, there.st_gid) != (entry.uid, entry.gid):
                os.fchown(fd, entry.uid, entry.gid)
            self._set_xattrs(entry, fd)
            if there.st_mode & 0o7777 != entry.mode:
                os.fchmod(fd, entry.mode)
        except BaseException:
            os.close(fd)
            raise
        parts = (part for part in entry.name.split(b"/") if part not in (b"", b"."))
        path = b"/".join((*self._rules.prefix, *parts))
        self._folder_times[path] = entry.mtime_ns
        self._folders.keep(path, fd)

    def _folder_in_place(self, entry: Entry, parent_fd: int, name: bytes) -> int:
        """Of what is there already: the folder itself, or one in the place of something else."""
        found = os.lstat(name, dir_fd=parent_fd)
        if stat.S_ISDIR(found.st_mode):
            return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=parent_fd)
        if self._rules.keep_files:
            raise refused(entry, "is a folder, where the container has something else")
        return self._folders.make(parent_fd, name, found, entry.mode)

    def _make_file(self, entry: Entry, parent_fd: int, name: bytes) -> None:
        self.size_bytes += entry.size_bytes
        if self.size_bytes > self._limits.bytes:
            raise refused(entry, f"takes the layer over the limit of {self._limits.bytes} bytes")
        permissions = entry.mode & 0o777
        try:
            fd = os.open(name, _FILE_FLAGS, permissions, dir_fd=parent_fd)
        except FileExistsError:
            self._clear(entry, parent_fd, name)
            fd = os.open(name, _FILE_FLAGS, permissions, dir_fd=parent_fd)
        try:
            if entry.fragments is None:
                self._stream.copy(entry.stored_bytes, fd)
            else:
                self._copy_fragments(entry, fd)
            made = self._made
            if made is None or made.permissions != permissions or made.folder != self._names.folder:
                made = self._made = self._look(fd, permissions)
            if made.owner != (entry.uid, entry.gid):
                os.fchown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                self._set_xattrs(entry, fd)
            if made.mode != entry.mode:
                os.fchmod(fd, entry.mode)  # after chown, which clears the set-id bits
            mtime_ns = storable_time_ns(entry.mtime_ns)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
            if entry.stored_bytes >= _LARGE_BYTES:
                start_writeback(fd)
        finally:
            os.close(fd)

    def _look(self, fd: int, permissions: int) -> _Made:
        """Most files are right as they were made: a look at one of them costs less than two writes to each inode."""
        found = os.fstat(fd)
        return _Made(self._names.folder, permissions, (found.st_uid, found.st_gid), found.st_mode & 0o7777)

    def _copy_fragments(self, entry: Entry, fd: int) -> None:
        assert entry.fragments is not None
        for offset, length in entry.fragments:
            os.lseek(fd, offset, os.SEEK_SET)
            self._stream.copy(length, fd)
        os.ftruncate(fd, entry.size_bytes)

    def _make_symlink(self, entry: Entry, parent_fd: int, name: bytes) -> None:
        if not entry.link:
            raise refused(entry, "is a symbolic link to nothing")
        try:
            os.symlink(entry.link, name, dir_fd=parent_fd)
        except FileExistsError:
            self._clear(entry, parent_fd, name)
            os.symlink(entry.link, name, dir_fd=parent_fd)
        self._set_attributes(entry, parent_fd, name, is_symlink=True)

    def _make_node(self, entry: Entry, parent_fd: int, name: bytes) -> None:
        if entry.kind == tar.CHARACTER and entry.device == 0:
            raise refused(entry, "is the device 0:0, which stands for a deleted file in a layer")
        kind = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}[entry.kind]
        try:
            os.mknod(name, kind | 0o600, entry.device, dir_fd=parent_fd)
        except FileExistsError:
            self._clear(entry, parent_fd, name)
            os.mknod(name, kind | 0o600, entry.device, dir_fd=parent_fd)
        except PermissionError:
            if self._ids is None:
                raise
            self._devices += 1  # nobody can make one in a user namespace
            return
        self._set_attributes(entry, parent_fd, name, is_symlink=False)

    def _set_attributes(self, entry: Entry, parent_fd: int, name: bytes, *, is_symlink: bool) -> None:
        """Of what has just been made and can't be opened. chmod(2) would follow a symbolic link, which has no mode."""
        os.chown(name, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
        if entry.xattrs:
            self._set_xattrs(entry, b"/proc/self/fd/%d/%s" % (parent_fd, name))
        if not is_symlink:
            os.chmod(name, entry.mode, dir_fd=parent_fd)
        mtime_ns = storable_time_ns(entry.mtime_ns)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent_fd, follow_symlinks=False)

    def _make_hard_link(self, entry: Entry, parent_fd: int, name: bytes) -> None:
        target = components_of(entry.link.lstrip(b"/"), entry)  # an absolute target counts from the layer's root
        if not target:
            raise refused(entry, "is a hard link to nothing")
        target_name = target.pop()
        path = b"/".join((*self._rules.prefix, *target))
        target_fd = self._folders.open(path)
        try:
            found = os.lstat(target_name, dir_fd=target_fd)
            if stat.S_ISDIR(found.st_mode) or is_whiteout(found):
                raise refused(entry, f'is a hard link to "{shown(entry.link)}", which is no file')
            there = lstat(parent_fd, name)
            if there is not None:
                if os.path.samestat(there, found):
                    return  # unlinking the name first could remove the target itself
                self._clear(entry, parent_fd, name)
            os.link(target_name, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
            # as Docker and containerd do: where a link's header differs from its target's, the last one counts
            self._set_attributes(entry, parent_fd, name, is_symlink=stat.S_ISLNK(found.st_mode))
        finally:
            os.close(target_fd)

    def _clear(self, entry: Entry, parent_fd: int, name: bytes) -> None:
        """Remove what an earlier entry, or a whiteout, left under this name."""
        self._made = None
        found = os.lstat(name, dir_fd=parent_fd)
        if stat.S_ISDIR(found.st_mode):
            if not self._rules.replace_folders:
                raise refused(entry, "replaces a folder of the same layer by something else")
            shutil.rmtree(name, dir_fd=parent_fd)
            self._folders.forget()
            return
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            self.size_bytes -= found.st_size
        self._folders.unlink(parent_fd, name)

    def _set_xattrs(self, entry: Entry, target: int | bytes) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(_RESERVED_XATTRS):
                raise refused(entry, f"has the extended attribute {shown(name)!r}, which is overlay's own")
            if b"\0" in name or not name:
                raise refused(entry, "has an extended attribute without a proper name")
            try:
                if isinstance(target, int):
                    os.setxattr(target, name, value)
                else:
                    os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP and (error.errno != errno.EPERM or self._ids is None):
                    raise
                self._warn(f'extended attribute {shown(name)!r} of "{shown(entry.name)}" is not supported here')

    def _warn(self, text: str) -> None:
        if len(self.warnings) < 10:
            self.warnings.append(text)

    # --- whiteouts ---

    def _whiteout(self, entry: Entry, parent: bytes, name: bytes) -> None:
        if entry.kind not in (tar.REGULAR, tar.HARD_LINK) or entry.size_bytes:
            raise refused(entry, "is a whiteout but no empty file")
        if name == OPAQUE:
            os.setxattr(self._folders.get(parent), opaque_xattr(), b"y")
            if not parent:
                self._warn("the layer hides everything below it, which overlay does not do for the root")
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in (b"", b".", b"..") or hidden.startswith(WHITEOUT):
            raise refused(entry, "is a whiteout of nothing that could exist")
        parent_fd = self._folders.get(parent)
        found = lstat(parent_fd, hidden)
        if found is None:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent_fd)
            os.chown(hidden, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
        elif stat.S_ISDIR(found.st_mode):
            # the layer has a new folder of this name, above the whiteout: it hides what lies below it
            fd = os.open(hidden, FOLDER | os.O_NOFOLLOW, dir_fd=parent_fd)
            try:
                os.setxattr(fd, opaque_xattr(), b"y")
            finally:
                os.close(fd)

    # --- the end ---

    def finish(self) -> None:
        """The folders' times, which every entry below them has changed, and the digest's last bytes."""
        for path, time_ns in self._folder_times.items():
            try:
                fd = self._folders.open(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it lay below a link that a later entry replaced
            try:
                mtime_ns = storable_time_ns(time_ns)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)
        if self._squashed:
            self._warn(f"{self._squashed} entries have owners that are unknown in this user namespace: now root")
        if self._devices:
            self._warn(f"{self._devices} device nodes are left out: nobody can make them in a user namespace")
        self._stream.drain()

    def close(self) -> None:
        self._folders.close()
