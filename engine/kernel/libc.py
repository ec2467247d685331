"""The one door to the C library, and how its failures become ``OSError``."""

from __future__ import annotations

import errno as errno_
import os

from engine.kernel import ctypes

LIBC = ctypes.Library()
"""Releases the GIL around calls; ``PYLIBC`` keeps it, which fork-like calls need."""
PYLIBC = ctypes.Library(keeps_the_lock=True)

MACHINE = os.uname().machine
if MACHINE not in ("x86_64", "aarch64"):
    raise OSError(errno_.ENOSYS, f"system call numbers of {MACHINE} are not known", MACHINE)
_X86 = MACHINE == "x86_64"

# numbers above 423 are the same on every architecture
SYS_clone = 56 if _X86 else 220
SYS_pivot_root = 155 if _X86 else 41
SYS_capget = 125 if _X86 else 90
SYS_capset = 126 if _X86 else 91
SYS_keyctl = 250 if _X86 else 219
SYS_sched_setattr = 314 if _X86 else 274
SYS_ioprio_set = 251 if _X86 else 30
SYS_seccomp = 317 if _X86 else 277
SYS_bpf = 321 if _X86 else 280
SYS_open_tree = 428
SYS_move_mount = 429
SYS_fsopen = 430
SYS_fsconfig = 431
SYS_fsmount = 432
SYS_clone3 = 435
SYS_close_range = 436
SYS_openat2 = 437
SYS_pidfd_getfd = 438
SYS_mount_setattr = 442
SYS_quotactl_fd = 443

_MOST_ARGUMENTS = 6
_syscalls = [
    LIBC.function("syscall", ctypes.c_long, (ctypes.c_long, *[ctypes.c_void_p] * count))
    for count in range(_MOST_ARGUMENTS + 1)
]
"""syscall(2) by its number of arguments. Each is as wide as a pointer, as the kernel wants it; ctypes makes that of
integers, bytes, None and references, and by types that were declared before it is twice as quick as without."""

LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 4]


def oserror(subject: object = None) -> OSError:
    """The error that the last C call left, about ``subject`` (a path, a name, a number)."""
    code = ctypes.get_errno()
    if subject is None:
        return OSError(code, os.strerror(code))
    return OSError(code, os.strerror(code), str(subject))


def check(result: int, subject: object = None) -> int:
    """Pass a C result through, or raise what errno says where it is negative."""
    if result < 0:
        raise oserror(subject)
    return result


def syscall(number: int, *arguments: object, subject: object = None) -> int:
    """syscall(2) with integers, bytes (a pointer to them, with a NUL behind), None and references to ctypes objects."""
    return check(_syscalls[len(arguments)](number, *arguments), subject)
