"""What a process that is ready to execute its command really got, as the kernel says: never what was asked for."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from engine.kernel import capabilities, cgroups, namespaces

_STATUS = {"Uid": "uid", "Gid": "gid", "Groups": "groups", "NoNewPrivs": "no_new_privileges", "Seccomp": "seccomp_mode"}


def read(pid: int, cgroup: cgroups.Cgroup) -> dict[str, Any]:
    """Namespaces by inode, cgroups with their limits, capability sets, user, resource limits, mounts."""
    status = _status(pid)
    lines = _text(pid, "mountinfo").splitlines()
    return {
        "namespaces": namespaces.inodes(pid),
        "cgroups": _memberships(pid),
        "limits": cgroup.read_limits(),
        "capabilities": capabilities.of_process(pid),
        "no_new_privileges": status.get("no_new_privileges") == ["1"],
        "seccomp_mode": int(status.get("seccomp_mode", ["0"])[0]),
        "user": {
            "uid": int(status["uid"][0]),
            "gid": int(status["gid"][0]),
            "groups": [int(number) for number in status["groups"]],
        },
        "uid_map": _text(pid, "uid_map").split(),
        "gid_map": _text(pid, "gid_map").split(),
        "rlimits": _rlimits(pid),
        "oom_score_adj": int(_text(pid, "oom_score_adj")),
        "mounts": [_mount(line) for line in lines],
        "mounts_digest": "sha256:" + hashlib.sha256("\n".join(map(_mount, lines)).encode()).hexdigest(),
    }


def _text(pid: int, name: str) -> str:
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        parts = []
        while part := file.read(65536):
            parts.append(part)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _status(pid: int) -> dict[str, list[str]]:
    found = {}
    for line in _text(pid, "status").splitlines():
        name, _, value = line.partition(":")
        if name in _STATUS:
            found[_STATUS[name]] = value.split()
    return found


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
