"""A container's settings as an OCI runtime specification (1.2), with Docker's defaults for isolation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Mapping, Sequence

from engine.domain.errors import InvalidArgument
from engine.services import limits
from engine.services.mount_points import MountPoint

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
)  # fmt: skip

ALL_CAPABILITIES = DEFAULT_CAPABILITIES + tuple(
    f"CAP_{name}"
    for name in (
        "DAC_READ_SEARCH", "LINUX_IMMUTABLE", "NET_BROADCAST", "NET_ADMIN", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE",
        "SYS_RAWIO", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
        "SYS_TTY_CONFIG", "LEASE", "AUDIT_CONTROL", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
        "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    )
)  # fmt: skip

MASKED_PATHS = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
]  # fmt: skip
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_DEVICE_RULES = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},  # nodes may be made, which gives no access to the device
    {"allow": True, "type": "b", "access": "m"},
    *({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for _, major, minor in DEVICES),
    {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},  # console
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},  # ptmx
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},  # pts
]

_SAFE_SYSCTLS = re.compile(r"kernel\.(shm\w+|msg\w+|sem)|fs\.mqueue\.\w+|net\.[\w./-]+")


def capabilities(host: Mapping[str, Any]) -> list[str]:
    """Docker's default set with --cap-add and --cap-drop applied (ALL first). Raises InvalidArgument."""
    added = [_capability(name) for name in host.get("CapAdd") or []]
    dropped = [_capability(name) for name in host.get("CapDrop") or []]
    if "ALL" in added:
        chosen = [name for name in ALL_CAPABILITIES if name not in dropped]
    else:
        base = () if "ALL" in dropped else DEFAULT_CAPABILITIES
        chosen = [name for name in base if name not in dropped]
        chosen += [name for name in added if name not in chosen]
    return chosen


def _capability(name: str) -> str:
    plain = name.upper()
    if plain == "ALL":
        return plain
    full = plain if plain.startswith("CAP_") else f"CAP_{plain}"
    if full not in ALL_CAPABILITIES:
        raise InvalidArgument(f'invalid capability: "{name}"')
    return full


def sysctls(host: Mapping[str, Any]) -> dict[str, str]:
    """Only what lies in a namespace of the container's own may be set. Raises InvalidArgument."""
    chosen = host.get("Sysctls") or {}
    for name in chosen:
        if not _SAFE_SYSCTLS.fullmatch(name) or ".." in name:
            raise InvalidArgument(f"sysctl {name!r} is not in a namespace of the container: it can't be set")
        if name.startswith("net.") and host.get("NetworkMode") == "host":
            raise InvalidArgument(f"sysctl {name!r} not allowed in host network namespace")
    return chosen


def environment(config: Mapping[str, Any], hostname: str) -> list[str]:
    """Docker's own variables first, the container's after them; a later name wins."""
    entries = [DEFAULT_PATH, f"HOSTNAME={hostname}", *(["TERM=xterm"] if config["Tty"] else [])]
    merged: dict[str, str] = {}
    for entry in [*entries, *config["Env"]]:
        name, separator, value = entry.partition("=")
        if separator:
            merged[name] = value
        else:
            merged.pop(name, None)  # "-e NAME" alone takes a variable away
    return [f"{name}={value}" for name, value in merged.items()]


def _system_mounts(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*quiet, "ro"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": [*quiet, "mode=1777", f"size={host['ShmSize']}"]},
    ]  # fmt: skip


def _user_mount(mount: MountPoint, volume_folder: Mapping[str, Path]) -> dict[str, Any]:
    access = "ro" if mount.read_only else "rw"
    if mount.type == "tmpfs":
        words = [word for word in mount.options if word not in ("ro", "rw")]
        options = ["nosuid", "nodev", "noexec", *words, access]
        return {"destination": mount.destination, "type": "tmpfs", "source": "tmpfs", "options": options}
    source = mount.source if mount.type == "bind" else str(volume_folder[mount.destination])
    return {
        "destination": mount.destination,
        "type": "bind",
        "source": source,
        "options": ["rbind", mount.propagation, access],
    }


def build(
    container_id: str,
    config: Mapping[str, Any],
    host: Mapping[str, Any],
    mounts: Sequence[MountPoint],
    volume_folder: Mapping[str, Path],
    files: Mapping[str, Path],
) -> dict[str, Any]:
    """The specification. ``volume_folder`` by destination; ``files`` are /etc/hosts and the like, by destination."""
    hostname = config["Hostname"] or container_id[:12]
    caps = capabilities(host)
    user_destinations = {mount.destination for mount in mounts}
    system = [mount for mount in _system_mounts(host) if mount["destination"] not in user_destinations]
    generated = [
        {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", "rprivate", "rw"]}
        for destination, source in files.items()
        if destination not in user_destinations
    ]
    namespaces = [{"type": kind} for kind in ("mount", "pid", "uts", "ipc", "cgroup")]
    if host["NetworkMode"] != "host":
        namespaces.append({"type": "network"})
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": config["Tty"],
            "user": {"uid": 0, "gid": 0},  # resolved in the image by the init
            "args": [*(config["Entrypoint"] or []), *(config["Cmd"] or [])],
            "env": environment(config, hostname),
            "cwd": config["WorkingDir"] or "/",
            "capabilities": {kind: caps for kind in ("bounding", "effective", "permitted")},
            "rlimits": [
                {"type": f"RLIMIT_{limit['Name'].upper()}", "soft": limit["Soft"], "hard": limit["Hard"]}
                for limit in host.get("Ulimits") or []
            ],
            "noNewPrivileges": any(option.startswith("no-new-privileges") for option in host.get("SecurityOpt") or []),
            "oomScoreAdj": host.get("OomScoreAdj") or 0,
        },
        "root": {"path": "rootfs", "readonly": bool(host.get("ReadonlyRootfs"))},
        "hostname": hostname,
        **({"domainname": config["Domainname"]} if config["Domainname"] else {}),
        "mounts": [*system, *generated, *(_user_mount(mount, volume_folder) for mount in mounts)],
        "linux": {
            "namespaces": namespaces,
            "resources": {**limits.resources(host), "devices": _DEVICE_RULES},
            "sysctl": sysctls(host),
            "devices": [
                {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
                for name, major, minor in DEVICES
            ],
            "maskedPaths": host.get("MaskedPaths") if host.get("MaskedPaths") is not None else MASKED_PATHS,
            "readonlyPaths": host.get("ReadonlyPaths") if host.get("ReadonlyPaths") is not None else READONLY_PATHS,
            "rootfsPropagation": "rprivate",
        },
        "annotations": host.get("Annotations") or {},
    }
