"""Who is at the other end of a unix socket: the kernel's word, taken once when a connection is accepted.

SO_PEERCRED (unix(7)) names uid, gid and pid as they were at connect(2). The program is read from /proc, where the pid
might by now be another's: SO_PEERPIDFD (Linux 6.5) settles that, since a pid whose pidfd is still alive after the
reading can't have been given away. Without it the program is marked as not checked.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Any

SO_PEERPIDFD = 77


def identify(sock: socket.socket) -> dict[str, Any]:
    """The actor's facts: uid, gid, pid and, best effort, the program with ``program_checked``."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    actor: dict[str, Any] = {"uid": uid, "gid": gid, "pid": pid}
    try:
        pidfd = sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:  # an older kernel, or the client is gone already
        pidfd = -1
    try:
        if pid:  # 0: the client lives in a pid namespace that this one can't see
            program = os.readlink(f"/proc/{pid}/exe")
            if pidfd < 0:
                actor |= {"program": program, "program_checked": False}
            elif _alive(pidfd):
                actor |= {"program": program, "program_checked": True}
    except OSError:
        return actor  # the client is gone, or its /proc is not ours to read
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return actor


def _alive(pidfd: int) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return not poller.poll(0)
