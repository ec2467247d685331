"""Opening paths inside a tree that somebody hostile may have made (openat2(2)), and bringing files to the disk."""

from __future__ import annotations

import os
import struct

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, SYS_openat2, check, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_SYNC_FILE_RANGE_WRITE = 2

_STATFS_BYTES = 120

LIBC.fstatfs.argtypes = [ctypes.c_int, ctypes.c_char_p]
LIBC.syncfs.argtypes = [ctypes.c_int]
LIBC.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


_OPEN_HOW = struct.Struct("QQQ")
"""struct open_how: flags, mode, resolve."""


def openat2(dir_fd: int, path: str | bytes, flags: int, mode: int = 0, *, resolve: int) -> int:
    """openat2(2), close-on-exec always. With RESOLVE_IN_ROOT ``dir_fd`` is the root for ``..`` and absolute links."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    encoded = os.fsencode(path)
    while True:
        try:
            return syscall(SYS_openat2, dir_fd, encoded, how, len(how), subject=path)
        except BlockingIOError:
            continue  # EAGAIN: a rename raced with the walk up a "..", the man page says to try again


def open_in_root(root_fd: int, path: str | bytes, flags: int, mode: int = 0) -> int:
    """Open as a process chrooted into ``root_fd`` would, and never through /proc's magic links."""
    return openat2(root_fd, path, flags, mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def file_system_type(fd: int) -> int:
    """The magic number of the file system that ``fd`` lies on (fstatfs(2), whose struct begins with it)."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    check(LIBC.fstatfs(fd, found), fd)
    return ctypes.c_long.from_buffer(found).value


def syncfs(fd: int) -> None:
    """syncfs(2): write out everything of the file system that ``fd`` lies on, and wait."""
    check(LIBC.syncfs(fd), fd)


def start_writeback(fd: int) -> None:
    """sync_file_range(2): let the disk begin to write what a file holds, and don't wait. It makes nothing durable."""
    check(LIBC.sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE), fd)


def fsync_folder(path: str) -> None:
    """Make the names in a folder durable (fsync(2) of the folder itself)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
