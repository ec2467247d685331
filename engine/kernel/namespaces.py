"""Namespaces (namespaces(7)): clone(2), clone3(2), setns(2), unshare(2) on the calling, single-threaded process."""

from __future__ import annotations

import errno
import fcntl
import os

import _signal as signal

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, PYLIBC, SYS_clone, SYS_clone3, check, oserror

Ids = tuple[tuple[int, int], ...]

CLONE_PARENT = 0x8000
CLONE_INTO_CGROUP = 0x2_0000_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWNET = 0x4000_0000
CLONE_NEWNS = 0x0002_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWTIME = 0x80
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWUTS = 0x0400_0000
NS_GET_NSTYPE = 0xB703

FLAGS = {
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "network": CLONE_NEWNET,
    "cgroup": CLONE_NEWCGROUP,
    "user": CLONE_NEWUSER,
    "time": CLONE_NEWTIME,
}
"""By the OCI specification's names. clone(2) can't make time namespaces: their bit lies among those of the signal."""

FILES = {
    "mount": "mnt", "pid": "pid", "uts": "uts", "ipc": "ipc", "network": "net", "cgroup": "cgroup", "user": "user",
    "time": "time",
}  # fmt: skip
"""The entries of /proc/PID/ns, by the OCI specification's names."""

PYLIBC.syscall.restype = ctypes.c_long
LIBC.setns.argtypes = [ctypes.c_int, ctypes.c_int]
LIBC.unshare.argtypes = [ctypes.c_int]


class clone_args(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


def clone(flags: int) -> int:
    """Raw clone(2) as fork(2) with namespaces: the child's pid, or 0 in the child.

    The call keeps the GIL (PyDLL) and runs no fork handlers, so the caller must have one thread, and the child must
    leave by execve(2) or ``os._exit``.
    """
    arguments = map(ctypes.c_long, (SYS_clone, flags | signal.SIGCHLD, 0, 0, 0, 0))
    return _cloned(PYLIBC.syscall(*arguments))


def clone_into_cgroup(flags: int, cgroup_fd: int) -> int:
    """As ``clone``, the child starting its life in a v2 cgroup (clone3(2), Linux 5.7)."""
    exit_signal = 0 if flags & CLONE_PARENT else signal.SIGCHLD  # a sibling takes over ours
    arguments = clone_args(flags=flags | CLONE_INTO_CGROUP, exit_signal=exit_signal, cgroup=cgroup_fd)
    size = ctypes.c_long(ctypes.sizeof(arguments))
    return _cloned(PYLIBC.syscall(ctypes.c_long(SYS_clone3), ctypes.byref(arguments), size))


def clone_near_cgroup(flags: int, cgroup_fd: int | None) -> tuple[int, bool]:
    """Clone into a v2 cgroup where that is possible; (pid, whether it was). EBUSY: the cgroup hands controllers to
    cgroups below it. ENOSYS, EPERM: a filter forbids clone3(2), whose flags it can't see."""
    if cgroup_fd is not None:
        try:
            return clone_into_cgroup(flags, cgroup_fd), True
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOSYS, errno.EPERM):
                raise
    return clone(flags), False


def _cloned(result: int) -> int:
    if result < 0:
        raise oserror("clone")
    return result


def setns(fd: int, flags: int) -> None:
    """setns(2): a namespace's descriptor, or a pidfd (Linux 5.8), which takes several namespaces at once."""
    check(LIBC.setns(fd, flags), f"descriptor {fd}")


class visiting:
    """``with visiting(kind, fd):`` the caller, which has one thread, is in another namespace meanwhile."""

    __slots__ = ("_kind", "_fd", "_own")

    def __init__(self, kind: str, fd: int) -> None:
        self._kind, self._fd = kind, fd

    def __enter__(self) -> None:
        self._own = os.open(f"/proc/self/ns/{FILES[self._kind]}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self._fd, FLAGS[self._kind])
        except OSError:
            os.close(self._own)
            raise

    def __exit__(self, *exception: object) -> None:
        try:
            setns(self._own, FLAGS[self._kind])
        finally:
            os.close(self._own)


def open_existing(kind: str, path: str, inode: int | None = None) -> int:
    """A descriptor of the namespace of ``kind`` at ``path``; with ``inode`` of no other than that one.

    EINVAL where it is none of that kind, ESRCH where another one is found: the process that it was named by is gone.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if (found := fcntl.ioctl(fd, NS_GET_NSTYPE)) != FLAGS[kind]:
            raise OSError(errno.EINVAL, f"not a {kind} namespace but one of type {found:#x}", path)
        if inode is not None and os.fstat(fd).st_ino != inode:
            raise OSError(errno.ESRCH, f"not the {kind} namespace that was meant", path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(LIBC.unshare(flags), f"flags {flags:#x}")


def unshare_time(offsets: dict[str, tuple[int, int]]) -> None:
    """A time namespace for the caller's next children (time_namespaces(7)): seconds and nanoseconds by which the
    clocks ``monotonic`` and ``boottime`` are ahead of the host's."""
    unshare(CLONE_NEWTIME)
    for clock, (seconds, nanoseconds) in offsets.items():
        with open("/proc/self/timens_offsets", "w") as file:
            file.write(f"{clock} {seconds} {nanoseconds}")


def inodes(pid: int | str) -> dict[str, int]:
    """The inode number of each namespace of a process: two processes share one where the numbers are equal."""
    folder = os.open(f"/proc/{pid}/ns", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = {}
        for name, file in FILES.items():
            try:
                found[name] = os.stat(file, dir_fd=folder).st_ino
            except FileNotFoundError:
                continue  # a kernel built without it
        return found
    finally:
        os.close(folder)


def members(kind: str, inode: int) -> list[int]:
    """The processes in a namespace, as far as the caller may look at them."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/{FILES[kind]}").st_ino == inode:
                found.append(int(pid))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


_mapped: list[Ids] = []


def mapped_ids() -> tuple[Ids, Ids]:
    """The users and groups that the caller's user namespace has a number for, as (first, count). Asked for once, also
    for those that are forked from now on."""
    if not _mapped:
        _mapped[:] = _ids("uid_map"), _ids("gid_map")
    return _mapped[0], _mapped[1]


def forget_mapped_ids() -> None:
    """They are asked for once more, by who has entered another user namespace."""
    _mapped.clear()


def _ids(name: str) -> Ids:
    with open(f"/proc/self/{name}") as file:
        return tuple((int(first), int(count)) for first, _, count in map(str.split, file))


def in_user_namespace() -> bool:
    """Whether root is nobody outside: not every id is mapped here (user_namespaces(7))."""
    return mapped_ids()[0] != ((0, 0xFFFF_FFFF),)


def is_mapped(number: int, ids: Ids) -> bool:
    return any(first <= number < first + count for first, count in ids)
