"""Which file a running process is said to be: /proc/PID/exe (prctl(2), PR_SET_MM_MAP).

Linux changes it for who has CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN and maps no page of the old file any more. So each
of those pages is replaced, in place, by a copy of itself in anonymous memory.
"""

from __future__ import annotations

import errno
import os
import struct

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, check, oserror

PR_SET_MM, PR_SET_MM_MAP = 35, 14
_MAP_PRIVATE_ANONYMOUS = 0x22
_MREMAP_TO_THERE = 3  # MREMAP_MAYMOVE | MREMAP_FIXED
_READ, _WRITE, _EXECUTE = 1, 2, 4
_MOST_BYTES = 256 * 1024
"""A program that is a doorstep to its libraries, as Python is where it was built with a shared libpython. What has its
own data in it can't be copied while it runs."""
_FAILED = ctypes.c_void_p(-1).value

LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mmap.restype = LIBC.mremap.restype = LIBC.sbrk.restype = ctypes.c_void_p
LIBC.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def become(fd: int) -> None:
    """From now on this process, and what it forks, is said to be the file of a descriptor, which must be executable.

    The caller has one thread. Raises OSError: EFBIG where this program is one that can't be copied, EPERM without the
    capability, EINVAL where the kernel was built without CONFIG_CHECKPOINT_RESTORE.
    """
    ranges = _own_ranges()
    if sum(end - start for start, end, _ in ranges) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "it is not built with a shared library", os.readlink("/proc/self/exe"))
    for start, end, protection in ranges:
        _copy_in_place(start, end - start, protection)
    given = ctypes.create_string_buffer(_memory_map(fd))
    check(LIBC.prctl(PR_SET_MM, PR_SET_MM_MAP, given, len(given) - 1, 0), "PR_SET_MM_MAP")


def _own_ranges() -> list[tuple[int, int, int]]:
    """Start, end and protection of what is mapped of this program's file."""
    program = os.stat("/proc/self/exe").st_ino
    path = os.readlink("/proc/self/exe")
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(None, 5)
            if len(fields) == 6 and int(fields[4]) == program and fields[5] == path:
                start, end = (int(number, 16) for number in fields[0].split("-"))
                bits = zip(fields[1], (_READ, _WRITE, _EXECUTE), strict=False)
                found.append((start, end, sum(bit for letter, bit in bits if letter != "-")))
            elif found:
                break  # they lie together, first of all: the kernel refuses where one was left
    return found


def _copy_in_place(start: int, size: int, protection: int) -> None:
    fresh = LIBC.mmap(None, size, _READ | _WRITE, _MAP_PRIVATE_ANONYMOUS, -1, 0)
    if fresh == _FAILED:
        raise oserror("mmap")
    ctypes.memmove(fresh, start, size)
    check(LIBC.mprotect(fresh, size, protection), "mprotect")
    if LIBC.mremap(fresh, size, size, _MREMAP_TO_THERE, start) != start:
        raise oserror("mremap")


def _memory_map(fd: int) -> bytes:
    """struct prctl_mm_map: all as it is (proc_pid_stat(5)), but for the file."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    code, end_of_code, stack = (int(field) for field in fields[23:26])
    data, end_of_data, heap, *rest = (int(field) for field in fields[42:49])
    return struct.pack("12Q2I", code, end_of_code, data, end_of_data, heap, LIBC.sbrk(0), stack, *rest, 0, 0, fd)
