"""rtnetlink and nf_tables on the real kernel, each test in a network namespace of its own."""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import ip_address
from typing import Callable, Iterator

import pytest

from engine.kernel import nftables, nftables_state
from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import IFF_UP, RouteSocket

from support.machine import first_lack

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces")]


@pytest.fixture
def namespace() -> Iterator[int]:
    """This thread in a network namespace of its own; the descriptor leads to a second, empty one."""
    if (reason := first_lack("root", "namespaces")) is not None:
        pytest.skip(reason)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    other = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    try:
        yield other
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(other)


def within(namespace_fd: int, action: Callable[[], None]) -> None:
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    setns(namespace_fd, CLONE_NEWNET)
    try:
        action()
    finally:
        setns(here, CLONE_NEWNET)
        os.close(here)


def connect_pair(other: int) -> None:
    """A bridge here with 10.9.0.1, and eth0 with 10.9.0.5 in the other namespace."""
    with RouteSocket() as route:
        route.set_link(1, "lo", up=True)
        route.create_bridge("br0", "02:42:0a:09:00:01", 1500)
        bridge = route.link("br0")
        assert bridge is not None and bridge.kind == "bridge"
        route.add_address(bridge.index, "10.9.0.1", 24)
        route.create_veth("veth0", 1500, "eth0", "02:42:0a:09:00:05", other)
        veth = route.link("veth0")
        assert veth is not None and veth.kind == "veth"
        route.set_link(veth.index, "veth0", up=True, master=bridge.index)
        route.set_bridge_port("veth0", hairpin=True)
        route.set_link(bridge.index, "br0", up=True, alias="a name")

    def inside() -> None:
        with RouteSocket() as route:
            eth = route.link("eth0")
            assert eth is not None and eth.address == "02:42:0a:09:00:05"
            route.add_address(eth.index, "10.9.0.5", 24)
            route.set_link(eth.index, "eth0", up=True)
            route.set_link(1, "lo", up=True)
            route.add_default_route("10.9.0.1", eth.index)
            assert any(r.destination is None and str(r.gateway) == "10.9.0.1" for r in route.routes())

    within(other, inside)


def listener(other: int, port: int) -> socket.socket:
    made: list[socket.socket] = []

    def inside() -> None:
        sock = socket.create_server(("10.9.0.5", port))
        sock.settimeout(5)
        made.append(sock)

    within(other, inside)
    return made[0]


def test_a_bridge_carries_packets_between_namespaces(namespace: int) -> None:
    connect_pair(namespace)
    with RouteSocket() as route:
        bridge, veth = route.link("br0"), route.link("veth0")
        assert bridge is not None and veth is not None
        assert veth.master == bridge.index and veth.flags & IFF_UP and bridge.alias == "a name"
        assert [str(a.address) for a in route.addresses() if a.index == bridge.index and a.address.version == 4] == [
            "10.9.0.1"
        ]
    with listener(namespace, 80) as server, socket.create_connection(("10.9.0.5", 80), 5):
        accepted, (source, _) = server.accept()
        accepted.close()
        assert source == "10.9.0.1"
    with RouteSocket() as route:
        assert route.delete_link("br0") and route.delete_link("veth0")
        assert not route.delete_link("br0")
        assert route.link("br0") is None


def test_errors_say_what_and_why(namespace: int) -> None:
    with RouteSocket() as route:
        route.create_bridge("br0", "02:42:0a:09:00:01", 1500)
        with pytest.raises(FileExistsError, match="br0"):
            route.create_bridge("br0", "02:42:0a:09:00:01", 1500)
        with pytest.raises(OSError, match="default via 10.9.0.1") as caught:
            route.add_default_route("10.9.0.1", 1)
        assert caught.value.errno in (errno.ENETUNREACH, errno.ENETDOWN, errno.EINVAL)
        assert "(" in caught.value.strerror, "the kernel's own words are passed on"
        assert [link.name for link in route.links() if link.kind == "bridge"] == ["br0"], "it goes on after errors"


def published(address: str, port: int, target: str, target_port: int) -> tuple[bytes, bytes]:
    key = ip_address(address).packed + struct.pack("=Bxxx", socket.IPPROTO_TCP) + struct.pack(">Hxx", port)
    return key, ip_address(target).packed + struct.pack(">Hxx", target_port)


def port_table(elements: list[tuple[bytes, bytes]]) -> nftables.Batch:
    batch, family = nftables.Batch(), nftables.IPV4
    batch.replace_table(family, "t")
    batch.map(
        family, "t", "ports", [("ipv4_addr", 4), ("inet_proto", 4), ("inet_service", 4)],
        [("ipv4_addr", 4), ("inet_service", 4)], elements,
    )  # fmt: skip
    batch.base_chain(family, "t", "output", "nat", "output", -100)
    first = nftables.REGISTER_0
    batch.rule(family, "t", "output", [
        nftables.load_destination_kind(), nftables.compare(struct.pack("=I", nftables.LOCAL_ADDRESS)),
        nftables.load_payload("network", 16, 4, first), nftables.load_meta("l4proto", first + 1),
        nftables.load_payload("transport", 2, 2, first + 2), nftables.look_up("ports", first, first + 4),
        nftables.destination_nat(family, first + 4, first + 5),
    ], mark="ports")  # fmt: skip
    return batch


def test_a_map_translates_destinations(namespace: int) -> None:
    connect_pair(namespace)
    port_table([published("10.9.0.1", 8000 + n, "10.9.0.5", 80) for n in range(1200)]).commit()
    assert nftables_state.tables(nftables.IPV4) == ["t"]
    (rule,) = nftables_state.rules(nftables.IPV4, "t", "output")
    assert rule.mark == "ports"
    with listener(namespace, 80) as server, socket.create_connection(("10.9.0.1", 9199), 5):
        server.accept()[0].close()
    port_table([]).commit()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("10.9.0.1", 9199), 5)


def test_a_batch_is_taken_whole_or_not_at_all(namespace: int) -> None:
    port_table([]).commit()
    batch = nftables.Batch()
    batch.replace_table(nftables.IPV4, "t")
    batch.ensure_table(nftables.IPV4, "u")
    batch.rule(nftables.IPV4, "t", "no-such-chain", [nftables.verdict(nftables.DROP)])
    with pytest.raises(FileNotFoundError, match="no-such-chain"):
        batch.commit()
    assert nftables_state.tables(nftables.IPV4) == ["t"]
    assert len(nftables_state.rules(nftables.IPV4, "t", "output")) == 1
    found = [chain for chain in nftables_state.chains(nftables.IPV4) if chain.name == "output"]
    assert found == [nftables_state.Chain("t", "output", 3, nftables.ACCEPT, "nat")]


def test_a_rule_can_be_put_first_and_taken_away(namespace: int) -> None:
    port_table([]).commit()
    batch = nftables.Batch()
    drop = [*nftables.interface_is("oifname", "lo"), nftables.counter(), nftables.verdict(nftables.DROP)]
    batch.rule(nftables.IPV4, "t", "output", drop, mark="mine", first=True)
    batch.commit()
    first, second = nftables_state.rules(nftables.IPV4, "t", "output")
    assert (first.mark, second.mark) == ("mine", "ports")
    batch = nftables.Batch()
    batch.delete_rule(nftables.IPV4, "t", "output", first.handle)
    batch.commit()
    assert [rule.mark for rule in nftables_state.rules(nftables.IPV4, "t", "output")] == ["ports"]
