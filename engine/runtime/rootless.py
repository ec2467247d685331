"""An engine of an ordinary user's: the user namespace in which its spawners live, and all that they fork.

    daemon (outside)                          a child
      │ clone with CLONE_NEWUSER ───────────────│ waits
      │ newuidmap, newgidmap, or the own id      │
      │ opens /proc/PID/ns/user                  │
      ├─ end ───────────────────────────────────>╳
      │ spawner: setns(2), mounts of its own, execve(2) of the sealed interpreter

Root inside is the user outside. The daemon stays outside: for it nothing changes, and as the owner of the namespace it
has every power over it. The namespace lives as long as a process is in it: the next daemon finds it by a shim that
lives, since a worker has power over containers of its own namespace alone.
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
import socket
import struct
from pathlib import Path
from typing import Callable, NamedTuple, NoReturn

from engine.domain.errors import Unavailable, describe
from engine.kernel import sockets
from engine.kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER, clone, unshare
from engine.runtime import subordinate_ids

_PEER = "3i"
_PEER_BYTES = struct.calcsize(_PEER)
_LIMIT = Path("/proc/sys/user/max_user_namespaces")
_SWITCH = Path("/proc/sys/kernel/unprivileged_userns_clone")
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


class Rootless(NamedTuple):
    """``namespace_fd`` leads to the user namespace. ``single`` says why it has one id only, "" where it has ranges."""

    namespace_fd: int
    single: str


def user_namespace(shims: Path) -> Rootless:
    """That of a shim that lives, whose sockets lie in the folder ``shims``, else a new one. The caller has one thread.

    Raises Unavailable where the machine allows none, in one line with what would help.
    """
    user = login_name()
    if (living := _of_living_shim(shims)) is not None:
        return living
    lack = subordinate_ids.why_not(user)
    if not lack:
        try:
            return Rootless(_made(lambda pid: subordinate_ids.map_ranges(pid, user)), "")
        except OSError as error:
            lack = describe(error)
    return Rootless(_made(subordinate_ids.map_own), lack)


def login_name() -> str:
    """The caller's, or the number where there is none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _made(write_maps: Callable[[int], None]) -> int:
    """A descriptor of a new user namespace, which a child held until its maps were written."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = clone(CLONE_NEWUSER)
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise Unavailable(namespace_help(error)) from error
    if pid == 0:
        os.close(writer)
        _try_powers(reader)
    os.close(reader)
    namespace = -1
    try:
        write_maps(pid)
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        if namespace < 0:
            os.kill(pid, signal.SIGKILL)
        os.close(writer)
        has_powers = os.waitpid(pid, 0)[1] == 0
    if not has_powers:
        os.close(namespace)
        raise Unavailable(mount_help() or "there are no powers in user namespaces here: the engine needs root")
    return namespace


def _try_powers(maps_are_there: int) -> NoReturn:
    """In the child: wait, and do what takes a power."""
    status = 1
    try:
        os.read(maps_are_there, 1)
        unshare(CLONE_NEWNS)
        status = 0
    finally:
        os._exit(status)


def namespace_help(error: OSError) -> str:
    """Why a user namespace could not be made, with what would help."""
    if error.errno in (errno.ENOSPC, errno.EUSERS) or _says(_LIMIT, "0"):
        return "no (more) user namespaces are allowed here: as root, sysctl -w user.max_user_namespaces=65536"
    if _says(_SWITCH, "0"):
        return "ordinary users may make no user namespaces here: as root, sysctl -w kernel.unprivileged_userns_clone=1"
    return "user namespaces are forbidden here (a container, or a filter of system calls?): the engine needs root"


def mount_help() -> str:
    """Why there are no powers in a user namespace that was made; "" where nothing is known that takes them."""
    if _says(_APPARMOR, "1"):
        return (
            "AppArmor takes the powers in user namespaces from ordinary users' programs: as root, "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return ""


def _says(path: Path, value: str) -> bool:
    try:
        return path.read_text().strip() == value
    except OSError:
        return False


def _of_living_shim(shims: Path) -> Rootless | None:
    """The number that a socket tells is of the shim's as long as the connection stands."""
    for path in sorted(shims.glob("*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            try:
                sockets.by_folder(str(path), sock.connect)
                pid = struct.unpack(_PEER, sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_BYTES))[0]
                users = _mapped_users(pid)
                fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # dead, or just ending
            if _stands(sock):
                return Rootless(fd, "" if users > 1 else "containers that run were started with one")
            os.close(fd)
    return None


def _stands(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _mapped_users(pid: int) -> int:
    with open(f"/proc/{pid}/uid_map") as file:
        return sum(int(line.split()[2]) for line in file)
