"""How the processor and the disk are shared out: sched_setattr(2), ioprio_set(2); and personality(2)."""

from __future__ import annotations

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, SYS_ioprio_set, SYS_sched_setattr, check, syscall

POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_IDLE": 5, "SCHED_DEADLINE": 6,
}  # fmt: skip
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13

LIBC.personality.argtypes = [ctypes.c_ulong]


class sched_attr(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    ]  # fmt: skip


def set_scheduler(
    pid: int, policy: int, *, flags: int = 0, nice: int = 0, priority: int = 0,
    times_ns: tuple[int, int, int] = (0, 0, 0),
) -> None:  # fmt: skip
    """sched_setattr(2) of a process, 0 for the caller. ``times_ns``: run time, deadline, period of SCHED_DEADLINE."""
    attributes = sched_attr(ctypes.sizeof(sched_attr), policy, flags, nice, priority, *times_ns)
    syscall(SYS_sched_setattr, pid, ctypes.byref(attributes), 0, subject="scheduler")


def set_io_priority(pid: int, io_class: int, priority: int) -> None:
    """ioprio_set(2) of a process, 0 for the caller; ``priority`` 0 (first) to 7."""
    value = io_class << _IOPRIO_CLASS_SHIFT | priority
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value, subject="I/O priority")


def set_personality(domain: int) -> None:
    """personality(2) of the caller: what uname(2) says of the machine, mostly."""
    check(LIBC.personality(domain), "personality")
