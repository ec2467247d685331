"""What a process says about itself: prctl(2), close_range(2), signalfd(2), keyctl(2), setdomainname(2)."""

from __future__ import annotations

import os
import sys

import _signal as signal

from engine.kernel import ctypes
from engine.kernel.libc import LIBC, SYS_close_range, SYS_keyctl, SYS_pidfd_getfd, check, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, NoReturn

KEYCTL_JOIN_SESSION_KEYRING = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38
PR_SET_PDEATHSIG = 1
SFD_CLOEXEC = os.O_CLOEXEC
SFD_NONBLOCK = os.O_NONBLOCK

_LAST_FD = 0xFFFF_FFFF
_SignalSet = ctypes.c_ulong * 16

LIBC.setdomainname.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
LIBC.signalfd.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


def _prctl(option: int, value: int | bytes, subject: str) -> None:
    check(LIBC.prctl(option, value, 0, 0, 0), subject)


def set_child_subreaper(on: bool = True) -> None:
    """Orphaned descendants become children of this process."""
    _prctl(PR_SET_CHILD_SUBREAPER, int(on), "PR_SET_CHILD_SUBREAPER")


def set_dumpable(on: bool) -> None:
    """Off: no core dump, no ptrace, and /proc/PID belongs to root. Inherited by fork, reset by execve."""
    _prctl(PR_SET_DUMPABLE, int(on), "PR_SET_DUMPABLE")


def set_no_new_privileges() -> None:
    """execve(2) grants nothing any more: no set-id bits, no file capabilities. There is no way back."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def set_parent_death_signal(number: int) -> None:
    """The signal that this process gets when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, number, "PR_SET_PDEATHSIG")


def set_name(name: str) -> None:
    """The name that ps and /proc/PID/comm show: 15 bytes."""
    _prctl(PR_SET_NAME, name.encode(), "PR_SET_NAME")


def set_command_line(text: str) -> None:
    """What /proc/PID/cmdline shows, as far as it fits over what is there. Without /proc it stays (proc_pid_stat(5))."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return
    start, end = int(fields[45]), int(fields[46])
    if start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, os.fsencode(text)[: end - start - 1], min(len(os.fsencode(text)), end - start - 1))


def children() -> list[int]:
    """The children of the caller, which has one thread: not reaped yet, they keep their numbers.
    /proc/PID/task/TID/children needs CONFIG_PROC_CHILDREN; without it the whole of /proc is looked through."""
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _parent_of(pid) == own]


def kill_children() -> None:
    """SIGKILL to every child of the caller."""
    for pid in children():
        os.kill(pid, signal.SIGKILL)


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def ended_children() -> Iterator[tuple[int, int]]:
    """Reap the children of the caller that have ended: pid and wait status of each."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def exit_code_of(status: int) -> int:
    """As shells have it: 128 and the number of the signal that ended the process."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def close_all_but(kept: Iterable[int]) -> None:
    """close_range(2) on everything between the descriptors that are kept."""
    first = 0
    for fd in sorted(set(kept)):
        if first < fd:
            syscall(SYS_close_range, first, fd - 1, 0, subject="close_range")
        first = fd + 1
    syscall(SYS_close_range, first, _LAST_FD, 0, subject="close_range")


def run_and_exit(name: str, kept: Iterable[int], life: Callable[[], None]) -> NoReturn:
    """The whole of a forked child: of its parent's descriptors it has those that are ``kept``, and it never returns to
    the parent's code. What ``life`` raises is told on standard error."""
    status = 1
    try:
        close_all_but((0, 1, 2, *kept))
        life()
        status = 0
    except BaseException as error:
        print(f"docket {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def signal_fd(numbers: Iterable[int]) -> int:
    """signalfd(2): a non-blocking descriptor that is readable when one of the signals, which must be blocked, waits."""
    mask = _SignalSet(sum(1 << number - 1 for number in numbers))
    return check(LIBC.signalfd(-1, mask, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd")


def setdomainname(name: str) -> None:
    """setdomainname(2) in this UTS namespace; the host name's call is in the socket module."""
    encoded = os.fsencode(name)
    check(LIBC.setdomainname(encoded, len(encoded)), name)


def join_new_session_keyring() -> None:
    """keyctl(2): a session keyring of one's own, instead of that of whoever started the engine."""
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, None, 0, 0, 0, subject="session keyring")


def copy_descriptor(pid_fd: int, number: int) -> int:
    """pidfd_getfd(2): a duplicate of another process's descriptor, close-on-exec."""
    return syscall(SYS_pidfd_getfd, pid_fd, number, 0, subject=f"descriptor {number}")
