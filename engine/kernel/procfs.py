"""The kernel's own /proc, with nothing mounted over what is opened there (proc(5))."""

from __future__ import annotations

import errno
import os

from engine.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_XDEV, file_system_type, openat2

_MAGIC, _ROOT_INODE = 0x9FA0, 1


def open_own(path: str, flags: int, place: str = "/proc") -> int:
    """The caller's file at /proc/self/``path``. Raises OSError: EXDEV where that would be another file than the
    kernel's (CVE-2019-19921, CVE-2025-52881)."""
    root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if file_system_type(root) != _MAGIC or os.fstat(root).st_ino != _ROOT_INODE:
            raise OSError(errno.EXDEV, "it is not the kernel's", place)
        return openat2(root, f"self/{path}", flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_XDEV)
    finally:
        os.close(root)
