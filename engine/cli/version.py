"""``docket version``: client and engine."""

from __future__ import annotations

import os

from engine import __version__
from engine.cli.command import Command
from engine.cli.flags import Options, text
from engine.cli.listing import for_terminal
from engine.cli.output import err, out
from engine.cli.session import Session
from engine.client.api import NEWEST_API
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_DETAILS = (
    ("ApiVersion", "API version"), ("GoVersion", "Go version"), ("GitCommit", "Git commit"), ("BuildTime", "Built"),
    ("KernelVersion", "Kernel version"), ("Experimental", "Experimental"),
)  # fmt: skip


def show_version(session: Session, options: Options, arguments: list[str]) -> int:
    """The client's part is shown, too, when no engine answers; the status is 1 then."""
    failure, server = "", None
    used = NEWEST_API
    try:
        server = session.client.call("GET", "/version")
        used = session.client.version
    except ClientError as error:
        failure = str(error)
    client = _client_part(used)
    if options.format:
        from engine.cli.template import parse_format

        template, _ = parse_format(options.format)
        out(for_terminal(template.execute({"Client": client, "Server": server}) + "\n"))
    else:
        out(_text(client, server))
    if failure:
        err(failure)
    return 1 if failure else 0


def _client_part(used: str) -> dict[str, Any]:
    system = os.uname()
    return {
        "Version": __version__,
        "ApiVersion": used,
        "DefaultAPIVersion": NEWEST_API,
        "Os": system.sysname.lower(),
        "Arch": _MACHINES.get(system.machine, system.machine),
    }


def _text(client: dict[str, Any], server: dict[str, Any] | None) -> str:
    newest = client["DefaultAPIVersion"]
    api = client["ApiVersion"] + ("" if client["ApiVersion"] == newest else f" (downgraded from {newest})")
    lines = [
        "Client:",
        _line("Version", client["Version"]),
        _line("API version", api),
        _line("OS/Arch", f"{client['Os']}/{client['Arch']}"),
    ]
    if server is not None:
        platform = (server.get("Platform") or {}).get("Name", "")
        lines += ["", f"Server: {platform}".rstrip()]
        whole = [{"Name": "Engine", "Version": server["Version"], "Details": server}]
        for component in server.get("Components") or whole:
            lines += _component(component)
    return "\n".join(lines) + "\n"


def _component(component: dict[str, Any]) -> list[str]:
    details = component.get("Details") or {}
    lines = [f" {component['Name']}:", " " + _line("Version", component.get("Version", ""))]
    if component["Name"] != "Engine":
        return lines + [" " + _line(name, value) for name, value in sorted(details.items())]
    for key, title in _DETAILS:
        value = details.get(key)
        if value in (None, ""):
            continue
        if key == "ApiVersion":
            value = f"{value} (minimum version {details.get('MinAPIVersion', '?')})"
        lines.append(" " + _line(title, str(value)))
    lines.append(" " + _line("OS/Arch", f"{details.get('Os', '')}/{details.get('Arch', '')}"))
    return lines


def _line(title: str, value: str) -> str:
    return f" {title + ':':<18}{value}".rstrip()


VERSION = Command(
    show_version,
    "[OPTIONS]",
    text("-f, --format", "Format output: 'json', or a Go TEMPLATE, as in '{{.Server.Version}}'"),
    most=0,
    examples="docket version\ndocket version -f '{{.Server.ApiVersion}}'",
)
