"""The kernel's table of connections (nf_conntrack), over nfnetlink: flows of datagrams can be made to begin anew."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Callable, NamedTuple

from engine.kernel.netlink import (
    NETLINK_NETFILTER, NLM_F_ACK, NLM_F_DUMP, NetlinkSocket, attribute, attributes, is_missing,
)  # fmt: skip

_SUBSYSTEM = 1 << 8
_GET, _DELETE = 1, 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _ID = 1, 2, 12
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL = 1, 2
_SOURCE = {int(socket.AF_INET): 1, int(socket.AF_INET6): 3}
_DESTINATION = {int(socket.AF_INET): 2, int(socket.AF_INET6): 4}
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_NESTED = 0x8000


Address = IPv4Address | IPv6Address


class Flow(NamedTuple):
    """``address`` and ``port`` are where its first datagram was sent, before any translation; ``server`` and
    ``server_port`` are who answers."""

    address: Address
    port: int
    server: Address
    server_port: int


def forget_datagrams(family: int, matches: Callable[[Flow], bool]) -> int:
    """End the UDP flows of a family that match, so that rules are asked anew about their next datagram; how many.

    An entry lives for as long as its datagrams come, whatever has become of the rules meanwhile. A kernel that has no
    such table has nothing to forget.
    """
    count = 0
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        netlink.widen_buffers()
        general = struct.pack(">BBH", family, 0, 0)
        try:
            found = netlink.ask(_SUBSYSTEM | _GET, NLM_F_DUMP, general, "connections")
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
                return 0
            raise
        for answer in found:
            parts = attributes(answer.payload[4:])
            flow = _flow(family, parts.get(_TUPLE_ORIGINAL, b""), parts.get(_TUPLE_REPLY, b""))
            if flow is None or not matches(flow):
                continue
            named = attribute(_TUPLE_ORIGINAL | _NESTED, parts[_TUPLE_ORIGINAL]) + attribute(_ID, parts[_ID])
            try:
                netlink.ask(_SUBSYSTEM | _DELETE, NLM_F_ACK, general + named, f"flow to {flow.address}:{flow.port}")
            except OSError as error:
                if not is_missing(error):  # it has ended meanwhile
                    raise
            count += 1
    return count


def _flow(family: int, original: bytes, reply: bytes) -> Flow | None:
    """None for what is no flow of datagrams."""
    ends = []
    for raw, where, port in ((original, _DESTINATION, _DESTINATION_PORT), (reply, _SOURCE, _SOURCE_PORT)):
        parts = attributes(raw)
        protocol = attributes(parts.get(_TUPLE_PROTOCOL, b""))
        address = attributes(parts.get(_TUPLE_ADDRESSES, b"")).get(where[family])
        if protocol.get(_PROTOCOL_NUMBER) != bytes([socket.IPPROTO_UDP]) or address is None:
            return None
        ends += [ip_address(address), struct.unpack(">H", protocol[port])[0]]
    return Flow(*ends)
