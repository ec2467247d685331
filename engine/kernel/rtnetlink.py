"""Interfaces, addresses and routes (rtnetlink(7)) of the network namespace in which the socket was made.

ipaddress is for the daemon, which looks at what there is: shims only add, and take addresses as texts.
"""

from __future__ import annotations

import errno
import socket
import struct

from engine.kernel.netlink import (
    NETLINK_ROUTE, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, Message, NetlinkSocket, attribute,
    attributes, is_missing, nested, text, u32,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from typing import Iterator

    Address = IPv4Address | IPv6Address

IFF_UP = 0x1
LOOPBACK_INDEX = 1

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_NET_NS_PID, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 19, 20, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_INFO_PEER = 1
_BRPORT_HAIRPIN, _BRPORT_ISOLATED = 4, 33
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD = 0x2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_RT_TABLE_MAIN, _RT_TABLE_LOCAL = 254, 255
_RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK, _RTN_UNICAST = 3, 0, 253, 1

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


class Link:
    """An interface. ``kind`` is "bridge", "veth" ... or "" for a device; ``master`` the index of its bridge or 0."""

    __slots__ = ("index", "name", "flags", "mtu", "address", "kind", "master", "alias")

    def __init__(
        self, index: int, name: str, flags: int, mtu: int, address: str, kind: str, master: int, alias: str
    ) -> None:
        self.index, self.name, self.flags, self.mtu = index, name, flags, mtu
        self.address, self.kind, self.master, self.alias = address, kind, master, alias


class InterfaceAddress:
    __slots__ = ("index", "address", "prefix_length")

    def __init__(self, index: int, address: Address, prefix_length: int) -> None:
        self.index, self.address, self.prefix_length = index, address, prefix_length


class Route:
    """``destination`` None: the default route. ``gateway`` None: directly reachable."""

    __slots__ = ("destination", "prefix_length", "gateway", "index", "table", "metric")

    def __init__(
        self, destination: Address | None, prefix_length: int, gateway: Address | None, index: int, table: int,
        metric: int,
    ) -> None:  # fmt: skip
        self.destination, self.prefix_length, self.gateway = destination, prefix_length, gateway
        self.index, self.table, self.metric = index, table, metric


def _packed(address: str) -> tuple[int, bytes]:
    """Its family, and itself as packets have it. Raises OSError for what is no address."""
    family = int(socket.AF_INET6 if ":" in address else socket.AF_INET)
    return family, socket.inet_pton(family, address)


def mac_bytes(text_: str) -> bytes:
    """"02:42:0a:09:00:05" as six bytes."""
    return bytes.fromhex(text_.replace(":", "").replace("-", ""))


class RouteSocket(NetlinkSocket):
    """Requests about links, addresses and routes. Every error names the interface or address it is about."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    # --- links -----------------------------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        return [_link(answer) for answer in self.ask(_GETLINK, NLM_F_DUMP, _LINK.pack(0, 0, 0, 0, 0), "links")]

    def link(self, name: str) -> Link | None:
        """The interface of that name; None where there is none."""
        try:
            found = self.ask(_GETLINK, NLM_F_ACK, _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name), name)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _link(found[0])

    def create_bridge(self, name: str, mac: str, mtu: int) -> None:
        """Raises FileExistsError where the name is taken."""
        kind = nested(_IFLA_LINKINFO, text(_INFO_KIND, "bridge"))
        parts = text(_IFLA_IFNAME, name) + attribute(_IFLA_ADDRESS, mac_bytes(mac)) + u32(_IFLA_MTU, mtu) + kind
        self._new(_LINK.pack(0, 0, 0, 0, 0) + parts, name)

    def create_veth(self, name: str, mtu: int, peer: str, peer_mac: str, peer_fd: int, *, master: int = 0) -> None:
        """A pair of interfaces, one here and one, ``peer``, in the network namespace of a descriptor. With ``master``
        the one here is a port of that bridge, and up."""
        inside = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, peer) + u32(_IFLA_MTU, mtu)
        inside += attribute(_IFLA_ADDRESS, mac_bytes(peer_mac)) + u32(_IFLA_NET_NS_FD, peer_fd)
        data = nested(_INFO_DATA, attribute(_VETH_INFO_PEER, inside))
        info = nested(_IFLA_LINKINFO, text(_INFO_KIND, "veth"), data)
        port, flags = (u32(_IFLA_MASTER, master), IFF_UP) if master else (b"", 0)
        head = _LINK.pack(0, 0, 0, flags, flags)
        self._new(head + text(_IFLA_IFNAME, name) + u32(_IFLA_MTU, mtu) + port + info, name)

    def _new(self, payload: bytes, subject: str) -> None:
        self.ask(_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, payload, subject)

    def set_link(
        self, index: int, subject: str, *, up: bool | None = None, master: int | None = None, alias: str | None = None,
        name: str | None = None, namespace_fd: int | None = None, mtu: int | None = None,
    ) -> None:  # fmt: skip
        """Change what is given, in one request. ``master`` 0 takes it out of its bridge."""
        flags, change = (IFF_UP if up else 0, IFF_UP) if up is not None else (0, 0)
        parts = b""
        if master is not None:
            parts += u32(_IFLA_MASTER, master)
        if alias is not None:
            parts += attribute(_IFLA_IFALIAS, alias.encode())
        if name is not None:
            parts += text(_IFLA_IFNAME, name)
        if mtu is not None:
            parts += u32(_IFLA_MTU, mtu)
        if namespace_fd is not None:
            parts += u32(_IFLA_NET_NS_FD, namespace_fd)
        self.ask(_NEWLINK, NLM_F_ACK, _LINK.pack(0, 0, index, flags, change) + parts, subject)

    def set_bridge_port(self, name: str, *, hairpin: bool = False, isolated: bool = False) -> None:
        """Settings of an interface as a bridge's port. ``hairpin``: it may be sent back what came in by it, which a
        container needs that calls its own published port where netfilter sees bridged packets. ``isolated``: nothing
        is carried between it and other isolated ports."""
        settings = attribute(_BRPORT_HAIRPIN, bytes([hairpin])) + attribute(_BRPORT_ISOLATED, bytes([isolated]))
        info = nested(_IFLA_LINKINFO, text(_INFO_SLAVE_KIND, "bridge"), nested(_INFO_SLAVE_DATA, settings))
        self.ask(_NEWLINK, NLM_F_ACK, _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + info, name)

    def delete_link(self, name: str) -> bool:
        """Whether there was one."""
        try:
            self.ask(_DELLINK, NLM_F_ACK, _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name), name)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        return True

    # --- addresses -------------------------------------------------------------------------------------------------

    def addresses(self) -> list[InterfaceAddress]:
        from ipaddress import ip_address

        found = []
        for answer in self.ask(_GETADDR, NLM_F_DUMP, _ADDRESS.pack(0, 0, 0, 0, 0), "addresses"):
            _, length, _, _, index = _ADDRESS.unpack_from(answer.payload)
            parts = attributes(answer.payload[_ADDRESS.size :])
            raw = parts.get(_IFA_LOCAL) or parts.get(_IFA_ADDRESS)
            if raw:
                found.append(InterfaceAddress(index, ip_address(raw), length))
        return found

    def add_address(self, index: int, address: str, prefix_length: int) -> None:
        """Without duplicate address detection: the engine has seen to it that nobody has it. There already is fine."""
        family, raw = _packed(address)
        parts = attribute(_IFA_LOCAL, raw) + attribute(_IFA_ADDRESS, raw)
        if family == socket.AF_INET and prefix_length < 31:
            last = int.from_bytes(raw, "big") | (1 << (32 - prefix_length)) - 1
            parts += attribute(_IFA_BROADCAST, last.to_bytes(4, "big"))
        else:
            parts += u32(_IFA_FLAGS, _IFA_F_NODAD)
        head = _ADDRESS.pack(family, prefix_length, 0, 0, index)
        self.ask(_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, head + parts, f"{address}/{prefix_length}")

    def delete_address(self, entry: InterfaceAddress) -> None:
        """With the routes that came with it. Gone already is fine."""
        family, raw = _packed(str(entry.address))
        head = _ADDRESS.pack(family, entry.prefix_length, 0, 0, entry.index)
        try:
            self.ask(_DELADDR, NLM_F_ACK, head + attribute(_IFA_LOCAL, raw), str(entry.address))
        except OSError as error:
            if not is_missing(error):
                raise

    # --- routes ----------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Of both families and all tables but the local one."""
        from ipaddress import ip_address

        found = []
        for length, number, parts in self._routes():
            destination, gateway = parts.get(_RTA_DST), parts.get(_RTA_GATEWAY)
            found.append(Route(
                ip_address(destination) if destination else None, length, ip_address(gateway) if gateway else None,
                _number(parts.get(_RTA_OIF)), number, _number(parts.get(_RTA_PRIORITY)),
            ))  # fmt: skip
        return found

    def has_default_route(self) -> bool:
        """Of either family."""
        return any(_RTA_DST not in parts for _, _, parts in self._routes())

    def _routes(self) -> Iterator[tuple[int, int, dict[int, bytes]]]:
        """Prefix length, table and attributes of each."""
        for answer in self.ask(_GETROUTE, NLM_F_DUMP, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "routes"):
            _, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(answer.payload)
            parts = attributes(answer.payload[_ROUTE.size :])
            number = _number(parts.get(_RTA_TABLE), table)
            if kind == _RTN_UNICAST and number != _RT_TABLE_LOCAL:
                yield length, number, parts

    def add_default_route(self, gateway: str, index: int) -> None:
        """Everything else goes through ``gateway``. Replaces a default route of the same family."""
        family, raw = _packed(gateway)
        head = _ROUTE.pack(
            family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0
        )  # fmt: skip
        parts = attribute(_RTA_GATEWAY, raw) + u32(_RTA_OIF, index)
        self.ask(_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, head + parts, f"default via {gateway}")


def _number(raw: bytes | None, default: int = 0) -> int:
    return struct.unpack("=I", raw)[0] if raw else default


def _link(answer: Message) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(answer.payload)
    parts = attributes(answer.payload[_LINK.size :])
    info = attributes(parts.get(_IFLA_LINKINFO, b""))
    return Link(
        index, _string(parts.get(_IFLA_IFNAME)), flags, _number(parts.get(_IFLA_MTU)),
        parts.get(_IFLA_ADDRESS, b"").hex(":"), _string(info.get(_INFO_KIND)), _number(parts.get(_IFLA_MASTER)),
        _string(parts.get(_IFLA_IFALIAS)),
    )  # fmt: skip


def _string(raw: bytes | None) -> str:
    return (raw or b"").rstrip(b"\0").decode(errors="replace")
