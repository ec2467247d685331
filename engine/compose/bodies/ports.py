"""Ports of a canonical service: what is published and what is only exposed."""

from __future__ import annotations

from engine.compose.project import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


def port_bindings(service: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """HostConfig.PortBindings. A port without ``published`` gets one that is free."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in service.get("ports") or ():
        published = str(port.get("published") or "")
        binding = {"HostIp": port.get("host_ip") or "", "HostPort": published}
        bindings.setdefault(f"{port['target']}/{port.get('protocol') or 'tcp'}", []).append(binding)
    return bindings


def exposed_ports(service: Mapping[str, Any]) -> list[str]:
    """Config.ExposedPorts: those of ``expose``, ranges taken apart, and the published ones."""
    found = [port for text in service.get("expose") or () for port in _expanded(str(text))]
    found += port_bindings(service)
    return sorted(set(found))


def _expanded(text: str) -> list[str]:
    ports, _, protocol = text.partition("/")
    first, _, last = ports.partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise ComposeError(f"expose: {text!r} is not a port")
    return [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]
