"""The host's side of networks: bridges, settings of the kernel, the engine's tables. Called by services.

Works in the network namespace of the process. Every effect is a named step; what fails leaves nothing of itself.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, Sequence

from engine.domain.errors import Conflict, SubnetTaken
from engine.domain.network import Network
from engine.kernel import conntrack, nftables, nftables_state
from engine.kernel.netlink import is_missing
from engine.kernel.rtnetlink import RouteSocket
from engine.kernel.steps import step
from engine.networking import hooks
from engine.networking.firewall import BridgeRules, PortRule, port_changes, render
from engine.networking.subnets import Network as Subnet
from engine.networking.subnets import mac_for

_SYSCTLS = Path("/proc/sys/net")
USUAL_MTU = 1500


class HostNetwork:
    """``tag`` tells this engine's objects from those of others on the same host. Without ``forwards`` the host's
    settings of forwarding stay as they are, without ``rules`` nothing is written to nf_tables.

    What looks at rules or writes them is for one caller at a time."""

    def __init__(self, tag: str, *, forwards: bool = True, rules: bool = True) -> None:
        self.tag = tag
        self._forwards = forwards
        self._rules = rules
        self.table = f"docket-{tag}"
        self._worn = f"docket {tag} gone"
        self._session = nftables.Session()
        self._applied: tuple[list[BridgeRules], list[PortRule]] | None = None
        """What the tables are made of, as far as we know."""

    # --- looking ---------------------------------------------------------------------------------------------------

    def subnets_in_use(self) -> list[Subnet]:
        """Every destination that the host has a route to, but the default."""
        with RouteSocket() as route:
            found: list[Subnet] = [
                ip_network((one.destination.packed, one.prefix_length))
                for one in route.routes() if one.destination is not None
            ]  # fmt: skip
            found += [
                ip_interface((one.address.packed, one.prefix_length)).network
                for one in route.addresses() if not one.address.is_loopback
            ]  # fmt: skip
        return found

    def mtu(self) -> int:
        """Bytes: that of the interface which the default route leads through."""
        with RouteSocket() as route:
            indexes = {one.index for one in route.routes() if one.destination is None and one.index}
            found = [link.mtu for link in route.links() if link.index in indexes]
        return min(found, default=USUAL_MTU)

    def bridges(self) -> dict[str, str]:
        """Names of all bridges of the host, with their aliases."""
        with RouteSocket() as route:
            return {link.name: link.alias for link in route.links() if link.kind == "bridge"}

    def address_of(self, bridge: str) -> IPv4Interface | None:
        """The first IPv4 address of a bridge with its subnet; None where there is no such bridge, or it has none."""
        with RouteSocket() as route:
            link = route.link(bridge)
            if link is None or link.kind != "bridge":
                return None
            found = [one for one in route.addresses() if one.index == link.index and one.address.version == 4]
        return IPv4Interface((found[0].address.packed, found[0].prefix_length)) if found else None

    # --- bridges ---------------------------------------------------------------------------------------------------

    def raise_bridge(self, network: Network, ports: Sequence[str] = ()) -> dict[str, Any]:
        """Make the bridge, give it its addresses, and the interfaces of containers that were on it before (``ports``).
        Answers with the evidence. Raises SubnetTaken, Conflict, OSError.

        A bridge that carries our alias already, from a life of the engine that was cut short, is made anew. None of
        ours has its name without the alias: it gets both in one request.
        """
        changed: list[list[str]] = []
        if network.adopted:
            return self._adopt(network, changed)
        with step("network.bridge"), RouteSocket() as route:
            alias = self._alias(network.id)
            found = route.link(network.bridge)
            if found is not None:
                if found.alias not in (alias, self._worn):
                    raise Conflict(
                        f"the host has an interface named {network.bridge} already, and it is not the engine's: remove "
                        "it, or name another one with -o com.docker.network.bridge.name=..."
                    )
                route.delete_link(network.bridge)
            if where := self._overlap(route, network):
                raise SubnetTaken(
                    f"a subnet of network {network.name} overlaps with {where}: make the network with another --subnet"
                )
            try:
                index = self._make(route, network, alias, changed)
                self._join(route, network, index, ports)
            except BaseException:
                if not route.delete_link(self._unfinished(network)):
                    route.delete_link(network.bridge)
                raise
        with step("network.sysctl"):
            self._allow_forwarding(network, changed)
        return {"index": index, "bridge": network.bridge, "sysctls": changed}

    @staticmethod
    def _join(route: RouteSocket, network: Network, index: int, ports: Sequence[str]) -> None:
        for name in ports:
            if (link := route.link(name)) is not None:
                route.set_link(link.index, name, master=index, up=True)
                route.set_bridge_port(name, hairpin=True, isolated=not network.neighbours)

    def _adopt(self, network: Network, changed: list[list[str]]) -> dict[str, Any]:
        """A bridge of the host's, which keeps its addresses, and its life."""
        with step("network.bridge"), RouteSocket() as route:
            link = route.link(network.bridge)
            if link is None or link.kind != "bridge":
                raise Conflict(f"the host has no bridge named {network.bridge}, which the engine's settings name")
            _set(f"ipv4/conf/{network.bridge}/route_localnet", "1", changed)
            route.set_link(link.index, network.bridge, up=True)
        with step("network.sysctl"):
            self._allow_forwarding(network, changed)
        return {"index": link.index, "bridge": network.bridge, "sysctls": changed}

    def _alias(self, network_id: str) -> str:
        return f"docket {self.tag} network {network_id}"

    def _unfinished(self, network: Network) -> str:
        """What a bridge is called while it is made, known as ours by that: 15 characters at most (IFNAMSIZ)."""
        return f"nb{self.tag[:4]}{network.id[:9]}"

    def overlaps(self, network: Network) -> bool:
        """Whether the host has come to use a subnet of a network that is down."""
        with RouteSocket() as route:
            return bool(self._overlap(route, network))

    @staticmethod
    def _overlap(route: RouteSocket, network: Network) -> str:
        """The first route of the host that leads into one of the subnets, in words."""
        names = {link.index: link.name for link in route.links() if link.name != network.bridge}
        for entry in network.subnets:
            subnet = ip_network(entry["subnet"])
            for one in route.routes():
                if one.destination is None or one.destination.version != subnet.version or one.index not in names:
                    continue
                if ip_network((one.destination.packed, one.prefix_length)).overlaps(subnet):  # type: ignore[arg-type]
                    return f"{one.destination}/{one.prefix_length}, which the host reaches through {names[one.index]}"
        return ""

    def _make(self, route: RouteSocket, network: Network, alias: str, changed: list[list[str]]) -> int:
        gateways = [(ip_address(one["gateway"]), ip_network(one["subnet"]).prefixlen) for one in network.subnets]
        unfinished = self._unfinished(network)
        route.delete_link(unfinished)
        route.create_bridge(unfinished, mac_for(str(gateways[0][0])), network.mtu)
        link = route.link(unfinished)
        assert link is not None
        route.set_link(link.index, network.bridge, alias=alias, name=network.bridge)
        if any(address.version == 4 for address, _ in gateways):
            _set(f"ipv4/conf/{network.bridge}/route_localnet", "1", changed)
        if not network.ipv6:
            _set(f"ipv6/conf/{network.bridge}/disable_ipv6", "1", changed)
        else:
            _set(f"ipv6/conf/{network.bridge}/accept_ra", "0", changed)
        for address, prefix_length in gateways:
            route.add_address(link.index, str(address), prefix_length)
        route.set_link(link.index, network.bridge, up=True)
        return link.index

    def _allow_forwarding(self, network: Network, changed: list[list[str]]) -> None:
        if network.internal or not self._forwards:
            return
        _set("ipv4/ip_forward", "1", changed)
        if network.ipv6 and _read("ipv6/conf/all/forwarding") == "0":
            # a router takes no more advertisements: interfaces that live by them are told to go on
            for folder in (_SYSCTLS / "ipv6/conf").iterdir():
                if folder.name not in ("all", "lo") and _read(f"ipv6/conf/{folder.name}/accept_ra") == "1":
                    _set(f"ipv6/conf/{folder.name}/accept_ra", "2", changed)
            _set("ipv6/conf/all/forwarding", "1", changed)

    def lower_bridge(self, network: Network, *, later: bool = False) -> None:
        """Take the bridge away, if it is there and ours. ``later``: its addresses and routes go now, and what is left
        of it with ``delete_worn``, since the kernel takes 40 ms for that (RCU grace periods)."""
        if network.adopted:
            return
        with step("network.remove"), RouteSocket() as route:
            route.delete_link(self._unfinished(network))
            found = route.link(network.bridge)
            if found is None or found.alias != self._alias(network.id):
                return
            if not later:
                route.delete_link(network.bridge)
                return
            for one in route.addresses():
                if one.index == found.index:
                    route.delete_address(one)
            route.set_link(found.index, network.bridge, alias=self._worn)

    def delete_worn(self) -> None:
        """Bridges of networks that are gone."""
        for name, alias in self.bridges().items():
            if alias == self._worn:
                with step("network.remove"), RouteSocket() as route:
                    route.delete_link(name)

    def has_bridge(self, network: Network) -> bool:
        with RouteSocket() as route:
            found = route.link(network.bridge)
        return found is not None and (network.adopted or found.alias == self._alias(network.id))

    # --- interfaces of containers ----------------------------------------------------------------------------------

    def interface_name(self, endpoint_id: str) -> str:
        """The host's end of an endpoint's pair: 15 characters at most (IFNAMSIZ)."""
        return f"vd{self.tag[:4]}{endpoint_id[:8]}"

    def delete_interface(self, name: str) -> bool:
        """Both ends of a pair go at once. Whether it was there."""
        with step("network.remove"), RouteSocket() as route:
            return route.delete_link(name)

    def interfaces(self) -> list[str]:
        """The host's ends that this engine made."""
        with RouteSocket() as route:
            return [link.name for link in route.links() if link.name.startswith(f"vd{self.tag[:4]}")]

    # --- rules -----------------------------------------------------------------------------------------------------

    def apply_rules(self, networks: Sequence[BridgeRules], ports: Sequence[PortRule]) -> None:
        """Put the engine's tables in line. Without networks they are taken away."""
        wanted = (list(networks), list(ports)) if self._rules else ([], [])
        with step("network.firewall"), self._session:
            known, self._applied = self._applied, None
            if known is None or known[0] != wanted[0] or not self._change_ports(known[1], wanted[1]):
                render(self.table, *wanted).commit()
            self._applied = wanted
        _begin_anew(set(known[1] if known else ()) ^ set(wanted[1]), wanted[1])

    def _change_ports(self, before: list[PortRule], after: list[PortRule]) -> bool:
        """Whether the tables were still there, and as they were left."""
        try:
            port_changes(self.table, before, after).commit()
        except (FileNotFoundError, FileExistsError):
            return False
        return True

    def settle_hooks(self, bridges: Sequence[str]) -> hooks.Found:
        """Rules of ours in the chains that others offer. Where the kernel has no nf_tables, there are none."""
        with step("network.hook"), self._session:
            try:
                return hooks.settle(f"docket-{self.tag}", self.table, bridges if self._rules else [])
            except OSError as error:
                if is_missing(error) and not bridges:
                    return hooks.Found([], [])
                raise

    def has_tables(self, networks: Sequence[BridgeRules]) -> bool:
        """Whether the engine's tables for these networks are there."""
        texts = [one for network in networks for one in network.subnets] if self._rules else []
        versions = {ip_network(one).version for one in texts}
        families = {4: nftables.IPV4, 6: nftables.IPV6}
        with self._session:
            return all(self.table in nftables_state.tables(families[version]) for version in versions)

    def forget_rules(self) -> None:
        """Somebody took the tables away: the next time all is written anew."""
        self._applied = None


def _begin_anew(changed: set[PortRule], now: Sequence[PortRule]) -> None:
    """Flows of datagrams to ports that are published now, or are no longer, follow the rules as they are. Those that do
    so already stay: an answer that is under way would be lost with them."""
    targets = {_place(port): (ip_address(port.target), port.target_port) for port in now if port.protocol == "udp"}
    for family, version in ((nftables.IPV4, 4), (nftables.IPV6, 6)):
        places = {_place(port) for port in changed if port.protocol == "udp"}
        places = {(address, number) for address, number in places if address.version == version}
        if places:
            conntrack.forget_datagrams(family, lambda flow, found=places: any(
                flow.port == number and (address.is_unspecified or address == flow.address)
                and targets.get((address, number)) != (flow.server, flow.server_port) for address, number in found
            ))  # fmt: skip


def _place(port: PortRule) -> tuple[IPv4Address | IPv6Address, int]:
    return ip_address(port.host_address), port.host_port


def _read(name: str) -> str:
    try:
        return (_SYSCTLS / name).read_text().strip()
    except FileNotFoundError:
        return ""  # a kernel without IPv6


def _set(name: str, value: str, changed: list[list[str]]) -> None:
    """Write a setting, unless it is so already or the kernel doesn't know it, and note what it was."""
    before = _read(name)
    if before in (value, ""):
        return
    fd = os.open(_SYSCTLS / name, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
    changed.append([f"net.{name.replace('/', '.')}", before, value])
