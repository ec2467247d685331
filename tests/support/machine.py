"""What this machine can do: each capability is tried, in a child, and its lack is named with what would help.

``scripts/try`` asks the same questions before it starts.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable

from engine.kernel.libc import LIBC, check
from engine.runtime.rootless import mount_help, namespace_help

from support.forked import in_child

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x0002_0000, 0x0400_0000, 0x0800_0000, 0x2000_0000
CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWUSER = 0x4000_0000, 0x0200_0000, 0x1000_0000
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE = 1, 0x1000, 0x4000, 1 << 18

OWN_PREFIX = f"dkt{os.getpid()}-"
"""Of the folders and cgroups that this run of the tests makes; another run beside it makes its own."""

OUTSIDE_NETWORK = "DOCKET_TEST_OUTSIDE_NETWORK"
"""Variable with the path of the network namespace that the machine's other programs are in (see ``support.worker``)."""

ENGINE_NEEDS = ("root", "namespaces", "mounts", "overlay", "cgroups")
"""What root's engine can't do without, in the order in which it is worth asking."""
ROOTLESS_NEEDS = ("user namespaces", "user mounts")
"""The same for that of an ordinary user."""


def engine_needs() -> tuple[str, ...]:
    """What an engine of this process's can't do without."""
    return ENGINE_NEEDS if os.geteuid() == 0 else ROOTLESS_NEEDS


def lack(capability: str) -> str | None:
    """Why this machine can't offer ``capability``, in one line with what would help; None where it can."""
    return PROBES[capability]()


def first_lack(*capabilities: str) -> str | None:
    """The first reason among ``capabilities``, or None."""
    return next((reason for name in capabilities if (reason := lack(name)) is not None), None)


@functools.cache
def _root() -> str | None:
    return None if os.geteuid() == 0 else "not root: run it as root (sudo)"


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(LIBC.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    encoded = kind.encode() if kind else None
    check(LIBC.mount(source.encode(), target.encode(), encoded, flags, data.encode()), target)


def private_mounts() -> None:
    """A mount namespace whose mounts the rest of the machine never sees."""
    unshare(CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def join_outside_network() -> None:
    """For a child that downloads something: leave the network that the tests have to themselves, if they have one."""
    if path := os.environ.get(OUTSIDE_NETWORK):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        check(LIBC.setns(fd, CLONE_NEWNET), path)
        os.close(fd)


def become_ordinary(inside: int = 1000) -> None:
    """Make this process uid 1000 without any capability, by a user namespace: it still reaches its own files. As 0 it
    is root there, and may mount."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {gid} 1")


def _mounting() -> str:
    """Get to where this process may mount, unseen by others: with root, or in a user namespace. Answers with the
    options that overlay needs there."""
    if os.geteuid() == 0:
        private_mounts()
        return ""
    become_ordinary(0)
    private_mounts()
    return ",userxattr"


def _tried(attempt: Callable[[], object], missing: str) -> str | None:
    try:
        in_child(lambda: attempt() and None)
    except OSError as error:
        return f"{missing} ({error.filename}: {error.strerror})"
    return None


@functools.cache
def _namespaces() -> str | None:
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP
    return _tried(
        lambda: unshare(flags),
        "namespaces are forbidden here: needs CAP_SYS_ADMIN and no seccomp filter (a VM, a privileged container)",
    )


@functools.cache
def _mounts() -> str | None:
    def attempt() -> None:
        private_mounts()
        mount("tmpfs", tempfile.gettempdir(), "tmpfs")
        mount("proc", tempfile.gettempdir(), "proc")

    return _tried(attempt, "mounts are forbidden here: needs CAP_SYS_ADMIN and no profile that forbids mount")


def _overlay_works_in(parent: str) -> bool:
    folder = Path(tempfile.mkdtemp(prefix=f"{OWN_PREFIX}probe-", dir=parent))

    def attempt() -> None:
        more = _mounting()
        for name in ("lower", "upper", "work", "merged"):
            (folder / name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work{more}"
        mount("overlay", f"{folder}/merged", "overlay", data=options)
        (folder / "merged" / "file").write_text("text")

    try:
        in_child(attempt)
    except OSError:
        return False
    finally:
        if (inner := folder / "work" / "work").is_dir():
            inner.chmod(0o700)  # overlay's own has no permissions, which only root can do without
        shutil.rmtree(folder)
    return True


@functools.cache
def data_folder() -> str | None:
    """A folder in which a data root can lie: overlayfs accepts a writable layer there (it refuses itself and NFS)."""
    wishes = [os.environ.get("DOCKET_TEST_DIR"), tempfile.gettempdir(), "/var/tmp", "/dev/shm"]
    for folder in filter(None, wishes):
        if os.path.isdir(folder) and os.access(folder, os.W_OK) and _overlay_works_in(folder):
            return folder
    return None


@functools.cache
def _overlay() -> str | None:
    if (reason := _root() or _mounts()) is not None:
        return reason
    if data_folder() is None:
        return "overlayfs can't be mounted here: set DOCKET_TEST_DIR to a folder on ext4, xfs, btrfs or tmpfs"
    return None


_V1_CONTROLLERS = ("memory", "cpu", "pids", "devices", "blkio")


def cgroup_mounts() -> dict[str, Path]:
    """Controller (or "v2") -> mount point, as this process sees them."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point, kind, options = Path(left.split()[4]), right.split()[0], right.split()[2]
        if kind == "cgroup2":
            found["v2"] = point
        elif kind == "cgroup":
            found.update({name: point for name in options.split(",") if name in _V1_CONTROLLERS})
    return found


@functools.cache
def _cgroups() -> str | None:
    mounts = cgroup_mounts()
    if not mounts:
        return "no cgroup file system is mounted: mount cgroup2 on /sys/fs/cgroup"
    if "memory" not in mounts and "memory" not in _controllers(mounts.get("v2")):
        return "the cgroup memory controller is missing: enable it on the kernel's command line or in the parent cgroup"
    folder = mounts.get("memory", mounts.get("v2", Path("/"))) / f"{OWN_PREFIX}probe"
    try:
        folder.mkdir()
        folder.rmdir()
    except OSError as error:
        return f"cgroups can't be made here: /sys/fs/cgroup must be writable ({error.filename}: {error.strerror})"
    return None


def _controllers(mount_point: Path | None) -> list[str]:
    if mount_point is None:
        return []
    return (mount_point / "cgroup.controllers").read_text().split()


@functools.cache
def _user_namespaces() -> str | None:
    try:
        in_child(lambda: unshare(CLONE_NEWUSER))
    except OSError as error:
        return namespace_help(error)
    return None


@functools.cache
def _user_mounts() -> str | None:
    """Mounts in a user namespace of one's own."""

    def attempt() -> None:
        become_ordinary(0)
        private_mounts()
        unshare(CLONE_NEWPID)
        mount("tmpfs", tempfile.gettempdir(), "tmpfs")

    if (reason := _tried(attempt, mount_help() or "mounts are forbidden in user namespaces here")) is not None:
        return reason
    if data_folder() is None:
        return "overlayfs can't be mounted in user namespaces here: it takes Linux 5.11, and ext4, xfs or btrfs"
    return None


@functools.cache
def _cgroup_v2() -> str | None:
    if "memory" in _controllers(cgroup_mounts().get("v2")):
        return None
    return "cgroup v2 with controllers is not mounted here: boot with systemd.unified_cgroup_hierarchy=1"


@functools.cache
def _cgroup_v1() -> str | None:
    return None if "memory" in cgroup_mounts() else "cgroup v1 controllers are not mounted here"


@functools.cache
def _hard_rlimits() -> str | None:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return None if effective >> 24 & 1 else "CAP_SYS_RESOURCE is missing: hard rlimits can't be raised here"


@functools.cache
def _docker_client() -> str | None:
    return None if shutil.which("docker") else "the docker client is not installed"


@functools.cache
def _docker_registry() -> str | None:
    return None if shutil.which("docker-registry") else "docker-registry is not installed (Debian's docker-registry)"


@functools.cache
def _skopeo() -> str | None:
    return None if shutil.which("skopeo") else "skopeo is not installed (Debian's skopeo)"


@functools.cache
def _buildah() -> str | None:
    return None if shutil.which("buildah") else "no buildah here: it is not installed (Debian's buildah)"


@functools.cache
def _openssl() -> str | None:
    return None if shutil.which("openssl") else "openssl is not installed (Debian's openssl)"


@functools.cache
def _git() -> str | None:
    return None if shutil.which("git") else "git is not installed"


@functools.cache
def _real_docker() -> str | None:
    if not os.environ.get("DOCKET_TEST_DOCKER_HOST"):
        return "no real Docker to compare with: set DOCKET_TEST_DOCKER_HOST=unix:///path/to/docker.sock"
    return _docker_client()


PROBES: dict[str, Callable[[], str | None]] = {
    "root": _root,
    "namespaces": _namespaces,
    "mounts": _mounts,
    "overlay": _overlay,
    "cgroups": _cgroups,
    "cgroup v1": _cgroup_v1,
    "cgroup v2": _cgroup_v2,
    "user namespaces": _user_namespaces,
    "user mounts": _user_mounts,
    "hard rlimits": _hard_rlimits,
    "docker client": _docker_client,
    "docker registry": _docker_registry,
    "skopeo": _skopeo,
    "buildah": _buildah,
    "openssl": _openssl,
    "git": _git,
    "real docker": _real_docker,
}
"""Capability -> its probe. Tests name them in ``@pytest.mark.requires(...)``."""
