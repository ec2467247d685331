"""What a container mounts beside its root: HostConfig's Binds, Mounts and Tmpfs, and the volumes of its Config."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from engine.domain.errors import InvalidArgument, NotSupported

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_FORBIDDEN = ("/proc",)


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One mount. ``source`` is a host path (bind), a volume's name ("": an anonymous one) or nothing (tmpfs)."""

    type: str
    source: str
    destination: str
    read_only: bool = False
    create_source: bool = False
    propagation: str = "rprivate"
    options: tuple[str, ...] = ()


def check_volume_name(name: str) -> str:
    """Raises InvalidArgument with Docker's wording."""
    if not _VOLUME_NAME.fullmatch(name) or len(name) < 2:
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    return name


def parse(host: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[MountPoint, ...]:
    """All mounts of a request, sorted so that a parent comes before what lies below it. Raises InvalidArgument."""
    mounts = [_parse_bind(text) for text in host.get("Binds") or []]
    mounts += [_parse_mount(entry) for entry in host.get("Mounts") or []]
    mounts += [_parse_tmpfs(path, options) for path, options in (host.get("Tmpfs") or {}).items()]
    seen: set[str] = set()
    for mount in mounts:
        if mount.destination in seen:
            raise InvalidArgument(f"Duplicate mount point: {mount.destination}")
        seen.add(mount.destination)
    for path in config.get("Volumes") or {}:
        destination = _destination(path)
        if destination not in seen:
            seen.add(destination)
            mounts.append(MountPoint("volume", "", destination))
    return tuple(sorted(mounts, key=lambda mount: mount.destination.count("/")))


def check_sources(mounts: Sequence[MountPoint]) -> None:
    """A container is made only with bind sources that exist or are to be made. Raises InvalidArgument."""
    for mount in mounts:
        if mount.type == "bind" and not mount.create_source and not os.path.lexists(mount.source):
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
            )


def _destination(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount config: mount path must be absolute: {path!r}")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise InvalidArgument("invalid mount config: destination can't be '/'")
    for forbidden in _FORBIDDEN:
        if clean == forbidden or clean.startswith(forbidden + "/"):
            raise InvalidArgument(f"invalid mount config: {clean!r} can't be mounted over: it is inside {forbidden}")
    return clean


def _parse_bind(text: str) -> MountPoint:
    """``source:destination[:options]``, or ``destination`` alone for an anonymous volume."""
    parts = text.split(":")
    if len(parts) == 1:
        return MountPoint("volume", "", _destination(parts[0]))
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    source, destination = parts[0], _destination(parts[1])
    read_only, propagation = False, "rprivate"
    for option in filter(None, parts[2].split(",") if len(parts) == 3 else []):
        if option in ("ro", "rw"):
            read_only = option == "ro"
        elif option in _PROPAGATION:
            propagation = option
        elif option not in ("z", "Z", "nocopy"):  # labels mean nothing where SELinux is off; nothing is copied up yet
            raise InvalidArgument(f"invalid mode: {option}")
    if not source.startswith("/"):
        return MountPoint("volume", check_volume_name(source), destination, read_only)
    return MountPoint("bind", posixpath.normpath(source), destination, read_only, True, propagation)


def _parse_mount(entry: Mapping[str, Any]) -> MountPoint:
    kind, source = entry.get("Type"), entry.get("Source") or ""
    destination = _destination(entry.get("Target") or "")
    read_only = bool(entry.get("ReadOnly"))
    if kind == "bind":
        options = entry.get("BindOptions") or {}
        unknown = [key for key, value in options.items() if value and key not in ("Propagation", "CreateMountpoint")]
        if unknown:
            raise NotSupported(f"bind option {unknown[0]} is not supported by this version of docket yet")
        if not source.startswith("/"):
            raise InvalidArgument(
                f"invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
            )
        create = bool(options.get("CreateMountpoint"))
        propagation = options.get("Propagation") or "rprivate"
        return MountPoint("bind", posixpath.normpath(source), destination, read_only, create, propagation)
    if kind == "volume":
        options = entry.get("VolumeOptions") or {}
        unknown = [key for key, value in options.items() if value and key != "NoCopy"]
        if unknown:
            raise NotSupported(f"volume option {unknown[0]} is not supported by this version of docket yet")
        return MountPoint("volume", check_volume_name(source) if source else "", destination, read_only)
    if kind == "tmpfs":
        options = entry.get("TmpfsOptions") or {}
        words = [f"size={options['SizeBytes']}"] if options.get("SizeBytes") else []
        words += [f"mode={options['Mode']:o}"] if options.get("Mode") else []
        return MountPoint("tmpfs", "", destination, read_only, options=tuple(words))
    raise InvalidArgument(f"mount type {kind!r} unknown")


_TMPFS_FLAGS = frozenset("ro rw nosuid suid nodev dev noexec exec sync async noatime relatime strictatime".split())
_TMPFS_DATA = frozenset("size mode uid gid nr_inodes nr_blocks mpol huge".split())


def _parse_tmpfs(path: str, text: str) -> MountPoint:
    options = [option for option in text.split(",") if option]
    for option in options:
        if option not in _TMPFS_FLAGS and option.partition("=")[0] not in _TMPFS_DATA:
            raise InvalidArgument(f"invalid tmpfs option {option!r}")
    return MountPoint("tmpfs", "", _destination(path), "ro" in options, options=tuple(options))
