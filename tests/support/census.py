"""What the engine or a test could leave behind on the machine, counted before and after.

Other programs run on the machine at the same time, so that each item is asked for in a way that finds only ours:
processes by the data root that their environment, command line or mounts name, cgroups by the parent that is the
engine's own, mounts of this mount namespace, interfaces, this process's children and descriptors, temporary files by
the engine's prefix. Namespaces live as long as a process, a mount or a descriptor of these.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import socket
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from engine.kernel import nftables, nftables_state

from support.machine import OWN_PREFIX, cgroup_mounts
from support.waiting import eventually


@dataclass(frozen=True)
class Census:
    """Names of everything found, by kind."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    tables: frozenset[str]
    processes: frozenset[str]
    descriptors: frozenset[str]
    temporary_files: frozenset[str]

    def added_since(self, before: Census) -> dict[str, list[str]]:
        """What is here now and was not before, by kind; kinds without additions are absent."""
        added = {}
        for field in fields(self):
            new = getattr(self, field.name) - getattr(before, field.name)
            if new:
                added[field.name] = sorted(map(_described, new) if field.name == "processes" else new)
        return added


def take_census(home: Path | None = None) -> Census:
    """Count now. ``home`` is the folder with an engine's data root and run folder, if the test has one."""
    return Census(
        _mounts(), _cgroups(home), _interfaces(), _tables(), _processes(home), _descriptors(),
        _temporary_files(),
    )  # fmt: skip


def assert_nothing_left(before: Census, home: Path | None = None, *, timeout_s: float = 10.0) -> None:
    """Fail, naming everything, unless the machine comes back to ``before`` in time (the kernel tears down lazily)."""

    def probe() -> bool:
        left = take_census(home).added_since(before)
        if left:
            gc.collect()  # what cycles keep open is nobody's
            left = take_census(home).added_since(before)
        assert not left, f"left behind: {left}"
        return True

    eventually(probe, timeout_s=timeout_s)


def _mounts() -> frozenset[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return frozenset(f"{line.split()[4]} ({line.partition(' - ')[2].split()[0]})" for line in lines)


def cgroup_parent(home: Path) -> str:
    """The name of the cgroup that holds all containers of the engine in ``home`` (see engine.daemon)."""
    return f"docket-{hashlib.sha256(os.fsencode((home / 'root').resolve())).hexdigest()[:12]}"


def _cgroups(home: Path | None) -> frozenset[str]:
    """Without a home: what tests of the kernel made by themselves, under names of their own. With one: everything
    below the engine's parent, which itself stays as long as the daemon."""
    pattern = cgroup_parent(home) if home else f"{OWN_PREFIX}*"
    found: set[str] = set()
    for point in set(cgroup_mounts().values()):
        for parent in point.glob(pattern):
            found.update(folder for folder, _, _ in os.walk(parent) if home is None or Path(folder) != parent)
    return frozenset(found)


def assert_parent_is_gone(home: Path) -> None:
    """After the daemon's end, where no container is left, not even the parent of their cgroups is."""
    left = [str(point) for point in set(cgroup_mounts().values()) if (point / cgroup_parent(home)).exists()]
    assert not left, f"the cgroup parent of {home} is left in {left}"


def network_tag(home: Path) -> str:
    """What the engine in ``home`` has in the names of its interfaces and tables (see engine.daemon)."""
    return hashlib.sha256(os.fsencode((home / "root").resolve())).hexdigest()[:8]


_OF_A_DAEMON = re.compile(r"(dkt|docket-)[0-9a-f]{8}")
"""The bridge of an engine's default network and its table, which stay as long as its daemon: whoever ends that asks
``assert_networks_are_gone``."""


def _interfaces() -> frozenset[str]:
    names = (name for _, name in socket.if_nameindex())  # /sys shows those of the namespace that mounted it
    return frozenset(name for name in names if not _OF_A_DAEMON.fullmatch(name))


def _tables() -> frozenset[str]:
    """Of nf_tables, as far as this process may see them."""
    try:
        return frozenset(
            f"{family} {name}" for family in (nftables.IPV4, nftables.IPV6)
            for name in nftables_state.tables(family) if not _OF_A_DAEMON.fullmatch(name)
        )  # fmt: skip
    except OSError:
        return frozenset()


def assert_networks_are_gone(home: Path) -> None:
    """After the daemon's end, where no container is left, the kernel has nothing of its networks."""
    tag = network_tag(home)
    left = [name for _, name in socket.if_nameindex() if name == f"dkt{tag}" or name.startswith(f"vd{tag[:4]}")]
    assert not left, f"interfaces of {home} are left: {left}"
    try:
        tables = nftables_state.tables(nftables.IPV4)
    except OSError:
        return  # who may not look can't have made any
    assert f"docket-{tag}" not in tables, f"rules of {home} are left"


def processes_of(home: Path) -> list[int]:
    """Every process of the engine that lives in ``home``: daemon, spawner, shims, inits. Their environment, command
    line or mounts name it."""
    needle, own = os.fsencode(home), str(os.getpid())
    mounted: dict[tuple[str, str], bool] = {}  # reading mounts takes long, and most processes see the same ones
    return [
        int(pid) for pid in os.listdir("/proc")
        if pid.isdigit() and pid != own and (_is_named(pid, needle) or _has_mounted(pid, needle, mounted))
    ]  # fmt: skip


def _is_named(pid: str, needle: bytes) -> bool:
    return any(needle in _proc(pid, item) for item in ("environ", "cmdline"))


def _has_mounted(pid: str, needle: bytes, known: dict[tuple[str, str], bool]) -> bool:
    try:
        seen = os.readlink(f"/proc/{pid}/ns/mnt"), os.readlink(f"/proc/{pid}/root")
    except OSError:
        return False  # it ended, or it is a zombie
    if seen not in known:
        known[seen] = needle in _proc(pid, "mountinfo")
    return known[seen]


def _proc(pid: str, item: str) -> bytes:
    """A file of a process in /proc, empty where it ended."""
    try:
        with open(f"/proc/{pid}/{item}", "rb", 0) as file:
            return file.read()
    except OSError:
        return b""


def _processes(home: Path | None) -> frozenset[str]:
    pids = set(processes_of(home)) if home else set()
    for task in os.listdir("/proc/self/task"):
        try:
            pids.update(int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text().split())
        except FileNotFoundError:
            continue  # a thread that has just ended
    return frozenset(_identity(pid) for pid in pids if not _is_spare(pid))


def _is_spare(pid: int) -> bool:
    """A shim that was forked ahead, or its launcher: no container's yet. They go with their engine."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "docket-spare\n"
    except OSError:
        return False


def _identity(pid: int) -> str:
    """The pid; a daemon is known by its data root, which no two can have at once, since a test may start it again."""
    command = _command(str(pid))
    return command if " engine.daemon " in command else str(pid)


def _described(identity: str) -> str:
    return f"{identity} {_command(identity) or 'ended'}" if identity.isdigit() else identity


def _command(pid: str) -> str:
    return _proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")[:80]


def _descriptors() -> frozenset[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return frozenset(found)


def _temporary_files() -> frozenset[str]:
    folders = {tempfile.gettempdir(), "/run", "/dev/shm", "/var/tmp"}
    names = set()
    for folder in filter(os.path.isdir, folders):
        names.update(f"{folder}/{name}" for name in os.listdir(folder) if name.startswith(OWN_PREFIX))
    return frozenset(names)
