"""Ports in the short form: ``[[HOST-IP:]PUBLISHED:]TARGET[/PROTOCOL]``, with ranges."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROTOCOLS = ("tcp", "udp", "sctp")


def parse_port(text: str) -> list[dict[str, Any]]:
    """The ports of one entry in long form; a range of as many published ports as targets is taken apart.

    Raises ValueError."""
    address, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    host_ip, published, target = _split(address)
    if not target:
        raise ValueError(f"no port specified: {text}")
    first, last = _range(target, "containerPort")
    first_published, last_published = _range(published, "hostPort") if published else (0, 0)
    several, published_several = last - first, last_published - first_published
    if published and several != published_several and several:
        raise ValueError(f"invalid ranges specified for container and host ports: {target} and {published}")
    found = []
    for offset in range(several + 1):
        entry = {"mode": "ingress", "target": first + offset, "protocol": protocol}
        if host_ip:
            entry["host_ip"] = host_ip
        if published:
            whole_range = f"{first_published}-{last_published}" if published_several else str(first_published)
            entry["published"] = str(first_published + offset) if several else whole_range
        found.append(entry)
    return sorted(found, key=lambda entry: str(entry["target"]) + "/")


def _split(address: str) -> tuple[str, str, str]:
    """Host address, published, target; an IPv6 address may stand in brackets."""
    parts = address.rsplit(":", 2)
    host_ip, published, target = [""] * (3 - len(parts)) + parts
    if host_ip.startswith("[") and host_ip.endswith("]"):
        host_ip = host_ip[1:-1]
    if host_ip and not _is_address(host_ip):
        raise ValueError(f"invalid IP address: {host_ip}")
    return host_ip, published, target


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _range(text: str, what: str) -> tuple[int, int]:
    start, has_end, end = text.partition("-")
    numbers = [start, end] if has_end else [start, start]
    if not all(number.isascii() and number.isdecimal() and int(number) < 65536 for number in numbers):
        raise ValueError(f"invalid {what}: {text}")
    first, last = int(numbers[0]), int(numbers[1])
    if last < first:
        raise ValueError(f"invalid {what}: {text}: the range ends before it starts")
    return first, last
