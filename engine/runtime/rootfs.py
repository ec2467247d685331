"""The operations that make a container's root: overlay, mounts, device nodes, pivot_root, masked and read-only paths.

All targets are descriptors that openat2(2) found inside the new root (see ``targets``); mounts are made or cloned
detached and moved there. So no name that the image or another container controls is ever resolved by the host.
"""

from __future__ import annotations

import errno
import os
import stat

from engine.kernel import cgroups, mounts, namespaces
from engine.kernel.mounts import AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE
from engine.kernel.paths import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from engine.kernel.steps import step
from engine.runtime import copy_up, mount_options, overlay, owners, targets
from engine.runtime.mount_options import Options
from engine.runtime.setup import Json, Operation, Setup, load_nothing_more

_NO_LINKS = ("/proc", "/sys")
_SHARED_MEMORY = "/dev/shm"
_OF_HOST = {"proc": "/proc", "sysfs": "/sys", "mqueue": "/dev/mqueue"}
"""File systems that show a namespace, and where the host has its own mounted."""
_INTO_PROC = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime",
        "sys/crypto/fips_enabled", "sys/kernel/ns_last_pid",
    )
)  # fmt: skip
"""What lxcfs puts there, and runc lets it."""
_HIDDEN_PROC = "the kernel allows no new one where parts of the old one are hidden (is the engine in a container?)"


class OpenBindSources(Operation):
    """Clone the sources of bind mounts while the host's tree is in sight, and before its propagation is cut: a clone
    of a shared mount is a peer of it, which "rshared" and "rslave" need."""

    step = "rootfs.mounts"

    def execute(self, setup: Setup) -> None:
        for index, entry in enumerate(setup.mounts):
            if entry.get("type") != "bind" and not {"bind", "rbind"} & set(entry.get("options") or ()):
                continue
            options = mount_options.parse(entry.get("options") or ())
            shared = setup.plan.get("shared_memory") if entry["destination"] == _SHARED_MEMORY else None
            if shared:
                clone = _clone_in(shared, entry["source"])
            else:
                clone = clone_of_host(setup, entry, options)
            owners.shift(clone, entry, options)
            change(clone, options, entry["destination"])
            setup.sources[index] = clone


def clone_of_host(setup: Setup, entry: Json, options: Options) -> int:
    """Clone a source, and note for the evidence what path it really has, links resolved."""
    if options.data:
        word = options.data[0][0]
        raise OSError(errno.EINVAL, f"option {word} can't be given to a bind mount", entry["destination"])
    recursive = AT_RECURSIVE if options.recursive_bind else 0
    source = os.open(_absolute(entry["source"]), os.O_PATH | os.O_CLOEXEC)
    if subpath := (setup.plan.get("subpaths") or {}).get(entry["destination"]):
        source = _below(source, subpath)
    try:
        clone = mounts.open_tree(source, "", OPEN_TREE_CLONE | recursive | AT_EMPTY_PATH)
        access = "ro" if options.read_only else "rw"
        setup.binds.append([os.readlink(f"/proc/self/fd/{source}"), entry["destination"], access])
        return clone
    finally:
        os.close(source)


def _below(folder: int, subpath: str) -> int:
    """What lies in a volume; its links, which a container may have made, lead nowhere outside of it."""
    try:
        return openat2(folder, subpath, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except FileNotFoundError as error:
        raise OSError(error.errno, "the volume has no such path", subpath) from error
    finally:
        os.close(folder)


def _clone_in(namespace: Json, path: str) -> int:
    """Clone a mount of another mount namespace: only who is in it may. No link of the container's there is followed."""
    other = namespaces.open_existing("mount", namespace["path"], namespace["inode"])
    try:
        with namespaces.visiting("mount", other):
            target = openat2(-1, path, os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
            try:
                return mounts.open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)
            finally:
                os.close(target)
    finally:
        os.close(other)


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise OSError(errno.EINVAL, "the source of a bind mount must be absolute", path)
    return path


def change(mount_fd: int, options: Options, subject: str) -> None:
    """The mount's attributes and its propagation."""
    set_attributes(mount_fd, options, subject)
    propagation = options.propagation or mounts.MS_PRIVATE
    recursive = options.propagation_recursive or not options.propagation
    mounts.mount_setattr(mount_fd, propagation=propagation, recursive=recursive, subject=subject)


def set_attributes(mount_fd: int, options: Options, subject: str) -> None:
    """Those of the mount alone, then those that its mounts get, too."""
    _set_attributes(mount_fd, options.attributes, options.clear, False, subject)
    _set_attributes(mount_fd, *options.recursive, True, subject)


def _set_attributes(mount_fd: int, attributes: int, clear: int, recursive: bool, subject: str) -> None:
    if not (attributes or clear):
        return
    try:
        mounts.mount_setattr(mount_fd, attributes=attributes, clear=clear, recursive=recursive, subject=subject)
    except PermissionError:  # a user namespace can't take back what the host has restricted: it stays so
        if not namespaces.in_user_namespace():
            raise
        clear &= mounts.MOUNT_ATTR__ATIME
        mounts.mount_setattr(mount_fd, attributes=attributes, clear=clear, recursive=recursive, subject=subject)


class CutPropagation(Operation):
    """From here on no mount of this namespace gets out to the host."""

    step = "rootfs.overlay"

    def execute(self, setup: Setup) -> None:
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)


class MountRoot(Operation):
    """The image's layers under the writable one; or a plain folder, where the plan has no overlay."""

    step = "rootfs.overlay"

    def execute(self, setup: Setup) -> None:
        path = os.path.join(setup.plan["directory"], (setup.spec.get("root") or {}).get("path") or "rootfs")
        layers = setup.plan.get("overlay")
        if layers is None:
            clone = mounts.open_tree(-1, path, OPEN_TREE_CLONE | AT_RECURSIVE)
            mounts.mount_setattr(clone, propagation=mounts.MS_PRIVATE, recursive=True, subject=path)
            _attach(clone, os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), path)
        else:
            overlay.mount_overlay(layers["lower"], layers["upper"], layers["work"], path)
        setup.root_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class Mount(Operation):
    """One entry of the specification's ``mounts``."""

    step = "rootfs.mounts"

    def __init__(self, index: int, entry: Json) -> None:
        self._index = index
        self._entry = entry
        self._destination: str = entry["destination"]

    def describe(self, setup: Setup) -> str:
        return f"mount {self._entry.get('type') or 'bind'} on {self._destination}"

    def execute(self, setup: Setup) -> None:
        if not self._destination.startswith("/"):
            raise OSError(errno.EINVAL, "the destination of a mount must be absolute", self._destination)
        if (source := setup.sources.pop(self._index, None)) is not None:
            self._attach_source(setup, source)
            return
        options = mount_options.parse(self._entry.get("options") or ())
        kind = self._entry["type"]
        if kind in ("cgroup", "cgroup2"):
            self._mount_cgroups(setup, options)
            return
        target = self._target(setup)
        if kind == "tmpfs" and not any(key == "mode" for key, _ in options.data):
            options.data.append(("mode", f"{stat.S_IMODE(os.fstat(target).st_mode):o}"))  # as the folder that it hides
        if options.idmap or self._entry.get("uidMappings") or self._entry.get("gidMappings"):
            raise OSError(errno.EOPNOTSUPP, "only bind mounts can have mapped owners", self._destination)
        made = self._made(setup, kind, options)
        set_attributes(made, options.but(attributes=0, clear=0), self._destination)
        if kind == "proc":
            setup.proc_fd = os.dup(made)
            os.set_inheritable(setup.proc_fd, False)
        if options.copy_up:
            copy_up.fill(target, made)
        _attach(made, target, self._destination)

    def _made(self, setup: Setup, kind: str, options: Options) -> int:
        """A new mount; or, where it would show a namespace of the host's to a user namespace, a clone of the host's (an
        empty one where that has none)."""
        if kind == "devpts":
            groups = namespaces.mapped_ids()[1]
            kept = [one for one in options.data if one[0] != "gid" or namespaces.is_mapped(int(one[1] or 0), groups)]
            options = options.but(data=kept)
        try:
            return _make(kind, self._entry.get("source") or kind, options)
        except PermissionError as error:
            host = _OF_HOST.get(kind)
            if host is None or not namespaces.in_user_namespace():
                raise
            if kind == "proc" and "pid" in setup.new_namespaces:
                raise OSError(errno.EPERM, _HIDDEN_PROC, self._destination) from error
            if not os.path.ismount(host):
                return _make("tmpfs", "tmpfs", Options(mounts.MOUNT_ATTR_RDONLY, 0, 0, False, False, []))
            clone = mounts.open_tree(-1, host, OPEN_TREE_CLONE | AT_RECURSIVE)
            change(clone, options.but(recursive_bind=True, clear=0), self._destination)
            return clone

    def _attach_source(self, setup: Setup, source: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(source).st_mode)
        target = (targets.open_folder if is_folder else targets.open_file)(setup.root_fd, self._destination)
        if not is_folder and stat.S_ISDIR(os.fstat(target).st_mode):
            raise OSError(errno.ENOTDIR, "not a directory: a file can't be mounted on a directory", self._destination)
        self._stay_out_of_proc(setup, target)
        if is_folder and self._destination in (setup.plan.get("fill") or ()):
            with step("volume.fill"):
                copy_up.fill(target, source)
        _attach(source, target, self._destination)

    def _stay_out_of_proc(self, setup: Setup, target: int) -> None:
        """Whatever links lead there: what we and others write to the container's procfs must get to the kernel
        (CVE-2019-19921, CVE-2023-27561)."""
        is_inside = setup.proc_fd >= 0 and os.fstat(target).st_dev == os.fstat(setup.proc_fd).st_dev
        if is_inside and self._destination not in _INTO_PROC:
            raise OSError(errno.EPERM, "it is inside /proc, where nothing may be mounted", self._destination)

    def _target(self, setup: Setup) -> int:
        if self._destination.rstrip("/") in _NO_LINKS:
            return targets.open_plain_folder(setup.root_fd, self._destination)
        return targets.open_folder(setup.root_fd, self._destination)

    def _mount_cgroups(self, setup: Setup, options: Options) -> None:
        """The container's own part of each tree, and nothing beside it. On v1 a folder of trees, as Docker has it."""
        cgroup = cgroups.Cgroup(setup.plan["cgroup_path"])
        if not cgroup.folders:
            return  # an ordinary user's engine, to which none is delegated
        target = self._target(setup)
        if cgroup.hierarchy.mode == "v2":
            _attach(_clone(cgroup.unified_folder, options), target, self._destination)
            return
        folder = _make("tmpfs", "cgroup", options.but(attributes=0, data=[("mode", "755")]))
        mounts.move_mount(folder, target, self._destination)
        os.close(target)
        for point, names in cgroup.hierarchy.trees.items():
            name = os.path.basename(point)
            os.mkdir(name, 0o755, dir_fd=folder)
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
            _attach(mounts.open_tree(-1, cgroup.folders[point], OPEN_TREE_CLONE), below, f"{self._destination}/{name}")
            for alias in names if len(names) > 1 else ():
                os.symlink(name, alias, dir_fd=folder)
        mounts.mount_setattr(
            folder, attributes=options.attributes, propagation=mounts.MS_PRIVATE, recursive=True,
            subject=self._destination,
        )  # fmt: skip
        os.close(folder)


def _clone(path: str | None, options: Options) -> int:
    clone = mounts.open_tree(-1, path or "/", OPEN_TREE_CLONE)
    mounts.mount_setattr(clone, attributes=options.attributes, propagation=mounts.MS_PRIVATE, subject=path or "/")
    return clone


def _make(kind: str, source: str, options: Options) -> int:
    """A new, detached mount of a file system."""
    context = mounts.fsopen(kind)
    try:
        mounts.fsconfig_string(context, "source", source)
        for key, value in options.data:
            if value is None:
                mounts.fsconfig_flag(context, key)
            else:
                mounts.fsconfig_string(context, key, value)
        mounts.fsconfig_create(context, kind)
        return mounts.fsmount(context, options.attributes)
    finally:
        os.close(context)


def _attach(mount_fd: int, target_fd: int, subject: str) -> None:
    """Move a detached mount to its target; both descriptors are closed."""
    try:
        mounts.move_mount(mount_fd, target_fd, subject)
    finally:
        os.close(mount_fd)
        os.close(target_fd)


class PivotRoot(Operation):
    """Make the overlay the root; the host's tree is gone from this namespace."""

    step = "rootfs.pivot"

    def execute(self, setup: Setup) -> None:
        load_nothing_more()
        os.fchdir(setup.root_fd)
        mounts.pivot_root(".", ".")
        mounts.umount(".", mounts.MNT_DETACH)  # the old root lies on top of the new one: see pivot_root(2)
        os.chdir("/")


class FinishRoot(Operation):
    """``readonly``, and the propagation that the specification wants for the root: for its mount alone, since those on
    it have their own."""

    step = "rootfs.mask"

    def execute(self, setup: Setup) -> None:
        if found := mount_options.propagation_of(setup.linux.get("rootfsPropagation") or "rprivate"):
            mounts.mount_setattr(setup.root_fd, propagation=found[0], subject="/")
        if (setup.spec.get("root") or {}).get("readonly"):
            mounts.mount_setattr(setup.root_fd, attributes=mounts.MOUNT_ATTR_RDONLY, subject="/")


class ReadonlyPath(Operation):
    """A path that can be looked at and not written."""

    step = "rootfs.mask"

    def __init__(self, path: str) -> None:
        self._path = path

    def describe(self, setup: Setup) -> str:
        return f"make {self._path} read-only"

    def execute(self, setup: Setup) -> None:
        target = targets.open_existing(setup.root_fd, self._path)
        if target is None:
            return
        clone = mounts.open_tree(target, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH)
        mounts.mount_setattr(clone, attributes=mounts.MOUNT_ATTR_RDONLY, recursive=True, subject=self._path)
        _attach(clone, target, self._path)


class MaskPath(Operation):
    """A path that reads as nothing: an empty, read-only folder, or /dev/null."""

    step = "rootfs.mask"

    def __init__(self, path: str) -> None:
        self._path = path

    def describe(self, setup: Setup) -> str:
        return f"mask {self._path}"

    def execute(self, setup: Setup) -> None:
        target = targets.open_existing(setup.root_fd, self._path)
        if target is None:
            return
        if stat.S_ISDIR(os.fstat(target).st_mode):
            cover = self._empty_folder(setup)
        else:
            cover = _null_device(setup.root_fd)
        _attach(cover, target, self._path)

    @staticmethod
    def _empty_folder(setup: Setup) -> int:
        """One file system for all of them: it can't be written to anywhere, and each takes the kernel a while."""
        if setup.cover_fd >= 0:
            return mounts.open_tree(setup.cover_fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)
        data: list[tuple[str, str | None]] = [("nr_blocks", "1"), ("nr_inodes", "1")]
        cover = _make("tmpfs", "tmpfs", Options(mounts.MOUNT_ATTR_RDONLY, 0, 0, False, False, data))
        setup.cover_fd = os.dup(cover)
        os.set_inheritable(setup.cover_fd, False)
        return cover


def _null_device(root_fd: int) -> int:
    """A clone of the container's /dev/null, if that is what it says: an image could have a link or a file there."""
    null = targets.open_existing(root_fd, "/dev/null")
    if null is None:
        raise OSError(errno.ENOENT, "it is needed to mask files with", "/dev/null")
    try:
        found = os.fstat(null)
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
            raise OSError(errno.ENODEV, "it is not the null device", "/dev/null")
        return mounts.open_tree(null, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)
    finally:
        os.close(null)
