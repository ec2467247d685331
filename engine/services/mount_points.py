"""What a container mounts beside its root: HostConfig's Binds, Mounts and Tmpfs, and the volumes of its Config."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from engine.domain.errors import InvalidArgument, NotFound, NotSupported
from engine.services import volume_options

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST_NAME = 255
"""A volume's folder has its name."""
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_FORBIDDEN = ("/proc",)
_BIND_OPTIONS = ("Propagation", "CreateMountpoint", "NonRecursive", "ReadOnlyForceRecursive")
_VOLUME_OPTIONS = ("NoCopy", "Subpath", "Labels", "DriverConfig")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One mount. ``source`` is a host path (bind), a volume's name ("": an anonymous one) or nothing (tmpfs). Of
    volumes: ``copy``, whether a fresh one is filled with what the image has; ``subpath``, what of it is mounted; the
    options and labels of one that is made now."""

    type: str
    source: str
    destination: str
    read_only: bool = False
    create_source: bool = False
    propagation: str = "rprivate"
    options: tuple[str, ...] = ()
    copy: bool = True
    subpath: str = ""
    recursive: bool = True
    driver_options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def check_volume_name(name: str) -> str:
    """Raises InvalidArgument with Docker's wording."""
    if len(name) > _LONGEST_NAME:
        raise InvalidArgument(f'the volume name "{name:.40}..." is longer than {_LONGEST_NAME} characters')
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
    read_only, propagation, copy = False, "rprivate", True
    for option in filter(None, parts[2].split(",") if len(parts) == 3 else []):
        if option in ("ro", "rw"):
            read_only = option == "ro"
        elif option in _PROPAGATION:
            propagation = option
        elif option == "nocopy":
            copy = False
        elif option not in ("z", "Z"):  # labels mean nothing where SELinux is off
            raise InvalidArgument(f"invalid mode: {option}")
    if not source.startswith("/"):
        return MountPoint("volume", check_volume_name(source), destination, read_only, copy=copy)
    return MountPoint("bind", posixpath.normpath(source), destination, read_only, True, propagation)


_NOT_OF = {
    "bind": ("VolumeOptions", "TmpfsOptions"), "volume": ("BindOptions", "TmpfsOptions"),
    "tmpfs": ("Source", "BindOptions", "VolumeOptions"),
}  # fmt: skip
"""What has no meaning for a kind of mount."""


def _parse_mount(entry: Mapping[str, Any]) -> MountPoint:
    kind, source = entry.get("Type"), entry.get("Source") or ""
    for field in _NOT_OF.get(str(kind), ()):
        if entry.get(field):
            raise InvalidArgument(f'invalid mount config for type "{kind}": field {field} must not be specified')
    destination = _destination(entry.get("Target") or "")
    read_only = bool(entry.get("ReadOnly"))
    if kind == "bind":
        options = entry.get("BindOptions") or {}
        unknown = [key for key, value in options.items() if value and key not in _BIND_OPTIONS]
        if unknown:
            raise NotSupported(f"bind option {unknown[0]} is not supported by this version of docket yet")
        if not source.startswith("/"):
            raise InvalidArgument(
                f"invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
            )
        create = bool(options.get("CreateMountpoint"))
        propagation = options.get("Propagation") or "rprivate"
        if propagation not in _PROPAGATION:
            raise InvalidArgument(f"invalid mount config: invalid propagation mode: {propagation}")
        recursive = not options.get("NonRecursive")
        return MountPoint(
            "bind", posixpath.normpath(source), destination, read_only, create, propagation, recursive=recursive
        )  # fmt: skip
    if kind == "volume":
        options = entry.get("VolumeOptions") or {}
        return _volume(source, destination, read_only, options)
    if kind == "tmpfs":
        options = entry.get("TmpfsOptions") or {}
        if options.get("Options"):
            raise NotSupported("TmpfsOptions.Options is not supported by this version of docket yet: use --tmpfs")
        words = [f"size={options['SizeBytes']}"] if options.get("SizeBytes") else []
        words += [f"mode={options['Mode']:o}"] if options.get("Mode") else []
        return MountPoint("tmpfs", "", destination, read_only, options=tuple(words))
    raise InvalidArgument(f"mount type {kind!r} unknown")


def _volume(source: str, destination: str, read_only: bool, options: Mapping[str, Any]) -> MountPoint:
    unknown = [key for key, value in options.items() if value and key not in _VOLUME_OPTIONS]
    if unknown:
        raise NotSupported(f"volume option {unknown[0]} is not supported by this version of docket yet")
    driver = options.get("DriverConfig") or {}
    if (driver.get("Name") or "local") != "local":
        raise NotFound(f'error looking up volume plugin {driver["Name"]}: plugin "{driver["Name"]}" not found')
    subpath = options.get("Subpath") or ""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise InvalidArgument(f"invalid mount config: subpath must be a relative path within the volume: {subpath!r}")
    if subpath and not source:
        raise InvalidArgument("invalid mount config: must not set Subpath when using anonymous volumes")
    return MountPoint(
        "volume", check_volume_name(source) if source else "", destination, read_only,
        copy=not options.get("NoCopy"), subpath=posixpath.normpath(subpath) if subpath else "",
        driver_options=tuple(sorted(volume_options.check(driver.get("Options") or {}).items())),
        labels=tuple(sorted((options.get("Labels") or {}).items())),
    )  # fmt: skip


_TMPFS_FLAGS = frozenset("ro rw nosuid suid nodev dev noexec exec sync async noatime relatime strictatime".split())
_TMPFS_DATA = frozenset("size mode uid gid nr_inodes nr_blocks mpol huge".split())


def _parse_tmpfs(path: str, text: str) -> MountPoint:
    options = [option for option in text.split(",") if option]
    for option in options:
        if option not in _TMPFS_FLAGS and option.partition("=")[0] not in _TMPFS_DATA:
            raise InvalidArgument(f"invalid tmpfs option {option!r}")
    return MountPoint("tmpfs", "", _destination(path), "ro" in options, options=tuple(options))
