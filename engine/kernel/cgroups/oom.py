"""Being told when the OOM killer comes: one descriptor to poll, whichever version the memory controller has."""

from __future__ import annotations

import os

from engine.kernel import ctypes
from engine.kernel.cgroups import files
from engine.kernel.libc import LIBC, check

IN_MODIFY = 0x2

LIBC.inotify_init1.argtypes = [ctypes.c_int]
LIBC.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


def watch_v1(folder: str) -> int:
    """An eventfd that the kernel signals when the cgroup runs out of memory, and once when the cgroup is removed.

    The signal comes before the kill, so a count that is read right after it may still be the old one.
    """
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{folder}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.write(folder, "cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
    except OSError:
        os.close(event)
        raise
    return event


def watch_v2(folder: str) -> int:
    """An inotify(7) descriptor on memory.events, which the kernel marks as modified at each event."""
    path = f"{folder}/memory.events"
    watch = check(LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), path)
    try:
        check(LIBC.inotify_add_watch(watch, os.fsencode(path), IN_MODIFY), path)
    except OSError:
        os.close(watch)
        raise
    return watch
