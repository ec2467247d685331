"""A container's interfaces: made by the launcher while the init sets itself up, or by a worker for one that runs.

A pair has one end on the host's bridge and one in the container's network namespace, where it is made: it goes with the
namespace, whoever dies first.
"""

from __future__ import annotations

import os

from engine.kernel.namespaces import open_existing, visiting
from engine.kernel.rtnetlink import RouteSocket
from engine.kernel.steps import step
from engine.runtime.setup import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IPV6_SETTINGS = "/proc/sys/net/ipv6/conf"


def attach(interfaces: list[Json], namespace_fd: int) -> list[Json]:
    """Make the pairs and give the inner ends their addresses and routes; the evidence of each. Raises OSError.

    An interface has "endpoint_id", "bridge", "host_interface", "name" ("eth0"), "mac_address", "mtu", "addresses"
    ("10.9.0.5/24"), "gateways" and "isolated" (from its neighbours). The calling process must have
    one thread: it visits the namespace.
    """
    found = []
    with RouteSocket() as host, visiting("network", namespace_fd), RouteSocket() as inside:
        for interface in interfaces:
            with step("network.veth"):
                index = _make_pair(host, interface, namespace_fd)
            with step("network.address"):
                inner = _configure(inside, interface)
            found.append({
                "endpoint_id": interface["endpoint_id"], "name": interface["name"], "index": inner,
                "host_interface": interface["host_interface"], "host_index": index,
            })  # fmt: skip
    return found


def _make_pair(host: RouteSocket, interface: Json, namespace_fd: int) -> int:
    name, bridge = interface["host_interface"], host.link(interface["bridge"])
    if bridge is None:
        raise OSError(19, "the bridge of the network is gone", interface["bridge"])
    pair = (name, interface["mtu"], interface["name"], interface["mac_address"], namespace_fd)
    try:
        host.create_veth(*pair, master=bridge.index)
    except FileExistsError:  # of an earlier life of the same endpoint, which the kernel is still taking down
        host.delete_link(name)
        host.create_veth(*pair, master=bridge.index)
    host.set_bridge_port(name, hairpin=True, isolated=interface["isolated"])
    link = host.link(name)
    assert link is not None
    return link.index


def _configure(inside: RouteSocket, interface: Json) -> int:
    name = interface["name"]
    has_ipv6 = any(":" in address for address in interface["addresses"])
    _set_ipv6(name, "accept_dad" if has_ipv6 else "disable_ipv6", "0" if has_ipv6 else "1")
    link = inside.link(name)
    if link is None:
        raise OSError(19, "the interface is gone", name)
    for text in interface["addresses"]:
        address, _, prefix_length = text.partition("/")
        inside.add_address(link.index, address, int(prefix_length))
    inside.set_link(link.index, name, up=True)
    for gateway in interface["gateways"]:
        inside.add_default_route(gateway, link.index)
    return link.index


def _set_ipv6(name: str, setting: str, value: str) -> None:
    try:
        fd = os.open(f"{_IPV6_SETTINGS}/{name}/{setting}", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a kernel without IPv6
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


# --- for a container that runs ---------------------------------------------------------------------------------------


def attach_job(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Worker: give a running container one more interface. "pid" and "inode" name its network namespace."""
    fd = open_existing("network", f"/proc/{arguments['pid']}/ns/net", arguments["inode"])
    try:
        return {"interfaces": attach(arguments["interfaces"], fd)}
    finally:
        os.close(fd)


def route_job(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Worker: default routes of a running container through "gateways" on the interface "name"."""
    fd = open_existing("network", f"/proc/{arguments['pid']}/ns/net", arguments["inode"])
    try:
        with visiting("network", fd), step("network.address"), RouteSocket() as inside:
            link = inside.link(arguments["name"])
            for gateway in arguments["gateways"] if link is not None else ():
                inside.add_default_route(gateway, link.index)
    finally:
        os.close(fd)
    return {}


JOBS = {"network.attach": attach_job, "network.route": route_job}
