"""nf_tables over nfnetlink: tables, chains, rules, maps. A batch is one transaction: the kernel takes it whole or not.

One takes the kernel a tenth of a millisecond. What it deletes is destroyed when no packet is under way by the old rules
any more (an RCU grace period, ten milliseconds and more), for which whoever closes a socket waits: see ``Session``.

Nothing here knows what the rules are for; what there is says ``nftables_state``. Registers are 32 bits wide, values lie
in them as in the packet, and numbers that come from the kernel itself (states, kinds of address) in the host's order.
"""

from __future__ import annotations

import socket
import struct
from _thread import _local as ThreadLocal  # spawners use this module, and have no use for threading

from engine.kernel.netlink import (
    NETLINK_NETFILTER, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NetlinkSocket, attribute, be32, is_error,
    message, nested, raise_error, text,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

IPV4, IPV6 = int(socket.AF_INET), int(socket.AF_INET6)
INET = 1
"""NFPROTO_INET: tables of both."""
ACCEPT, DROP = 1, 0
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
REGISTER_0 = 8
"""NFT_REG32_00: the first of sixteen registers of four bytes."""
ESTABLISHED, RELATED = 2, 4
DESTINATION_NAT = 1 << 5
"""Of ``ct status``: the destination of the connection has been translated."""
LOCAL_ADDRESS = 2
"""RTN_LOCAL: an address of this host."""

SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _DELRULE, _NEWSET, _NEWSETELEM, _DELSETELEM = 0, 2, 3, 6, 8, 9, 12, 14
_LIST_ELEMENT = 1
_SET_MAP = 8
_TYPES = {"ipv4_addr": 7, "ipv6_addr": 8, "inet_proto": 12, "inet_service": 13}
"""Numbers by which the program nft shows keys and data; the kernel only keeps them."""
_ELEMENTS_A_MESSAGE = 500

Expression = bytes


# --- expressions -----------------------------------------------------------------------------------------------------


def _expression(name: str, *parts: bytes) -> Expression:
    return nested(_LIST_ELEMENT, text(1, name), nested(2, *parts))


def _value(kind: int, raw: bytes) -> bytes:
    return nested(kind, attribute(1, raw))


def load_meta(key: str, register: int = REGISTER_0) -> Expression:
    """``meta``: "iifname", "oifname" or "l4proto"."""
    return _expression("meta", be32(2, {"iifname": 6, "oifname": 7, "l4proto": 16}[key]), be32(1, register))


def load_payload(base: str, offset: int, length: int, register: int = REGISTER_0) -> Expression:
    """Bytes of the "network" or "transport" header."""
    where = {"network": 1, "transport": 2}[base]
    return _expression("payload", be32(1, register), be32(2, where), be32(3, offset), be32(4, length))


def load_ct(key: str, register: int = REGISTER_0) -> Expression:
    """``ct``: "state" or "status"."""
    return _expression("ct", be32(2, {"state": 0, "status": 2}[key]), be32(1, register))


def load_destination_kind(register: int = REGISTER_0) -> Expression:
    """``fib daddr type``."""
    return _expression("fib", be32(1, register), be32(2, 3), be32(3, 2))


def compare(raw: bytes, *, equal: bool = True, register: int = REGISTER_0) -> Expression:
    return _expression("cmp", be32(1, register), be32(2, 0 if equal else 1), _value(3, raw))


def mask(raw: bytes, register: int = REGISTER_0) -> Expression:
    """Keep the bits of ``raw``."""
    length = len(raw)
    return _expression(
        "bitwise", be32(1, register), be32(2, register), be32(3, length), _value(4, raw), _value(5, bytes(length))
    )  # fmt: skip


def look_up(map_name: str, register: int = REGISTER_0, into: int | None = None) -> Expression:
    """Go on only where the map has the key that starts at ``register``; its data is put ``into`` registers."""
    target = [] if into is None else [be32(3, into)]
    return _expression("lookup", text(1, map_name), be32(2, register), *target)


def immediate(raw: bytes, register: int) -> Expression:
    return _expression("immediate", be32(1, register), _value(2, raw))


def verdict(code: int) -> Expression:
    """ACCEPT or DROP."""
    return _expression("immediate", be32(1, 0), nested(2, nested(2, be32(1, code))))


def counter() -> Expression:
    return _expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))


def destination_nat(family: int, address_register: int, port_register: int) -> Expression:
    return _expression("nat", be32(1, 1), be32(2, family), be32(3, address_register), be32(5, port_register))


def masquerade() -> Expression:
    return nested(_LIST_ELEMENT, text(1, "masq"), nested(2))


# --- ready-made conditions -------------------------------------------------------------------------------------------


def interface_is(key: str, name: str, *, equal: bool = True) -> list[Expression]:
    """``iifname`` or ``oifname`` compared, byte for byte as iptables' own layout has it."""
    return [load_meta(key), compare(name.encode() + b"\0", equal=equal)]


def bits_of(key: str, bits: int) -> list[Expression]:
    """Any of the bits of ``ct state`` or ``ct status``."""
    raw = struct.pack("=I", bits)
    return [load_ct(key), mask(raw), compare(bytes(4), equal=False)]


def address_in(family: int, end: str, network: bytes, prefix_length: int, *, equal: bool = True) -> list[Expression]:
    """The "source" or "destination" lies in a subnet (or, not ``equal``, outside of it)."""
    size = 4 if family == IPV4 else 16
    offset = {("source", IPV4): 12, ("destination", IPV4): 16, ("source", IPV6): 8, ("destination", IPV6): 24}
    bits = ((1 << prefix_length) - 1 << (size * 8 - prefix_length)).to_bytes(size, "big")
    return [load_payload("network", offset[end, family], size), mask(bits), compare(network, equal=equal)]


# --- batches ---------------------------------------------------------------------------------------------------------


class Batch:
    """Changes that take effect together. Tables are named with their family (IPV4 or IPV6) each time."""

    def __init__(self) -> None:
        self._requests: list[tuple[int, int, int, bytes, str]] = []

    def _add(self, kind: int, flags: int, family: int, payload: bytes, subject: str) -> None:
        self._requests.append((kind, flags, family, payload, subject))

    @property
    def is_empty(self) -> bool:
        return not self._requests

    def create_table(self, family: int, table: str) -> None:
        """It must not be there yet (else FileExistsError)."""
        self._add(_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, family, text(1, table) + be32(2, 0), f"table {table}")

    def ensure_table(self, family: int, table: str) -> None:
        """There already is fine."""
        self._add(_NEWTABLE, NLM_F_CREATE, family, text(1, table) + be32(2, 0), f"table {table}")

    def delete_table(self, family: int, table: str) -> None:
        """With everything in it; it must be there."""
        self._add(_DELTABLE, 0, family, text(1, table), f"table {table}")

    def replace_table(self, family: int, table: str) -> None:
        """An empty table in the place of what was there, if anything."""
        self.ensure_table(family, table)
        self.delete_table(family, table)
        self.ensure_table(family, table)

    def base_chain(
        self, family: int, table: str, chain: str, kind: str, hook: str, priority: int, policy: int = ACCEPT
    ) -> None:
        """A chain that packets come to by themselves: ``kind`` is "filter" or "nat"."""
        place = nested(4, be32(1, HOOKS[hook]), be32(2, priority))
        payload = text(1, table) + text(3, chain) + place + be32(5, policy) + text(7, kind)
        self._add(_NEWCHAIN, NLM_F_CREATE, family, payload, f"chain {chain} of table {table}")

    def plain_chain(self, family: int, table: str, chain: str) -> None:
        """A chain that packets come to only by a jump."""
        self._add(_NEWCHAIN, NLM_F_CREATE, family, text(1, table) + text(3, chain), f"chain {chain} of table {table}")

    def rule(
        self, family: int, table: str, chain: str, expressions: Sequence[Expression], *, mark: str = "",
        first: bool = False,
    ) -> None:  # fmt: skip
        """At the end of the chain, or ``first``. ``mark`` shows as the rule's comment."""
        payload = text(1, table) + text(2, chain) + nested(4, *expressions)
        if mark:
            raw = mark.encode() + b"\0"
            payload += attribute(7, bytes([0, len(raw)]) + raw)
        flags = NLM_F_CREATE | (0 if first else NLM_F_APPEND)
        self._add(_NEWRULE, flags, family, payload, f"rule of chain {chain} in table {table}")

    def delete_rule(self, family: int, table: str, chain: str, handle: int) -> None:
        payload = text(1, table) + text(2, chain) + attribute(3, struct.pack(">Q", handle))
        self._add(_DELRULE, 0, family, payload, f"rule {handle} of chain {chain} in table {table}")

    def map(
        self, family: int, table: str, name: str, key: Sequence[tuple[str, int]], data: Sequence[tuple[str, int]],
        elements: Sequence[tuple[bytes, bytes]],
    ) -> None:  # fmt: skip
        """A map with its elements. ``key`` and ``data`` are types and their sizes in registers, in bytes."""
        identifier = len(self._requests) + 1
        payload = text(1, table) + text(2, name) + be32(3, _SET_MAP) + be32(4, _concatenated(key))
        payload += be32(5, sum(size for _, size in key)) + be32(6, _concatenated(data))
        payload += be32(7, sum(size for _, size in data)) + be32(10, identifier)
        self._add(_NEWSET, NLM_F_CREATE, family, payload, f"map {name} of table {table}")
        self._elements(_NEWSETELEM, family, table, name, elements, be32(4, identifier))

    def add_elements(self, family: int, table: str, name: str, elements: Sequence[tuple[bytes, bytes]]) -> None:
        """To a map that is there; none of the keys may be in it (else FileExistsError)."""
        self._elements(_NEWSETELEM, family, table, name, elements)

    def delete_elements(self, family: int, table: str, name: str, elements: Sequence[tuple[bytes, bytes]]) -> None:
        """All of them must be there (else FileNotFoundError)."""
        self._elements(_DELSETELEM, family, table, name, elements)

    def _elements(
        self, kind: int, family: int, table: str, name: str, elements: Sequence[tuple[bytes, bytes]],
        identifier: bytes = b"",
    ) -> None:  # fmt: skip
        flags = NLM_F_CREATE | NLM_F_EXCL if kind == _NEWSETELEM else 0
        for start in range(0, len(elements), _ELEMENTS_A_MESSAGE):
            listed = [
                nested(_LIST_ELEMENT, _value(1, raw_key), _value(2, raw_data))
                for raw_key, raw_data in elements[start : start + _ELEMENTS_A_MESSAGE]
            ]
            payload = text(1, table) + text(2, name) + identifier + nested(3, *listed)
            self._add(kind, flags, family, payload, f"elements of map {name} in table {table}")

    def commit(self) -> None:
        """All of it at once, or an OSError that names what the kernel refused, and nothing of it."""
        if not self._requests:
            return
        with connection() as netlink:
            self._commit(netlink)

    def _commit(self, netlink: NetlinkSocket) -> None:
        begin = netlink.next_sequence()
        data = [message(_BATCH_BEGIN, 1, begin, general(0, SUBSYSTEM >> 8))]
        subjects = {begin: "nf_tables transaction"}
        for kind, flags, family, payload, subject in self._requests:
            sequence = netlink.next_sequence()
            subjects[sequence] = subject
            last = NLM_F_ACK if len(subjects) > len(self._requests) else 0
            data.append(message(SUBSYSTEM | kind, 1 | flags | last, sequence, general(family) + payload))
        data.append(message(_BATCH_END, 1, netlink.next_sequence(), general(0, SUBSYSTEM >> 8)))
        netlink.send(b"".join(data))
        failure: OSError | None = None
        for answer in netlink.receive():
            if not is_error(answer) or answer.sequence not in subjects:
                continue  # the latter answers an earlier batch, which failed
            try:
                raise_error(answer, subjects.get(answer.sequence, "nf_tables transaction"))
            except OSError as error:
                failure = failure or error
            if answer.sequence == sequence or (failure is not None and answer.sequence == begin):
                break
        if failure is not None:
            raise failure


# --- connections ------------------------------------------------------------------------------------------------------


class Session:
    """A context in which this thread's requests go over one socket, which stays open for the next time. Closing one
    waits until the kernel has destroyed what was deleted (an RCU grace period: 8 ms, many more where it is busy).
    For one thread at a time, in one network namespace."""

    def __init__(self) -> None:
        self._netlink: NetlinkSocket | None = None

    def __enter__(self) -> Session:
        if self._netlink is None:
            self._netlink = _connected()
        _threads.netlink = self._netlink
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        _threads.netlink = None
        if kind is not None and self._netlink is not None:  # answers that nobody has read may be on their way
            self._netlink.close()
            self._netlink = None


_threads = ThreadLocal()
"""``netlink`` is the socket of the session that a thread is in."""


class connection:
    """``with connection() as netlink:`` the session's socket; where there is no session, one of its own."""

    __slots__ = ("_own",)

    def __enter__(self) -> NetlinkSocket:
        shared: NetlinkSocket | None = getattr(_threads, "netlink", None)
        self._own = _connected() if shared is None else None
        return shared or self._own

    def __exit__(self, *exception: object) -> None:
        if self._own is not None:
            self._own.close()


def _connected() -> NetlinkSocket:
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    netlink.widen_buffers()
    return netlink


def general(family: int, resource: int = 0) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


def _concatenated(parts: Sequence[tuple[str, int]]) -> int:
    number = 0
    for name, _ in parts:
        number = number << 6 | _TYPES[name]
    return number
