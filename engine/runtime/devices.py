"""The operations that fill /dev: nodes, links, and the container's terminal."""

from __future__ import annotations

import errno
import os
import stat

from engine.kernel import mounts
from engine.kernel.mounts import AT_EMPTY_PATH, OPEN_TREE_CLONE
from engine.kernel.paths import open_in_root
from engine.kernel.terminals import make_controlling, open_terminal, set_window_size
from engine.runtime import targets
from engine.runtime.setup import Json, Operation, Setup

_LINKS = (
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"), ("ptmx", "pts/ptmx"),
)  # fmt: skip
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


class DeviceNode(Operation):
    """One entry of ``linux.devices``: by mknod(2), or, where that is forbidden, bound from the host."""

    step = "rootfs.devices"

    def __init__(self, device: Json) -> None:
        self._device = device
        self._path: str = device["path"]

    def describe(self, setup: Setup) -> str:
        return f"make {self._path}"

    def execute(self, setup: Setup) -> None:
        folder, _, name = self._path.rpartition("/")
        parent = targets.open_folder(setup.root_fd, folder or "/")
        try:
            mode = _KINDS[self._device["type"]] | (self._device.get("fileMode") or 0o666)
            number = os.makedev(self._device.get("major") or 0, self._device.get("minor") or 0)
            try:
                os.mknod(name, mode, number, dir_fd=parent)
            except FileExistsError:
                self._check(parent, name, mode, number)
                return
            except PermissionError:
                self._bind(setup)
                return
            owner = self._device.get("uid") or 0, self._device.get("gid") or 0
            if owner != (0, 0):
                os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)

    def _check(self, parent: int, name: str, mode: int, number: int) -> None:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(mode) or found.st_rdev != number:
            raise OSError(errno.EEXIST, "the image has something else here", self._path)

    def _bind(self, setup: Setup) -> None:
        """In a user namespace mknod is EPERM; the host's node is as good, if it is one."""
        clone = mounts.open_tree(-1, self._device.get("source") or self._path, OPEN_TREE_CLONE)
        try:
            if os.fstat(clone).st_rdev != os.makedev(self._device["major"], self._device["minor"]):
                raise OSError(errno.ENODEV, "the host has another device here", self._path)
            target = targets.open_file(setup.root_fd, self._path)
            try:
                mounts.move_mount(clone, target, self._path)
            finally:
                os.close(target)
        finally:
            os.close(clone)


class DeviceLinks(Operation):
    """/dev/fd, /dev/stdin and so on, where the image has nothing of the name."""

    step = "rootfs.devices"

    def execute(self, setup: Setup) -> None:
        folder = targets.open_folder(setup.root_fd, "/dev")
        try:
            for name, target in _LINKS:
                try:
                    os.symlink(target, name, dir_fd=folder)
                except FileExistsError:
                    continue
        finally:
            os.close(folder)


class Terminal(Operation):
    """A pseudo-terminal of the container's own devpts as stdio and /dev/console. The shim gets the other end."""

    step = "rootfs.devices"

    def __init__(self, *, console: bool) -> None:
        self._console = console

    def execute(self, setup: Setup) -> None:
        ptmx = open_in_root(setup.root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        setup.terminal_fd, slave = open_terminal(ptmx)
        size = setup.plan.get("console_size") or setup.process.get("consoleSize") or {}
        if size.get("height") and size.get("width"):
            set_window_size(slave, size["height"], size["width"])
        make_controlling(slave)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        if self._console:
            clone = mounts.open_tree(slave, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)
            target = targets.open_file(setup.root_fd, "/dev/console")
            mounts.move_mount(clone, target, "/dev/console")
            os.close(clone)
            os.close(target)
        os.close(slave)
