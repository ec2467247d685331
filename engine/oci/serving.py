"""A command of ``docket-runtime`` in the foreground that a fork of the engine's spawner carries out: see ``served``.

What is done must be what the caller itself would have done. So the caller has to be in the same namespaces and root,
and to have the same powers; what it may have set for its children (limits, priorities, processors) is taken over.
"""

from __future__ import annotations

import array
import os
import resource
import socket
import struct
import sys

from engine.kernel.process import set_name
from engine.oci import execution, launching, main, verbs
from engine.runtime import command_journal

_CREDENTIALS = struct.Struct("3i")
_MOST_FDS = 4
_PACKET_BYTES = 65_536
_LOADED = (execution, launching)
"""What a fork should find here: verbs load them when they are called."""
_SAME = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
"""Of proc_pid_status(5)."""


def serve(connection: socket.socket) -> None:
    """One command, in a process of its own that is to end afterwards."""
    pid, uid, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )  # fmt: skip
    said, ancillary, _, _ = connection.recvmsg(
        _PACKET_BYTES, socket.CMSG_SPACE(4 * _MOST_FDS), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data)
    if len(fds) != _MOST_FDS or not _is_in_our_place(pid, uid):
        connection.send(b"n")
        return
    os.setsid()
    set_name("docket-runtime")
    for number in (0, 1, 2):
        os.dup2(fds[number], number)
    os.fchdir(fds[3])
    for fd in fds:
        os.close(fd)
    command_journal.act_for(command_journal.Actor(uid, pid, _parent(pid)))
    verbs.waiting = _Served(connection)
    connection.send(b"y")
    status = main.carry_out([os.fsdecode(word) for word in said.split(b"\0")])
    try:
        sys.stdout.flush()
    except OSError:
        status = status or main.FAILURE
    try:
        connection.send(b"e%d" % status)
    except OSError:
        return  # the caller has died, and what it wanted is done


class _Served(verbs.Waiting):
    """The caller passes signals on and carries the terminal; the end is seen here, by the parent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def begin(self) -> None:
        return

    def await_end(self, pid: int, terminal: int) -> int:
        pid_fd = os.pidfd_open(pid)
        fds = [pid_fd] if terminal < 0 else [pid_fd, terminal]
        try:
            socket.send_fds(self._connection, [b"p"], fds)
        except OSError:
            pass  # a caller that has died leaves its container running, as runc does
        for fd in fds:
            os.close(fd)
        return verbs.foreground.wait_for_child(pid)


def _is_in_our_place(pid: int, uid: int) -> bool:
    try:
        if uid != os.geteuid() or not _is_like_us(pid):
            return False
        _take_over(pid)
    except (OSError, ValueError):
        return False  # it has ended; or a limit of its own is above what we may set
    return True


def _is_like_us(pid: int) -> bool:
    for name in os.listdir("/proc/self/ns"):
        if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
            return False
    if not os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/")):
        return False
    own, others = _status("self"), _status(str(pid))
    if any(own.get(field) != others.get(field) for field in _SAME):
        return False
    return _label("self") == _label(str(pid)) and os.sched_getscheduler(pid) == os.sched_getscheduler(0)


def _status(pid: str) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {name: value for name, _, value in (line.partition(":") for line in file)}


def _label(pid: str) -> bytes:
    """Of a security module, where there is one."""
    try:
        with open(f"/proc/{pid}/attr/current", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _take_over(pid: int) -> None:
    """What a child of the caller's would have had from it."""
    os.umask(int(_status(str(pid))["Umask"], 8))
    with open("/proc/self/limits", "rb") as own, open(f"/proc/{pid}/limits", "rb") as others:
        if own.read() != others.read():
            for number in range(resource.RLIMIT_RTTIME + 1):
                resource.setrlimit(number, resource.prlimit(pid, number))
    with open("/proc/self/oom_score_adj", "r+b", buffering=0) as score, open(f"/proc/{pid}/oom_score_adj", "rb") as his:
        if (wanted := his.read()) != score.read():
            score.write(wanted)
    if (nice := os.getpriority(os.PRIO_PROCESS, pid)) != os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    if (processors := os.sched_getaffinity(pid)) != os.sched_getaffinity(0):
        os.sched_setaffinity(0, processors)


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
