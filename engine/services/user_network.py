"""Networks of containers of an ordinary user's engine: the host's, another container's, none, or one by a program.

Bridges, addresses and rules take the host's root. A program of the user's (``runtime.user_network``) carries what goes
out, and what comes in at published ports.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import Any, Mapping

from engine.domain.errors import Conflict, EngineError, Forbidden, InvalidArgument
from engine.networking import held_ports
from engine.runtime.user_network import GATEWAYS, RESOLVERS
from engine.services import network_config
from engine.services.network_config import PortRequest
from engine.services.network_requests import USER_MODES

_TUN = "/dev/net/tun"
_CONTAINER = "container:"
_EVERYWHERE = "0.0.0.0"
_FORWARDED = {"pasta": ("tcp", "udp"), "slirp4netns": ("tcp", "udp")}

Json = dict[str, Any]


def program() -> str:
    """The name of the program that there is, "" where there is none."""
    return next((name for name in USER_MODES if _lack(name) == ""), "")


def _lack(name: str) -> str:
    """Why a program is of no use here."""
    if shutil.which(name) is None:
        return f"{name} is not installed"
    return "" if os.access(_TUN, os.R_OK | os.W_OK) else f"this user may not open {_TUN} (as root: chmod 666 {_TUN})"


def help_() -> str:
    """What would give containers a network."""
    return next((_lack(name) for name in USER_MODES if shutil.which(name)), "") or (
        "install pasta (Debian's package passt) or slirp4netns"
    )


def complete(body: Mapping[str, Any], *, rootless: bool) -> Mapping[str, Any]:
    """The request with the network that an ordinary user's engine has in place of the default one. Raises Forbidden,
    InvalidArgument."""
    host = dict(body.get("HostConfig") or {})
    mode = host.get("NetworkMode") or "default"
    if not rootless:
        if mode in USER_MODES:
            raise InvalidArgument(f"--network {mode} is for engines of ordinary users: this one has its own networks")
        return body
    if mode in ("default", network_config.DEFAULT):
        host["NetworkMode"] = program() or "none"
    elif mode not in network_config.WITHOUT_ENDPOINT and not mode.startswith(_CONTAINER):
        raise no_bridges(mode)
    elif mode in USER_MODES and (lack := _lack(mode)):
        raise InvalidArgument(f"--network {mode}: {lack}")
    return {**body, "HostConfig": host}


def no_bridges(name: str) -> Forbidden:
    """Networks are bridges, which the host's root alone can make."""
    return Forbidden(
        f"network {name}: bridges take root; an ordinary user's engine has --network host, none, container:NAME and, "
        f"where it is installed, {' or '.join(USER_MODES)}"
    )


def check(asked: Mapping[str, Any], config: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    """Warnings about a request that is complete; ``asked`` is what it was. Raises Forbidden, InvalidArgument."""
    mode = host["NetworkMode"]
    wanted = (asked.get("HostConfig") or {}).get("NetworkMode") or "default"
    ports = network_config.wanted_ports(config, host)
    for port in ports if mode in USER_MODES else ():
        if port.protocol not in _FORWARDED[mode] or mode == "slirp4netns" and ":" in port.host_address:
            raise InvalidArgument(f"{mode} can't publish {port.host_address or _EVERYWHERE} {port.protocol} ports")
    if mode != "none" or wanted == "none":
        return []
    if ports:
        raise Forbidden(f"ports can't be published by an ordinary user without a program for it: {help_()}")
    return [f"the container has no network: {help_()}, or use --network host"]


def plan(config: Mapping[str, Any], host: Mapping[str, Any]) -> Json | None:
    """The launch plan's "user_network": the program, and which ports it is to forward. Raises Conflict, EngineError."""
    mode = host["NetworkMode"]
    if mode not in USER_MODES:
        return None
    if (path := shutil.which(mode)) is None:
        raise EngineError(f"{mode} is not installed any more: the container has its network by it")
    ports = [_chosen(request) for request in network_config.wanted_ports(config, host)]
    return {"name": mode, "program": path, "ports": ports}


def _chosen(request: PortRequest) -> Json:
    """The port is looked for by holding it for a moment: that tells who has it, which the program doesn't."""
    address = request.host_address or _EVERYWHERE
    try:
        held = held_ports.hold_on_all(request.protocol, [address], request.host_ports or held_ports.any_port())
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
        raise Conflict(
            f"{error.filename}: an ordinary user may not use it (as root: "
            f"sysctl -w net.ipv4.ip_unprivileged_port_start={min(request.host_ports)})"
        ) from error
    port = held[0].getsockname()[1]
    held[0].close()
    return {
        "protocol": request.protocol, "container_port": request.container_port, "host_address": address,
        "host_port": port,
    }  # fmt: skip


def resolver(host: Mapping[str, Any]) -> str:
    """Where the container asks for names, "" where that is not the program's."""
    return RESOLVERS.get(host["NetworkMode"], "")


def gateway(host: Mapping[str, Any]) -> str:
    """The host as the container sees it, where the program shows it."""
    return GATEWAYS.get(host["NetworkMode"], "")
