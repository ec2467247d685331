"""What a process that is ready to execute its command really got, as the kernel says: never what was asked for."""

from __future__ import annotations

import os

from engine.kernel import capabilities, cgroups, namespaces
from engine.kernel.digest import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CAPABILITIES = {
    "CapBnd": "bounding", "CapEff": "effective", "CapInh": "inheritable", "CapPrm": "permitted", "CapAmb": "ambient",
}  # fmt: skip


def read(pid: int, cgroup: cgroups.Cgroup) -> dict[str, Any]:
    """Namespaces by inode, cgroups with their limits, capability sets, user, resource limits, mounts."""
    status = _status(pid)
    mounts = [_mount(line) for line in _text(pid, "mountinfo").splitlines()]
    return {
        "namespaces": namespaces.inodes(pid),
        "cgroups": _memberships(pid),
        "limits": cgroup.read_limits(),
        "capabilities": {
            name: capabilities.to_names(int(status[field][0], 16)) for field, name in _CAPABILITIES.items()
        },
        "no_new_privileges": status.get("NoNewPrivs") == ["1"],
        "seccomp_mode": int(status.get("Seccomp", ["0"])[0]),
        "user": {
            "uid": int(status["Uid"][0]),
            "gid": int(status["Gid"][0]),
            "groups": [int(number) for number in status["Groups"]],
        },
        "uid_map": _text(pid, "uid_map").split(),
        "gid_map": _text(pid, "gid_map").split(),
        "time_offsets": _time_offsets(pid),
        "rlimits": _rlimits(pid),
        "oom_score_adj": int(_text(pid, "oom_score_adj")),
        "mounts": mounts,
        "mounts_digest": "sha256:" + sha256_hex("\n".join(mounts).encode("utf-8", "surrogateescape")),
    }


def _text(pid: int, name: str) -> str:
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _status(pid: int) -> dict[str, list[str]]:
    """Field -> words of proc_pid_status(5)."""
    pairs = (line.split(":", 1) for line in _text(pid, "status").splitlines())
    return {name: value.split() for name, value in pairs}


def _time_offsets(pid: int) -> dict[str, list[int]]:
    """Clock -> seconds and nanoseconds ahead of the host's (time_namespaces(7)); nothing where none is."""
    try:
        lines = _text(pid, "timens_offsets").splitlines()
    except FileNotFoundError:
        return {}
    found = {clock: [int(seconds), int(nanoseconds)] for clock, seconds, nanoseconds in map(str.split, lines)}
    return {clock: offset for clock, offset in found.items() if offset != [0, 0]}


def _memberships(pid: int) -> dict[str, str]:
    """Controllers (or "unified") -> path of the cgroup, as proc_pid_cgroup(5) has it."""
    found = {}
    for line in _text(pid, "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        found[controllers or "unified"] = path
    return found


def _rlimits(pid: int) -> dict[str, list[str]]:
    """Name -> [soft, hard], in the words of /proc/PID/limits."""
    found = {}
    for line in _text(pid, "limits").splitlines()[1:]:
        found[line[:26].strip()] = line[26:].split()[:2]
    return found


def _mount(line: str) -> str:
    """``<mount point> <type> <source> <mount options> <file system options>`` of a line of mountinfo."""
    left, _, right = line.partition(" - ")
    fields = left.split(" ")
    kind, source, *options = right.split(" ")
    return f"{fields[4]} {kind} {source} {fields[5]} {' '.join(options)}".rstrip()
