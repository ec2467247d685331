"""Mounts: mount(2), umount2(2), pivot_root(2), and the calls that work on descriptors (Linux 5.12).

A mount that is made or cloned as a descriptor is *detached* until ``move_mount`` puts it somewhere: its target is a
descriptor too, so that nobody who can rename or link paths decides where it lands.
"""

from __future__ import annotations

import errno
import os
import struct

from engine.kernel import ctypes
from engine.kernel.libc import (
    LIBC,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_open_tree,
    SYS_pivot_root,
    check,
    syscall,
)

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
FSCONFIG_CMD_CREATE = 6
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSMOUNT_CLOEXEC = 1
FSOPEN_CLOEXEC = 1
MNT_DETACH = 2
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MS_BIND = 0x1000
MS_PRIVATE = 1 << 18
MS_REC = 0x4000
MS_SHARED = 1 << 20
MS_SLAVE = 1 << 19
MS_UNBINDABLE = 1 << 17
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
OPEN_TREE_CLONE = 1

FSCONFIG_STRING_BYTES = 255
"""The longest value that fsconfig(2) takes as a string."""

LIBC.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
LIBC.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]


_MOUNT_ATTR = struct.Struct("QQQQ")
"""struct mount_attr: attr_set, attr_clr, propagation, userns_fd."""


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    check(LIBC.mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    check(LIBC.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2). With "." for both, the old root lies on top of the new one and can be unmounted at once."""
    syscall(SYS_pivot_root, _path(new_root), _path(put_old), subject=new_root)


def fsopen(kind: str) -> int:
    """fsopen(2): the context in which a file system is configured."""
    return syscall(SYS_fsopen, _path(kind), FSOPEN_CLOEXEC, subject=kind)


def fsconfig_string(context: int, key: str, value: str) -> None:
    """fsconfig(2): ``key=value``. The error says what the kernel noted down about it."""
    try:
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, _path(key), _path(value), 0, subject=f"{key}={value}")
    except OSError as error:
        raise _explained(context, error) from error


def fsconfig_flag(context: int, key: str) -> None:
    """fsconfig(2): an option without a value."""
    try:
        syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, _path(key), None, 0, subject=key)
    except OSError as error:
        raise _explained(context, error) from error


def fsconfig_create(context: int, subject: str) -> None:
    """fsconfig(2): make the file system from what was set so far."""
    try:
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, None, None, 0, subject=subject)
    except OSError as error:
        raise _explained(context, error) from error


def _explained(context: int, error: OSError) -> OSError:
    """Add the first error message that waits in the context ("e overlay: ..."), which errno alone doesn't tell."""
    try:
        note = os.read(context, 1024).decode(errors="replace").strip()
    except OSError:
        return error  # ENODATA: it has nothing to say
    return OSError(error.errno, f"{error.strerror} ({note[2:]})", error.filename)


def fsmount(context: int, attributes: int = 0) -> int:
    """fsmount(2): a detached mount of the context's file system."""
    return syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes, subject="fsmount")


def open_tree(dir_fd: int, path: str, flags: int) -> int:
    """open_tree(2); with OPEN_TREE_CLONE, a detached clone of the mount (with AT_RECURSIVE, of all below too)."""
    return syscall(SYS_open_tree, dir_fd, _path(path), flags | OPEN_TREE_CLOEXEC, subject=path)


def move_mount(mount_fd: int, target_fd: int, subject: str) -> None:
    """move_mount(2): attach a detached mount on what ``target_fd`` has open; ``subject`` names it in errors."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    syscall(SYS_move_mount, mount_fd, b"", target_fd, b"", flags, subject=subject)


def mount_setattr(
    mount_fd: int, *, attributes: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False, subject: str,
    user_namespace: int = 0,
) -> None:  # fmt: skip
    """mount_setattr(2) on a mount that is open. A mount of a kernel before 5.12 can't be changed so (ENOSYS).

    ``user_namespace`` is the descriptor of the one that maps owners, with MOUNT_ATTR_IDMAP."""
    change = _MOUNT_ATTR.pack(attributes, clear, propagation, user_namespace)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall(SYS_mount_setattr, mount_fd, b"", flags, change, len(change), subject=subject)


def _path(text: str) -> bytes:
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "a path can't hold a NUL character", text)
    return encoded
