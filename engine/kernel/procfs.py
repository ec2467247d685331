"""The kernel's own /proc, with nothing mounted over what is opened there (proc(5), statfs(2))."""

from __future__ import annotations

import errno
import os

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, check
from engine.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_XDEV, openat2

_MAGIC, _ROOT_INODE = 0x9FA0, 1
_STATFS_BYTES = 120

LIBC.fstatfs.argtypes = [ctypes.c_int, ctypes.c_char_p]


def open_own(path: str, flags: int, place: str = "/proc") -> int:
    """The caller's file at /proc/self/``path``. Raises OSError: EXDEV where that would be another file than the
    kernel's (CVE-2019-19921, CVE-2025-52881)."""
    root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _type_of(root) != _MAGIC or os.fstat(root).st_ino != _ROOT_INODE:
            raise OSError(errno.EXDEV, "it is not the kernel's", place)
        return openat2(root, f"self/{path}", flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_XDEV)
    finally:
        os.close(root)


def _type_of(fd: int) -> int:
    """The magic number of a file system: struct statfs begins with it."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    check(LIBC.fstatfs(fd, found), fd)
    return ctypes.c_long.from_buffer(found).value
