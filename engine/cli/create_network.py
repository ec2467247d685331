"""The network part of a container to be created: name servers, addresses, published and exposed ports."""

from __future__ import annotations

from engine.cli.create_values import set_only
from engine.cli.output import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.cli.flags import Options

WITHOUT_NAMES = ("default", "bridge", "host", "none")


def is_users(network: str) -> bool:
    """Whether it is a network that somebody made, where containers have names."""
    return network not in WITHOUT_NAMES and not network.startswith("container:")


def network_settings(options: Options, config: dict[str, Any]) -> dict[str, Any]:
    """Fields of HostConfig; published ports are added to the exposed ones of ``config``."""
    if options.link and options.network not in ("default", "bridge") and not is_users(options.network):
        raise CommandError("links are only supported for user-defined networks and the default network", 125)
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in options.publish:
        for port, binding in published(text):
            bindings.setdefault(port, []).append(binding)
            config.setdefault("ExposedPorts", {})[port] = {}
    return {
        "NetworkMode": options.network,
        "PortBindings": bindings,
        "PublishAllPorts": options.publish_all,
        "Dns": options.dns,
        "DnsOptions": options.dns_option,
        "DnsSearch": options.dns_search,
        "ExtraHosts": options.add_host,
        "Links": [] if is_users(options.network) else options.link,
    }


def endpoint_settings(options: Options) -> dict[str, Any]:
    """What was asked for on the one network; empty where nothing was."""
    addresses = set_only({"IPv4Address": options.ip, "IPv6Address": options.ip6})
    links = options.link if is_users(options.network) else []
    return set_only({
        "IPAMConfig": addresses, "Aliases": options.network_alias, "MacAddress": options.mac_address, "Links": links,
    })  # fmt: skip


def published(text: str) -> list[tuple[str, dict[str, str]]]:
    """"[ip:][host:]container[/proto]", ranges on both sides: (container port, binding) for each."""
    endpoint, _, protocol = text.partition("/")
    head, _, inside = endpoint.rpartition(":")
    address, colon, host = head.rpartition(":")
    if not colon and ("." in head or head.startswith("[")):
        address, host = head, ""
    inner, outer = _port_range(inside, "containerPort"), _port_range(host, "hostPort") if host else []
    if outer and len(outer) != len(inner) and len(inner) != 1:
        raise CommandError(f"invalid ranges specified for container and host Ports: {inside} and {host}")
    if outer and len(inner) == 1 < len(outer):
        hosts = [host]  # the engine chooses one of the range
    else:
        hosts = [str(port) for port in outer] or [""] * len(inner)
    return [
        (f"{port}/{protocol.lower() or 'tcp'}", {"HostIp": address.strip("[]"), "HostPort": chosen})
        for port, chosen in zip(inner, hosts)
    ]


def _port_range(text: str, name: str) -> list[int]:
    first, dash, last = text.partition("-")
    if first.isdecimal() and (last.isdecimal() or not dash):
        start, end = int(first), int(last or first)
        if start <= end <= 65535:
            return list(range(start, end + 1))
    raise CommandError(f"invalid {name}: {text}")


def exposed_ports(text: str) -> list[str]:
    """The ports of ``--expose``: "80", "53/udp", "8000-8010"."""
    ports, _, protocol = text.partition("/")
    return [f"{port}/{protocol.lower() or 'tcp'}" for port in _port_range(ports, text)]
