"""The containers of one ``--root``: a folder each, with ``state.json``; what runs is asked of the kernel.

Whoever changes a container holds its folder's lock (flock(2)), from before its creation to after its removal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from engine.kernel import json_text
from engine.kernel.cgroups import Cgroup
from engine.runtime import command_journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

STATE_FILE = "state.json"
START_SOCKET = "start"
SECCOMP_CACHE = ".seccomp"
OWN_CGROUPS = "docket-runtime"
"""Where a container's cgroups are when nobody says where; it goes with the last of them."""
_RESERVED = (".", "..", command_journal.NAME, SECCOMP_CACHE)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-")
_LONGEST = 1024
_RETRY_S = 0.02

Json = dict[str, "Any"]


class _Held:
    """``with _Held(fd, read) as value:`` a locked folder's descriptor, and what is read while the lock is held."""

    def __init__(self, fd: int, read: Callable[[], Any]) -> None:
        self._fd, self._read = fd, read

    def __enter__(self) -> Any:
        try:
            return self._read()
        except BaseException:
            os.close(self._fd)
            raise

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)


class Containers:
    """``root`` is made with the first container."""

    def __init__(self, root: str) -> None:
        self.root = root

    def folder(self, container_id: str) -> str:
        """Raises OSError for what can't be an id."""
        if not container_id or not _LETTERS.issuperset(container_id) or len(container_id) > _LONGEST:
            raise OSError(errno.EINVAL, "invalid container id: letters, digits, _ + . and - are possible", container_id)
        if container_id in _RESERVED:
            raise OSError(errno.EINVAL, "invalid container id: it is reserved", container_id)
        return os.path.join(self.root, container_id)

    def created(self, container_id: str) -> _Held:
        """A new container's folder, locked. Raises OSError where there is one of this id."""
        folder = self.folder(container_id)
        os.makedirs(self.root, 0o711, exist_ok=True)
        try:
            os.mkdir(folder, 0o711)
        except FileExistsError as error:
            raise OSError(errno.EEXIST, "container with given ID already exists", container_id) from error
        return _Held(self._lock(container_id, None), lambda: folder)

    def locked(self, container_id: str, timeout_s: float | None = None) -> _Held:
        """A container's state, while nobody else changes it. Raises OSError where there is none, TimeoutError."""
        return _Held(self._lock(container_id, timeout_s), lambda: self.load(container_id))

    def _lock(self, container_id: str, timeout_s: float | None) -> int:
        """Of the folder that is there when the lock is had, and not of one that was removed meanwhile."""
        folder = self.folder(container_id)
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise _missing(container_id) from error
            try:
                _flock(fd, end_s, container_id)
                if os.path.samestat(os.fstat(fd), os.stat(folder)):
                    return fd
            except FileNotFoundError as error:
                os.close(fd)
                raise _missing(container_id) from error
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def save(self, container_id: str, state: Json) -> None:
        """Whole or not at all; not synced, since what it tells of doesn't survive a reboot either. For root alone: the
        environment is in it."""
        path = os.path.join(self.folder(container_id), STATE_FILE)
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(json_text.dumps(state))
        os.rename(f"{path}.new", path)

    def load(self, container_id: str) -> Json:
        """Raises OSError where there is none."""
        folder = self.folder(container_id)
        try:
            with open(os.path.join(folder, STATE_FILE), encoding="utf-8") as file:
                return json_text.loads(file.read())  # type: ignore[no-any-return]
        except FileNotFoundError as error:
            if os.path.isdir(folder):  # its creation ended, or is, before anything was done
                return {**_NOTHING_YET, "id": container_id}
            raise _missing(container_id) from error

    def all(self) -> Iterator[Json]:
        for name in sorted(os.listdir(self.root)) if os.path.isdir(self.root) else ():
            if name in _RESERVED or not os.path.isdir(os.path.join(self.root, name)):
                continue
            try:
                yield self.load(name)
            except OSError as error:
                if error.errno != errno.ENOENT:  # else it was removed meanwhile
                    raise

    def remove(self, container_id: str) -> None:
        """Its folder holds files and no folders."""
        folder = self.folder(container_id)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def _flock(fd: int, end_s: float | None, container_id: str) -> None:
    if end_s is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end_s:
                raise TimeoutError(errno.ETIMEDOUT, "another command holds the container", container_id) from None
            time.sleep(_RETRY_S)


def _missing(container_id: str) -> OSError:
    return OSError(errno.ENOENT, "container does not exist", container_id)


_NOTHING_YET: Json = {
    "ociVersion": "1.2.0", "bundle": "", "rootfs": "", "annotations": {}, "created": "", "pid": 0, "started_ticks": 0,
    "started": False, "creating": [0, 0], "cgroup_path": "", "cgroup_made": False, "own_pids": True,
    "kinds": [], "root": [0, 0], "process": {}, "seccomp": None,
    "hooks": {},
}  # fmt: skip


def started_ticks(pid: int) -> tuple[str, int]:
    """State letter and start time of a process (proc_pid_stat(5)); ("", 0) where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0].decode(), int(fields[19])


def is_alive(state: Json) -> bool:
    """Whether the first process of the record still exists, and is the same."""
    if not state["pid"]:
        return False
    letter, ticks = started_ticks(state["pid"])
    return letter not in ("", "Z", "X") and ticks == state["started_ticks"]


def status(state: Json) -> str:
    """The specification's words: creating, created, running, stopped; and paused."""
    if creator := state.get("creating"):
        return "creating" if started_ticks(creator[0])[1] == creator[1] != 0 else "stopped"
    if not is_alive(state):
        return "stopped"
    if Cgroup(state["cgroup_path"]).is_frozen():
        return "paused"
    return "running" if state["started"] or not _waits(state) else "created"


def program_of(pid: int) -> list[int]:
    """What tells the file that a process executes from others. Raises OSError."""
    found = os.stat(f"/proc/{pid}/exe")
    return [found.st_dev, found.st_ino]


def _waits(state: Json) -> bool:
    """Whether it still executes the interpreter that it was made with: a start that was killed has told nobody."""
    try:
        return program_of(state["pid"]) == state.get("program")
    except PermissionError:
        return True
    except OSError:
        return False  # it has ended just now


def public_state(state: Json) -> Json:
    """What ``state`` shows, and hooks read."""
    now = status(state)
    return {
        "ociVersion": state["ociVersion"],
        "id": state["id"],
        "status": now,
        "pid": state["pid"] if now != "stopped" else 0,
        "bundle": state["bundle"],
        "rootfs": state["rootfs"],
        "created": state["created"],
        "annotations": state["annotations"],
        "owner": "",
    }
