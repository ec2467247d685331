"""The value of ``--mount``: "type=bind,source=/srv,target=/srv,readonly" as a mount of the API. Raises ValueError."""

from __future__ import annotations

import os

from engine.cli.quantities import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_BIND_RECURSIVE = {
    "enabled": "", "disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive",
}  # fmt: skip


def parse_mount_flag(text: str) -> dict[str, Any]:
    """"type=bind,source=/srv,target=/srv,readonly": a mount of the API."""
    mount: dict[str, Any] = {"Type": "volume"}
    for field in _csv(text):
        key, has_value, value = field.partition("=")
        key = _MOUNT_KEYS.get(key.strip().lower(), key.strip().lower())
        if not has_value and key not in ("readonly", "volume-nocopy", "bind-nonrecursive"):
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        _set_mount_field(mount, key, value if has_value else "true", field)
    if "Target" not in mount:
        raise ValueError("target is required")
    for kind, options in (("bind", "BindOptions"), ("volume", "VolumeOptions"), ("tmpfs", "TmpfsOptions")):
        if options in mount and mount["Type"] != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")
    if mount["Type"] == "bind" and "Source" not in mount:
        raise ValueError("source is required when specifying mount type bind")
    return mount


def _csv(text: str) -> list[str]:
    """Fields between commas; one in double quotes may hold commas."""
    fields, current, in_quotes = [], "", False
    for mark in text:
        if mark == '"':
            in_quotes = not in_quotes
        elif mark == "," and not in_quotes:
            fields.append(current)
            current = ""
        else:
            current += mark
    if in_quotes:
        raise ValueError(f'missing closing quote in "{text}"')
    return [*fields, current]


def _set_mount_field(mount: dict[str, Any], key: str, value: str, field: str) -> None:
    if key == "type":
        mount["Type"] = value.lower()
    elif key == "source":
        mount["Source"] = os.path.abspath(value) if value.startswith((".", "~/")) or value == "." else value
    elif key == "target":
        mount["Target"] = value
    elif key == "readonly":
        mount["ReadOnly"] = _truth(key, value)
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    elif key.startswith("bind-"):
        _set_bind_option(mount.setdefault("BindOptions", {}), key, value)
    elif key.startswith("volume-"):
        _set_volume_option(mount.setdefault("VolumeOptions", {}), key, value)
    elif key == "tmpfs-size":
        mount.setdefault("TmpfsOptions", {})["SizeBytes"] = _named(key, value, parse_size)
    elif key == "tmpfs-mode":
        mount.setdefault("TmpfsOptions", {})["Mode"] = _named(key, value, lambda octal: int(octal, 8))
    else:
        raise ValueError(f"unexpected key '{key}' in '{field}'")


def _set_bind_option(options: dict[str, Any], key: str, value: str) -> None:
    if key == "bind-propagation":
        options["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        options["NonRecursive"] = _truth(key, value)
    elif key == "bind-recursive":
        if value not in _BIND_RECURSIVE:
            raise ValueError(f"invalid value for {key}: {value}: use {', '.join(_BIND_RECURSIVE)}")
        if value != "enabled":
            options[_BIND_RECURSIVE[value]] = True
    else:
        raise ValueError(f"unexpected key '{key}'")


def _set_volume_option(options: dict[str, Any], key: str, value: str) -> None:
    if key == "volume-nocopy":
        options["NoCopy"] = _truth(key, value)
    elif key == "volume-subpath":
        options["Subpath"] = value
    elif key == "volume-label":
        name, _, label = value.partition("=")
        options.setdefault("Labels", {})[name] = label
    elif key == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        name, _, option = value.partition("=")
        options.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = option
    else:
        raise ValueError(f"unexpected key '{key}'")


def _truth(key: str, value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise ValueError(f"invalid value for {key}: {value}")


def _named(key: str, value: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"invalid value for {key}: {value}") from error
