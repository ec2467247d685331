"""A container's root, as worker jobs see it: of one that runs, and of one that doesn't.

Whoever reads or writes there goes by openat2(2) from the descriptor: names in it are the container's to choose.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import Any, Callable, Iterator

from engine.kernel import cgroups, mounts, namespaces
from engine.kernel.mounts import AT_RECURSIVE, OPEN_TREE_CLONE
from engine.kernel.steps import step
from engine.runtime import targets, users, writable_layer
from engine.runtime.overlay import mount_overlay

Json = dict[str, Any]
RootJob = Callable[[Json, list[int], int], Json]


def with_root(job: RootJob) -> Callable[[Json, list[int]], Json]:
    """A worker job that gets the root described by its argument ``root`` as a descriptor, besides.

    An argument ``user`` (as in ``users.resolve``) is resolved there, and given to the job as ``owner`` [uid, gid].

    ``{"pid", "cgroup_path", "pid_namespace"}``: the root that a running container has now; with ``"plain": true``
    without what is mounted in it. ``{"overlay": {"lower", "upper", "work"}, "target", "binds": [[source, destination,
    read-only], ...], "read_only"}``: mounted for this job alone, in a mount namespace of the worker's own, which ends
    with it.
    """

    def run(arguments: Json, fds: list[int]) -> Json:
        with _opened(arguments["root"]) as root_fd:
            if arguments.get("user"):
                user = users.resolve(root_fd, arguments["user"])
                arguments = {**arguments, "owner": [user.uid, user.gid]}
            return job(arguments, fds, root_fd)

    return run


@contextmanager
def _opened(root: Json) -> Iterator[int]:
    fd = _of_running(root) if "pid" in root else _mounted(root)
    try:
        yield fd
    finally:
        os.close(fd)


def _of_running(root: Json) -> int:
    """The descriptor of /proc/PID is of that very process, which may end but not become another. Raises
    ProcessLookupError where it has ended."""
    try:
        process = os.open(f"/proc/{root['pid']}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ProcessLookupError(errno.ESRCH, "the container has ended") from error
    try:
        if cgroups.detect().mount_points:
            _check_cgroup(process, root["cgroup_path"])
        elif os.stat("ns/pid", dir_fd=process).st_ino != root["pid_namespace"]:
            raise ProcessLookupError(errno.ESRCH, "the container has ended")
        if root.get("plain"):
            return _clone_without_mounts(process)
        return os.open("root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process)
    except FileNotFoundError as error:  # what /proc shows of one that waits for being reaped
        raise ProcessLookupError(errno.ESRCH, "the container has ended") from error
    finally:
        os.close(process)


def _check_cgroup(process: int, path: str) -> None:
    """Raises ProcessLookupError where the number is another process's by now."""
    fd = os.open("cgroup", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    with open(fd, encoding="utf-8", errors="surrogateescape") as file:
        own = [line.rstrip("\n").split(":", 2)[2] for line in file]
    if not any(f"/{path}/" in f"{name}/" for name in own):
        raise ProcessLookupError(errno.ESRCH, "the container has ended")


def _clone_without_mounts(process: int) -> int:
    """Who is in a mount namespace may clone its mounts; nothing is loaded or resolved while we are."""
    other = os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    try:
        with namespaces.visiting("mount", other):
            return _readable(mounts.open_tree(-1, "/", OPEN_TREE_CLONE))
    finally:
        os.close(other)


def _readable(tree: int) -> int:
    """A descriptor that can be listed, of a mount that was opened as a path only."""
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
    finally:
        os.close(tree)


def _mounted(root: Json) -> int:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
    layers, target = root["overlay"], root["target"]
    os.makedirs(target, 0o755, exist_ok=True)
    with step("rootfs.overlay"):
        writable_layer.make(layers)
        mount_overlay(layers["lower"], layers["upper"], layers["work"], target)
        writable_layer.hold_to_limit(layers)
    root_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for source, destination, read_only in root.get("binds") or ():
        with step("rootfs.mounts"):
            _bind(root_fd, source, destination, mounts.MOUNT_ATTR_RDONLY if read_only else 0)
    if root.get("read_only"):
        mounts.mount_setattr(root_fd, attributes=mounts.MOUNT_ATTR_RDONLY, subject="/")
    return root_fd


def _bind(root_fd: int, source: str, destination: str, attributes: int) -> None:
    clone = mounts.open_tree(-1, source, OPEN_TREE_CLONE | AT_RECURSIVE)
    try:
        mounts.mount_setattr(clone, attributes=attributes, propagation=mounts.MS_PRIVATE, subject=destination)
        is_folder = stat.S_ISDIR(os.fstat(clone).st_mode)
        target = (targets.open_folder if is_folder else targets.open_file)(root_fd, destination)
        try:
            mounts.move_mount(clone, target, destination)
        finally:
            os.close(target)
    finally:
        os.close(clone)
