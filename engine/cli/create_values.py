"""Values of single flags of ``create`` and ``run``, in Docker's notations. Every parser raises ValueError."""

from __future__ import annotations

from engine.cli.flags import parse_int
from engine.cli.quantities import parse_size
from engine.client.moments import duration_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")
_ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
_NAMESPACED_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
)  # fmt: skip


def set_only(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0, [], {}, False)}


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


def parse_time_offset(text: str) -> tuple[str, int]:
    """"boottime=24h", "monotonic=-90s" -> the clock and nanoseconds."""
    clock, found, offset = text.partition("=")
    if not found or clock not in ("boottime", "monotonic"):
        raise ValueError("use boottime=DURATION or monotonic=DURATION")
    offset_ns = duration_ns(offset.lstrip("+-"))
    return clock, -offset_ns if offset.startswith("-") else offset_ns


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
        wanted = "the correct format is <device-path>:<number>[<unit>]"
        raise ValueError(f"invalid rate for device: {text}: {wanted}") from error


def parse_weight(text: str) -> dict[str, Any]:
    """"/dev/sda:300"."""
    device, found, weight = text.rpartition(":")
    if not found or not device.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}" if found else f"bad format: {text}")
    if not weight.isdecimal() or (int(weight) != 0 and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": device, "Weight": int(weight)}


def parse_link(text: str) -> str:
    """NAME or NAME:ALIAS of ``--link``, complete. Raises ValueError."""
    parts = text.split(":")
    if len(parts) > 2 or not all(parts):
        raise ValueError(f"bad format for links: {text}")
    return f"{parts[0]}:{parts[-1]}"
