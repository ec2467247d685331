"""Existing namespaces that a container's first process joins, each named by a path (config-linux.md, "Namespaces").

A pid namespace is that of the children, so the launcher enters it. A user namespace comes before all that is new, which
is to belong to it, and nobody leaves it again: a process in between enters it, and makes the init there. In a mount
namespace all names are its own, the root's and those of the mounts' sources, too; so it comes as late as can be.
"""

from __future__ import annotations

import errno
import os

from engine.kernel.namespaces import CLONE_NEWNS, FLAGS, open_existing, setns
from engine.kernel.steps import step
from engine.runtime.setup import Json, Operation, Setup, load_nothing_more

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Mapping


class JoinNamespace(Operation):
    """By the init itself."""

    step = "namespace.join"

    def __init__(self, kind: str, entry: Json) -> None:
        self._kind = kind
        self._entry = entry

    def describe(self, setup: Setup) -> str:
        return f"join the {self._kind} namespace {self._entry['path']}"

    def execute(self, setup: Setup) -> None:
        if self._kind == "mount":
            load_nothing_more()
        enter(self._kind, self._entry)


def enter(kind: str, entry: Json) -> None:
    """Raises OSError."""
    with step("namespace.join"):
        fd = _open(kind, entry)
        try:
            setns(fd, FLAGS[kind])
        finally:
            os.close(fd)


def _open(kind: str, entry: Json) -> int:
    fd = open_existing(kind, entry["path"], entry.get("inode"))
    if kind == "user" and os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/user")):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is the caller's own user namespace, which nobody can join", entry["path"])
    return fd


def enter_all(joined: Mapping[str, Json]) -> None:
    """With a user namespace among them, as its root from then on. What the host's root may enter is entered before;
    what only the user namespace's may, as that one. Raises OSError."""
    with step("namespace.join"):
        found = {kind: _open(kind, entry) for kind, entry in joined.items()}
        load_nothing_more()
        user = found.pop("user")
        theirs = {kind: fd for kind, fd in found.items() if not _may_enter(kind, fd)}
        os.setgroups([])  # while that is allowed: a user namespace may forbid it
        setns(user, FLAGS["user"])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        for kind, fd in theirs.items():
            setns(fd, FLAGS[kind])


def _may_enter(kind: str, fd: int) -> bool:
    try:
        setns(fd, FLAGS[kind])
    except PermissionError:
        return False
    return True


class InMountNamespaceOf:
    """``with InMountNamespaceOf(joined):`` names lead where they do in the joined mount namespace, if there is one."""

    def __init__(self, joined: Mapping[str, Json]) -> None:
        self._entry = joined.get("mount")
        self._own = self._folder = -1

    def __enter__(self) -> None:
        if self._entry is not None:
            self._own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self._folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            enter("mount", self._entry)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._own >= 0:
            setns(self._own, CLONE_NEWNS)
            os.fchdir(self._folder)
            for fd in (self._own, self._folder):
                os.close(fd)
            self._own = self._folder = -1
