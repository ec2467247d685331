"""Values of single flags of ``create`` and ``run``, in Docker's notations. Every parser raises ValueError."""

from __future__ import annotations

import os

from engine.cli.flags import parse_int
from engine.cli.quantities import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")
_ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
    "sigpending", "stack",
)  # fmt: skip
_NAMESPACED_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
)  # fmt: skip


def parse_attach(text: str) -> str:
    if text.lower() not in _STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def parse_label(text: str) -> str:
    if not text.partition("=")[0].strip():
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def parse_sysctl(text: str) -> str:
    """Only those of the container's own namespaces."""
    name = text.partition("=")[0]
    if "=" not in text or not (name in _NAMESPACED_SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def parse_ulimit(text: str) -> dict[str, Any]:
    """"nofile=1024:2048" (soft:hard) or "nofile=1024"."""
    name, found, limits = text.partition("=")
    if not found:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    soft_text, has_hard, hard_text = limits.partition(":")
    if ":" in hard_text:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft = parse_int(soft_text)
    hard = parse_int(hard_text) if has_hard and hard_text else soft
    if hard != -1 and (soft > hard or soft == -1):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def parse_add_host(text: str) -> str:
    """"name:address" or "name=address"; the engine wants a colon."""
    at = min((place for place in (text.find("="), text.find(":")) if place >= 0), default=-1)
    host, address = (text[:at], text[at + 1 :].strip("[]")) if at > 0 else ("", "")
    if not host or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address != "host-gateway" and not _is_address(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{host}:{address}"


def _is_address(text: str) -> bool:
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False


def parse_device_rate(text: str) -> dict[str, Any]:
    """"/dev/sda:1mb"."""
    device, found, rate = text.rpartition(":")
    if not found or not device.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}" if found else f"bad format: {text}")
    try:
        return {"Path": device, "Rate": parse_size(rate)}
    except ValueError as error:
        raise ValueError(f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]") from error


def parse_weight(text: str) -> dict[str, Any]:
    """"/dev/sda:300"."""
    device, found, weight = text.rpartition(":")
    if not found or not device.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}" if found else f"bad format: {text}")
    if not weight.isdecimal() or (int(weight) != 0 and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": device, "Weight": int(weight)}


_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_BIND_RECURSIVE = ("enabled", "disabled", "writable", "readonly")


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
            options[{"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}[value]] = True
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


def _named(key: str, value: str, parse: Any) -> int:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"invalid value for {key}: {value}") from error
