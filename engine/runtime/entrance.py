"""The way of a spawner into an ordinary user's namespace: entered first, executed then.

It must be executed inside: a process that hides its memory (PR_SET_DUMPABLE, as spawner, shims and inits do) opens its
/proc/PID to powers over the user namespace that it was executed in, and to no others (ptrace(2)).
"""

from __future__ import annotations

import os
import sys

from engine.kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER, setns, unshare


def main() -> None:
    """Arguments: descriptors of the user namespace and of the interpreter, and the latter's arguments."""
    namespace, interpreter = int(sys.argv[2]), int(sys.argv[3])
    setns(namespace, CLONE_NEWUSER)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    unshare(CLONE_NEWNS)  # its mounts follow the host's, and never the other way round: mount_namespaces(7)
    os.close(namespace)
    os.set_inheritable(interpreter, False)
    os.execve(interpreter, sys.argv[4:], os.environ)
