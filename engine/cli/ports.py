"""``docket port``, and the PORTS column of ``docket ps``."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options
from engine.cli.output import CommandError, out
from engine.cli.session import Session
from engine.client.api import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show_ports(session: Session, options: Options, arguments: list[str]) -> int:
    container = arguments[0]
    found = session.client.call("GET", path_of("containers", container, "json"))
    published = (found.get("NetworkSettings") or {}).get("Ports") or {}
    if len(arguments) == 1:
        lines = [
            f"{port} -> {_endpoint(where['HostIp'], where['HostPort'])}\n"
            for port, places in sorted(published.items(), key=lambda item: _order(item[0]))
            for where in places or ()
        ]
        out("".join(lines))
        return 0
    port, _, protocol = arguments[1].partition("/")
    if not port.isdecimal():
        raise CommandError(f'Error: invalid port "{arguments[1]}": use PRIVATE_PORT or PRIVATE_PORT/PROTO')
    places = published.get(f"{port}/{protocol or 'tcp'}")
    if not places:
        raise CommandError(f"Error: No public port '{arguments[1]}' published for {container}")
    out("".join(_endpoint(where["HostIp"], where["HostPort"]) + "\n" for where in places))
    return 0


def _endpoint(address: str, port: str | int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _order(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return (int(number) if number.isdecimal() else 0, protocol)


def describe_ports(ports: list[dict[str, Any]]) -> str:
    """"0.0.0.0:8000-8001->80-81/tcp, 443/tcp": neighbours in one range, published ones before the others."""
    groups: list[list[Any]] = []  # [address, first private, last private, first public, last public, protocol]
    for port in sorted(ports, key=_sort_key):
        private, public = port.get("PrivatePort", 0), port.get("PublicPort", 0)
        address, protocol = port.get("IP", "") if public else "", port.get("Type", "tcp")
        last = groups[-1] if groups else None
        follows = last is not None and last[0] == address and last[5] == protocol and last[2] + 1 == private
        if last is not None and follows and bool(last[4]) == bool(public) and (not public or last[4] + 1 == public):
            last[2], last[4] = private, public
        else:
            groups.append([address, private, private, public, public, protocol])
    groups.sort(key=lambda group: not group[3])
    return ", ".join(map(_group_text, groups))


def _sort_key(port: dict[str, Any]) -> tuple[str, str, int, int]:
    public = port.get("PublicPort", 0)
    return (port.get("IP", "") if public else "", port.get("Type", "tcp"), port.get("PrivatePort", 0), public)


def _group_text(group: list[Any]) -> str:
    address, first, last, first_public, last_public, protocol = group
    private = str(first) if first == last else f"{first}-{last}"
    if not first_public:
        return f"{private}/{protocol}"
    public = str(first_public) if first_public == last_public else f"{first_public}-{last_public}"
    return f"{_endpoint(address, public)}->{private}/{protocol}"


PORT = Command(
    show_ports,
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    least=1,
    most=2,
    examples="docket port web\ndocket port web 80/tcp",
)
