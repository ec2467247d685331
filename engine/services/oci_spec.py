"""A container's settings as an OCI runtime specification (1.2), with Docker's defaults for isolation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Mapping, Sequence

from engine.domain.errors import InvalidArgument
from engine.kernel.capabilities import NAMES
from engine.services import clock_offsets, devices, limits, security_options, user_namespace, volume_options
from engine.services.mount_points import MountPoint
from engine.services.security_options import SecurityOptions

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
)  # fmt: skip

ALL_CAPABILITIES = DEFAULT_CAPABILITIES + tuple(name for name in NAMES if name not in DEFAULT_CAPABILITIES)

MASKED_PATHS = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
]  # fmt: skip
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

_SAFE_SYSCTLS = re.compile(r"kernel\.(shm\w+|msg\w+|sem)|fs\.mqueue\.\w+|net\.[\w./-]+")


def capabilities(host: Mapping[str, Any]) -> list[str]:
    """Docker's default set with --cap-add and --cap-drop applied (ALL first); with --privileged all of them. Raises
    InvalidArgument."""
    added = [_capability(name, "CapAdd") for name in host.get("CapAdd") or []]
    dropped = [_capability(name, "CapDrop") for name in host.get("CapDrop") or []]
    if host.get("Privileged"):
        return list(ALL_CAPABILITIES)
    if "ALL" in added:
        chosen = [name for name in ALL_CAPABILITIES if name not in dropped]
    else:
        base = () if "ALL" in dropped else DEFAULT_CAPABILITIES
        chosen = [name for name in base if name not in dropped]
        chosen += [name for name in added if name not in chosen]
    return chosen


def _capability(name: str, field: str) -> str:
    plain = name.upper()
    if plain == "ALL":
        return plain
    full = plain if plain.startswith("CAP_") else f"CAP_{plain}"
    if full not in ALL_CAPABILITIES:
        raise InvalidArgument(f'invalid {field}: unknown capability: "{full}"')
    return full


def sysctls(host: Mapping[str, Any]) -> dict[str, str]:
    """Only what lies in a namespace of the container's own may be set. Raises InvalidArgument."""
    chosen = host.get("Sysctls") or {}
    for name in chosen:
        if not _SAFE_SYSCTLS.fullmatch(name) or ".." in name:
            raise InvalidArgument(f"sysctl {name!r} is not in a namespace of the container: it can't be set")
        if name.startswith("net.") and host.get("NetworkMode") == "host":
            raise InvalidArgument(f"sysctl {name!r} not allowed in host network namespace")
        if not name.startswith("net.") and host.get("IpcMode") == "host":
            raise InvalidArgument(f"sysctl {name!r} not allowed in host ipc namespace")
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


def _system_mounts(host: Mapping[str, Any], options: SecurityOptions) -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    sysfs = "rw" if host.get("Privileged") else "ro"
    cgroup = "rw" if host.get("Privileged") or options.writable_cgroups else "ro"
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, sysfs]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*quiet, cgroup]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        *_shared_memory_mount(host, quiet),
    ]  # fmt: skip


def _shared_memory_mount(host: Mapping[str, Any], quiet: list[str]) -> list[dict[str, Any]]:
    """/dev/shm belongs to the IPC namespace: its own, that of the host or of another container, or none."""
    mode = host.get("IpcMode") or ""
    if mode == "none":
        return []
    if mode == "host" or mode.startswith("container:"):  # the init finds another container's by its mount namespace
        return [{"destination": "/dev/shm", "type": "bind", "source": "/dev/shm", "options": ["bind", *quiet]}]
    options = [*quiet, "mode=1777", f"size={host['ShmSize']}"]
    return [{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": options}]


def _user_mount(
    mount: MountPoint, volume_folder: Mapping[str, Path], volume_opts: Mapping[str, Mapping[str, str]], *, mapped: bool
) -> dict[str, Any]:
    access = "ro" if mount.read_only else "rw"
    if mount.type == "tmpfs":
        words = [word for word in mount.options if word not in ("ro", "rw")]
        options = ["nosuid", "nodev", "noexec", *words, access]
        return {"destination": mount.destination, "type": "tmpfs", "source": "tmpfs", "options": options}
    if options := volume_opts.get(mount.destination):
        return volume_options.mount_of(options, mount.destination, access)
    source = mount.source if mount.type == "bind" else str(volume_folder[mount.destination])
    return {
        "destination": mount.destination,
        "type": "bind",
        "source": source,
        "options": [
            "rbind" if mount.recursive else "bind", mount.propagation, access,
            *(["rro"] if mount.recursive and mount.read_only else []),
            *(["idmap"] if mapped and mount.type == "volume" else []),
        ],
    }


def _path_lists(host: Mapping[str, Any]) -> dict[str, list[str]]:
    if host.get("Privileged"):
        return {"maskedPaths": [], "readonlyPaths": []}
    masked, read_only = host.get("MaskedPaths"), host.get("ReadonlyPaths")
    return {
        "maskedPaths": MASKED_PATHS if masked is None else masked,
        "readonlyPaths": READONLY_PATHS if read_only is None else read_only,
    }


def rlimits(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``process.rlimits``."""
    return [
        {"type": f"RLIMIT_{limit['Name'].upper()}", "soft": limit.get("Soft") or 0, "hard": limit.get("Hard") or 0}
        for limit in host.get("Ulimits") or []
    ]


def has_own_network(host: Mapping[str, Any]) -> bool:
    """Whether the container gets a network namespace of its own."""
    return host["NetworkMode"] != "host" and not host["NetworkMode"].startswith("container:")


PRIVATE_NAMESPACES = tuple({"type": kind} for kind in ("mount", "pid", "uts", "ipc", "cgroup"))


def build(
    container_id: str,
    config: Mapping[str, Any],
    host: Mapping[str, Any],
    mounts: Sequence[MountPoint],
    volume_folder: Mapping[str, Path],
    files: Mapping[str, Path],
    *,
    options: SecurityOptions | None = None,
    namespaces: Sequence[Mapping[str, Any]] = PRIVATE_NAMESPACES,
    volume_opts: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """The specification. ``volume_folder`` and ``volume_opts`` (of the driver) by destination; ``files`` are /etc/hosts
    and the like, by destination; ``namespaces`` are all but a network's of its own."""
    hostname = config["Hostname"] or container_id[:12]
    options = options or security_options.parse(host)
    mappings = user_namespace.mappings(host)
    mapped, wanted = bool(mappings), {mount.destination for mount in mounts}
    return {
        "ociVersion": "1.1.0" if host.get("TimeOffsets") else "1.0.2",  # the first that has all that is in it
        "process": _process(config, host, hostname, options),
        "root": {"path": "rootfs", "readonly": bool(host.get("ReadonlyRootfs"))},
        "hostname": hostname,
        **({"domainname": config["Domainname"]} if config["Domainname"] else {}),
        "mounts": [
            *(mount for mount in _system_mounts(host, options) if mount["destination"] not in wanted),
            *(_generated(place, file, mapped=mapped) for place, file in files.items() if place not in wanted),
            *(_user_mount(mount, volume_folder, volume_opts or {}, mapped=mapped) for mount in mounts),
        ],
        "linux": _linux(host, namespaces, mappings),
        "annotations": host.get("Annotations") or {},
    }


def _process(
    config: Mapping[str, Any], host: Mapping[str, Any], hostname: str, options: SecurityOptions
) -> dict[str, Any]:
    caps = capabilities(host)
    return {
        "terminal": config["Tty"],
        "user": {"uid": 0, "gid": 0},  # resolved in the image by the init
        "args": [*(config["Entrypoint"] or []), *(config["Cmd"] or [])],
        "env": environment(config, hostname),
        "cwd": config["WorkingDir"] or "/",
        "capabilities": {kind: caps for kind in ("bounding", "effective", "permitted")},
        "rlimits": rlimits(host),
        "noNewPrivileges": options.no_new_privileges,
        **({"apparmorProfile": profile} if (profile := security_options.apparmor_profile(host)) else {}),
        "oomScoreAdj": host.get("OomScoreAdj") or 0,
    }


def _generated(destination: str, source: Path, *, mapped: bool) -> dict[str, Any]:
    options = ["rbind", "rprivate", "rw", *(["idmap"] if mapped else [])]
    return {"destination": destination, "type": "bind", "source": str(source), "options": options}


def _linux(
    host: Mapping[str, Any], namespaces: Sequence[Mapping[str, Any]], mappings: Mapping[str, Any]
) -> dict[str, Any]:
    time_offsets = clock_offsets.offsets(host)
    nodes, device_rules = devices.of_container(host)
    return {
        "namespaces": [
            *namespaces,
            *([{"type": "network"}] if has_own_network(host) else []),
            *([{"type": "user"}] if mappings else []),
            *([{"type": "time"}] if time_offsets else []),
        ],
        **mappings,
        **({"timeOffsets": time_offsets} if time_offsets else {}),
        "resources": {**limits.resources(host), "devices": device_rules},
        "sysctl": sysctls(host),
        "devices": nodes,
        **_path_lists(host),
        "rootfsPropagation": "rprivate",
    }
