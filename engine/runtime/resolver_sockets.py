"""The sockets at which a container finds its resolver, in its own network namespace.

They have a random port of 127.0.0.11, and nf_tables leads port 53 of that address there: so the container can serve
port 53 itself.
"""

from __future__ import annotations

import socket
import struct

from engine.kernel import nftables
from engine.kernel.namespaces import visiting
from engine.kernel.nftables import IPV4, REGISTER_0, Batch
from engine.kernel.rtnetlink import LOOPBACK_INDEX, RouteSocket
from engine.kernel.steps import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

ADDRESS = "127.0.0.11"
TABLE = "docket-resolver"
_PORT = 53
_BACKLOG = 64
_RECEIVE_BYTES = 1 << 20


def open_in(namespace_fd: int) -> list[int]:
    """Descriptors of a UDP and a listening TCP socket. The calling process must have one thread."""
    with step("network.resolver"), visiting("network", namespace_fd):
        return _open()


def _open() -> list[int]:
    with RouteSocket() as route:
        route.set_link(LOOPBACK_INDEX, "lo", up=True)  # the init may not have come to it yet
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        for sock in (udp, tcp):
            sock.bind((ADDRESS, 0))
        tcp.listen(_BACKLOG)
        _redirect({socket.IPPROTO_UDP: udp.getsockname()[1], socket.IPPROTO_TCP: tcp.getsockname()[1]})
    except BaseException:
        udp.close()
        tcp.close()
        raise
    return [udp.detach(), tcp.detach()]


def _redirect(ports: dict[int, int]) -> None:
    try:
        _add_rules(Batch.create_table, ports)
    except FileExistsError:  # of an earlier resolver in the same namespace
        _add_rules(Batch.replace_table, ports)


def _add_rules(begin: Callable[[Batch, int, str], None], ports: dict[int, int]) -> None:
    batch = Batch()
    begin(batch, IPV4, TABLE)
    batch.base_chain(IPV4, TABLE, "output", "nat", "output", -100)
    address = socket.inet_aton(ADDRESS)
    for protocol, port in ports.items():
        batch.rule(IPV4, TABLE, "output", [
            nftables.load_payload("network", 16, 4), nftables.compare(address),
            nftables.load_meta("l4proto"), nftables.compare(bytes([protocol])),
            nftables.load_payload("transport", 2, 2), nftables.compare(struct.pack(">H", _PORT)),
            nftables.immediate(address, REGISTER_0), nftables.immediate(struct.pack(">H", port), REGISTER_0 + 1),
            nftables.destination_nat(IPV4, REGISTER_0, REGISTER_0 + 1),
        ])  # fmt: skip
    batch.commit()
