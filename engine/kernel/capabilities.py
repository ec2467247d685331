"""Capabilities of processes (capabilities(7)): names and bits, the five sets, what may be granted here.

The order in which a process gives up and changes user, as the kernel demands it:

    limit_bounding(mask)          while CAP_SETPCAP is still effective
    keep_over_setuid(True)        then setgroups, setgid, setuid: permitted survives
    set_sets(...)                 effective, permitted, inheritable
    set_ambient(mask)             needs permitted and inheritable
"""

from __future__ import annotations

import errno
import os

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, SYS_capget, SYS_capset, check, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of their bits, from linux/capability.h."""
BITS = {name: bit for bit, name in enumerate(NAMES)}

PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def _prctl(option: int, second: int, third: int = 0) -> int:
    return LIBC.prctl(option, second, third, 0, 0)


def canonical(name: str) -> str:
    """``net_admin`` or ``CAP_NET_ADMIN`` as the latter; ValueError for what no Linux knows."""
    upper = name.upper()
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in BITS:
        raise ValueError(f'unknown capability "{name}"')
    return full


def to_mask(names: Iterable[str]) -> int:
    """Names as bits."""
    mask = 0
    for name in names:
        mask |= 1 << BITS[canonical(name)]
    return mask


def to_names(mask: int) -> list[str]:
    """Bits as names, in the order of the bits; a bit that is newer than this table reads ``CAP_41`` and so on."""
    return [NAMES[bit] if bit < len(NAMES) else f"CAP_{bit}" for bit in range(64) if mask >> bit & 1]


def all_known() -> int:
    """Every capability that this kernel has."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return (1 << int(file.read()) + 1) - 1


def get_sets(pid: int = 0) -> tuple[int, int, int]:
    """capget(2): effective, permitted and inheritable of a process, 0 for the caller."""
    header, data = _Header(_VERSION_3, pid), (_Data * 2)()
    syscall(SYS_capget, ctypes.byref(header), ctypes.byref(data), subject=f"pid {pid}")
    low, high = data
    return tuple(getattr(low, name) | getattr(high, name) << 32 for name in ("effective", "permitted", "inheritable"))


def set_sets(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) on the caller. EPERM where permitted would grow, or inheritable pass the bounding set."""
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    for half, shift in zip(data, (0, 32), strict=True):
        half.effective = effective >> shift & 0xFFFFFFFF
        half.permitted = permitted >> shift & 0xFFFFFFFF
        half.inheritable = inheritable >> shift & 0xFFFFFFFF
    syscall(SYS_capset, ctypes.byref(header), ctypes.byref(data), subject="capabilities")


def get_bounding() -> int:
    """The caller's bounding set, by PR_CAPBSET_READ for each bit that the kernel has."""
    mask = 0
    for bit in range(64):
        held = _prctl(PR_CAPBSET_READ, bit)
        if held < 0:
            break  # EINVAL: beyond the last one
        mask |= held << bit
    return mask


def limit_bounding(mask: int) -> None:
    """PR_CAPBSET_DROP for every capability outside of ``mask``. Needs CAP_SETPCAP."""
    for bit in range(64):
        if mask >> bit & 1:
            continue
        if _prctl(PR_CAPBSET_DROP, bit) < 0:
            code = ctypes.get_errno()
            if code == errno.EINVAL:
                break  # beyond the last one
            raise OSError(code, os.strerror(code), f"bounding set, {to_names(1 << bit)[0]}")


def set_ambient(mask: int) -> None:
    """Make the ambient set exactly ``mask``. EPERM for what isn't both permitted and inheritable."""
    check(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), "ambient set")
    for bit in range(64):
        if mask >> bit & 1:
            check(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit), f"ambient set, {to_names(1 << bit)[0]}")


def keep_over_setuid(keep: bool) -> None:
    """PR_SET_KEEPCAPS: whether permitted survives the change from root to another user. execve(2) resets it."""
    check(_prctl(PR_SET_KEEPCAPS, int(keep)), "PR_SET_KEEPCAPS")


def grantable() -> int:
    """What the caller can hand to a process that it sets up: permitted, and still in its bounding set."""
    return get_sets()[1] & get_bounding()
