"""The spawner's executable: a sealed copy of the Python interpreter in memory (memfd_create(2)).

Shims, inits and execs are forks of the spawner, so /proc/PID/exe of whatever enters a container leads to this copy,
which nobody can write (CVE-2019-5736), and not to the host's interpreter.
"""

from __future__ import annotations

import fcntl
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Sequence

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_ENTER = "import sys; sys.path[:0] = sys.argv[1:2]; from engine.runtime.entrance import main; main()"
_PROGRAM = "import sys; sys.path[:0] = sys.argv[1:2]; __import__(sys.argv[2]); sys.modules[sys.argv[2]].run()"


def interpreter_path() -> str:
    """The real interpreter: in a virtual environment sys.executable is a link that a copy couldn't find home from."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def sealed_copy() -> int:
    """A descriptor of a copy that can't be changed any more."""
    with open(interpreter_path(), "rb") as original:
        return sealed(original.fileno())


def unwritable() -> int:
    """A descriptor of the interpreter through which nobody can write to it: in a read-only overlay that is attached
    nowhere, which is sooner made than a copy; a sealed copy where the kernel makes no such overlay."""
    from engine.kernel import mounts

    folder, name = os.path.split(interpreter_path())
    lower = f"{folder}:{os.path.dirname(os.__file__)}"  # with one layer alone the kernel makes none
    if lower.count(":") > 1 or "\\" in lower or "," in lower:
        return sealed_copy()
    try:
        context = mounts.fsopen("overlay")
        try:
            mounts.fsconfig_string(context, "lowerdir", lower)
            mounts.fsconfig_create(context, lower)
            mount = mounts.fsmount(context, mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NODEV)
        finally:
            os.close(context)
        try:
            return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=mount)
        finally:
            os.close(mount)
    except OSError:
        return sealed_copy()  # EPERM for who has no power over mounts; whatever is wrong with that file system


def sealed(original: int = -1) -> int:
    """A descriptor of an executable file that can't be changed any more: a copy of ``original``, or empty."""
    copy = os.memfd_create("docket-python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size, done = os.fstat(original).st_size if original >= 0 else 0, 0
        while done < size:
            count = os.sendfile(copy, original, done, size - done)
            if count == 0:
                raise OSError(5, "the interpreter is shorter than it was", interpreter_path())
            done += count
        os.fchmod(copy, 0o500)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(copy)
        raise
    return copy


def run_module(
    module: str, copy_fd: int, socket_fd: int, words: Sequence[str] = (), *, namespace_fd: int = -1,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Execute a module's ``run`` from the copy, isolated, in a session of its own, with ``words`` and the socket's
    number as its arguments; in a user namespace, where one is given. ``environment`` is added to the caller's.

    ``-I -S``: neither the environment nor a site directory decides what the half that runs as root imports.
    """
    import subprocess  # here: the OCI command line, which needs the copy alone, starts for every verb

    parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    python = [interpreter_path(), "-I", "-S", "-X", "utf8", "-c"]
    arguments = [*python, _PROGRAM, parent, module, *words, str(socket_fd)]
    kept = [socket_fd]
    if namespace_fd >= 0:
        arguments = [*python, _ENTER, parent, str(namespace_fd), str(copy_fd), *arguments]
        kept += [namespace_fd, copy_fd]
    return subprocess.Popen(
        arguments, executable=f"/proc/{os.getpid()}/fd/{copy_fd}", stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, pass_fds=kept, start_new_session=True, cwd="/",
        env={**os.environ, **environment} if environment else None,
    )  # fmt: skip
