"""The engine's rules on the real kernel, without an engine: host, containers and outside are network namespaces."""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.kernel import conntrack, nftables, nftables_state
from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import RouteSocket
from engine.networking.firewall import BridgeRules, PortRule, render
from engine.networking.host import HostNetwork
from engine.runtime.network import attach

from support.machine import first_lack

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces")]

TABLE = "docket-test"
APP, BACK = "10.9.1.0/24", "10.9.2.0/24"


def here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


class Host:
    """This thread's network namespace as a host that forwards; every namespace that was made is let go at the end."""

    def __init__(self) -> None:
        self.namespaces: list[int] = []
        with RouteSocket() as route:
            route.set_link(1, "lo", up=True)
        for name in ("ip_forward", "conf/all/route_localnet"):
            with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
                file.write("1")

    def _namespace(self) -> int:
        home = here()
        unshare(CLONE_NEWNET)
        self.namespaces.append(here())
        with RouteSocket() as route:
            route.set_link(1, "lo", up=True)
        setns(home, CLONE_NEWNET)
        os.close(home)
        return self.namespaces[-1]

    def bridge(self, name: str, gateway: str) -> None:
        with RouteSocket() as route:
            route.create_bridge(name, "02:42:0a:09:00:01", 1500)
            link = route.link(name)
            assert link is not None
            address = ip_interface(gateway)
            route.add_address(link.index, str(address.ip), address.network.prefixlen)
            route.set_link(link.index, name, up=True)

    def container(self, bridge: str, address: str, gateway: str, *, isolated: bool = False) -> int:
        """As the runtime makes its interface."""
        namespace = self._namespace()
        number = len(self.namespaces)
        attach([{
            "endpoint_id": str(number), "bridge": bridge, "host_interface": f"vt{number}", "name": "eth0",
            "mac_address": f"02:42:0a:09:00:{number + 16:02x}", "mtu": 1500, "addresses": [address],
            "gateways": [gateway], "isolated": isolated,
        }], namespace)  # fmt: skip
        return namespace

    def outside(self, address: str) -> int:
        """Another host on a wire of its own (198.51.100.0/24) that routes everything to this one."""
        namespace = self._namespace()
        with RouteSocket() as route:
            route.create_veth("wire", 1500, "eth0", "02:42:00:00:00:02", namespace)
            link = route.link("wire")
            assert link is not None
            route.add_address(link.index, "198.51.100.1", 24)
            route.set_link(link.index, "wire", up=True)

        def configure() -> None:
            with RouteSocket() as route:
                link = route.link("eth0")
                assert link is not None
                route.add_address(link.index, address, 24)
                route.set_link(link.index, "eth0", up=True)
                route.add_default_route("198.51.100.1", link.index)

        within(namespace, configure)
        return namespace


def within(namespace: int, action: Callable[[], Any]) -> Any:
    home = here()
    setns(namespace, CLONE_NEWNET)
    try:
        return action()
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


@pytest.fixture
def host() -> Iterator[Host]:
    if (reason := first_lack("root", "namespaces")) is not None:
        pytest.skip(reason)
    home = here()
    unshare(CLONE_NEWNET)
    made = Host()
    try:
        yield made
    finally:
        setns(home, CLONE_NEWNET)
        for fd in (home, *made.namespaces):
            os.close(fd)


def listen(namespace: int, port: int = 80) -> socket.socket:
    return within(namespace, lambda: socket.create_server(("", port)))


def reaches(namespace: int | None, address: str, port: int, patience_s: float = 0.4) -> bool:
    def connect() -> bool:
        try:
            socket.create_connection((address, port), patience_s).close()
        except OSError:
            return False
        return True

    return connect() if namespace is None else within(namespace, connect)


def bridged_packets_are_seen() -> bool:
    path = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return path.exists() and path.read_text().strip() == "1"


def rules(*networks: BridgeRules, ports: tuple[PortRule, ...] = ()) -> None:
    render(TABLE, networks, ports).commit()


def network(bridge: str, subnet: str, **changes: bool) -> BridgeRules:
    return BridgeRules(bridge, (subnet,), **{"internal": False, "masquerade": True, "neighbours": True, **changes})


WEB = PortRule("tcp", "0.0.0.0", 8000, "10.9.1.5", 80)


def test_who_reaches_whom(host: Host) -> None:
    host.bridge("app", "10.9.1.1/24")
    host.bridge("back", "10.9.2.1/24")
    web, other = host.container("app", "10.9.1.5/24", "10.9.1.1"), host.container("app", "10.9.1.6/24", "10.9.1.1")
    inner = host.container("back", "10.9.2.5/24", "10.9.2.1")
    away = host.outside("198.51.100.2")
    rules(network("app", APP), network("back", BACK, internal=True), ports=(WEB,))
    with listen(web), listen(inner), listen(away):
        table = [
            (None, "127.0.0.1", 8000, True), (None, "198.51.100.1", 8000, True), (None, "10.9.1.5", 80, True),
            (away, "198.51.100.1", 8000, True), (away, "10.9.1.5", 80, False), (away, "10.9.2.5", 80, False),
            (other, "10.9.1.5", 80, True), (other, "10.9.1.1", 8000, True), (web, "10.9.1.1", 8000, True),
            (other, "198.51.100.2", 80, True), (other, "10.9.2.5", 80, False),
            # an internal network stays inside: also by its gateway, which is an address of the host like any other
            (inner, "10.9.2.1", 8000, False), (inner, "198.51.100.1", 8000, False), (inner, "10.9.1.5", 80, False),
            (inner, "198.51.100.2", 80, False),
        ]  # fmt: skip
        found = [(who, address, port, reaches(who, address, port)) for who, address, port, _ in table]
    assert found == table


def test_neighbours_that_are_to_be_kept_apart_are(host: Host) -> None:
    """Bridged packets don't pass the rules: the bridge must not carry them. Published ports are for everybody."""
    host.bridge("app", "10.9.1.1/24")
    web = host.container("app", "10.9.1.5/24", "10.9.1.1", isolated=True)
    other = host.container("app", "10.9.1.6/24", "10.9.1.1", isolated=True)
    rules(network("app", APP, neighbours=False), ports=(WEB,))
    with listen(web):
        assert not reaches(other, "10.9.1.5", 80)
        assert reaches(None, "10.9.1.5", 80)
        # where netfilter sees bridged packets, the bridge carries what was translated, and holds that back, too
        assert reaches(other, "10.9.1.1", 8000) is not bridged_packets_are_seen()


def test_nobody_outside_of_the_host_has_an_address_of_its_loopback(host: Host) -> None:
    """The bridges' route_localnet must open neither 127.0.0.1 as a destination nor 127.x as somebody's source."""
    host.bridge("app", "10.9.1.1/24")
    web = host.container("app", "10.9.1.5/24", "10.9.1.1")
    rules(network("app", APP), ports=(PortRule("tcp", "127.0.0.1", 8443, "10.9.1.5", 80),))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 5000))
    server.settimeout(0.3)
    with server, listen(web):
        for source, comes in (("10.9.1.5", True), ("127.0.0.2", False)):
            within(web, lambda one=source: _send_from(one, "10.9.1.1", 5000))
            assert _received(server) is comes, source
        assert reaches(None, "127.0.0.1", 8443)

        def ask() -> bool:
            for name in ("all", "eth0"):
                with open(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "w") as file:
                    file.write("1")
            with RouteSocket() as route:
                route.set_link(1, "lo", up=False)
            return reaches(None, "127.0.0.1", 8443)

        assert not within(web, ask)


def _received(server: socket.socket) -> bool:
    try:
        return bool(server.recv(100))
    except TimeoutError:
        return False


def _send_from(source: str, address: str, port: int) -> None:
    """A datagram with any source address, as a container with CAP_NET_RAW can make it."""
    with open("/proc/sys/net/ipv4/conf/eth0/route_localnet", "w") as file:
        file.write("1")
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 31, 1, 0, 64, socket.IPPROTO_UDP, 0) + ends
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(head + struct.pack(">HHHH", 4000, port, 11, 0) + b"abc", (address, 0))


def test_ports_come_and_go_one_by_one_whatever_happened_to_the_tables(host: Host) -> None:
    host.bridge("app", "10.9.1.1/24")
    web = host.container("app", "10.9.1.5/24", "10.9.1.1")
    engine, networks = HostNetwork("test"), [network("app", APP)]
    local = PortRule("tcp", "127.0.0.1", 8001, "10.9.1.5", 80)

    def reached(expected: list[bool]) -> list[bool]:
        """Patient where there should be an answer: a first segment may get lost, and is sent again after a second."""
        return [
            reaches(None, "127.0.0.1", port, 5 if wanted else 0.4)
            for port, wanted in zip((8000, 8001), expected, strict=True)
        ]

    def flush() -> None:
        batch = nftables.Batch()
        batch.delete_table(nftables.IPV4, engine.table)
        batch.commit()

    with listen(web):
        for ports, expected in (
            ([], [False, False]), ([WEB], [True, False]), ([WEB, local], [True, True]), ([local], [False, True]),
            ([WEB._replace(target="10.9.1.6"), local], [False, True]), ([WEB], [True, False]),
        ):  # fmt: skip
            engine.apply_rules(networks, ports)
            assert reached(expected) == expected, ports
        assert engine.has_tables(networks)
        flush()
        assert not engine.has_tables(networks)
        engine.apply_rules(networks, [WEB, local])
        assert reached([True, True]) == [True, True] and engine.has_tables(networks)
        flush()
        engine.apply_rules(networks, [local])
        assert reached([False, True]) == [False, True], "what is to be deleted is gone: all is written anew"
    engine.apply_rules([], [])
    assert engine.table not in nftables_state.tables(nftables.IPV4)


def test_a_flow_of_datagrams_follows_the_ports(host: Host) -> None:
    """The kernel remembers a flow for as long as its datagrams come: also one that began before the port was there."""
    host.bridge("app", "10.9.1.1/24")
    first, second = (host.container("app", f"10.9.1.{number}/24", "10.9.1.1") for number in (5, 6))
    away = host.outside("198.51.100.2")
    engine, networks = HostNetwork("test"), [network("app", APP)]
    ports = {number: PortRule("udp", "0.0.0.0", 5000, f"10.9.1.{number}", 53) for number in (5, 6)}

    def bound() -> socket.socket:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(("", 53))
        sock.settimeout(0.3)
        return sock

    def flows() -> list[conntrack.Flow]:
        found: list[conntrack.Flow] = []
        conntrack.forget_datagrams(nftables.IPV4, lambda flow: bool(found.append(flow)))
        return sorted(found)

    servers = [within(namespace, bound) for namespace in (first, second)]
    client = within(away, lambda: socket.socket(type=socket.SOCK_DGRAM))
    engine.apply_rules(networks, [])
    for published, expected in (([], [False, False]), ([5], [True, False]), ([6], [False, True]), ([], [False, False])):
        engine.apply_rules(networks, [ports[number] for number in published])
        client.sendto(b"abc", ("198.51.100.1", 5000))
        assert [_received(server) for server in servers] == expected, published
        # another life of the engine doesn't touch a flow that leads where it should
        before = flows()
        HostNetwork("test").apply_rules(networks, [ports[number] for number in published])
        assert flows() == before, published
    for sock in (client, *servers):
        sock.close()


FORWARD = (nftables.IPV4, "other", "forward")


def drops_by_policy(batch: nftables.Batch) -> None:
    batch.base_chain(*FORWARD, "filter", "forward", 10, policy=nftables.DROP)


def drops_by_its_last_rule(batch: nftables.Batch) -> None:
    batch.base_chain(*FORWARD, "filter", "forward", 10)
    batch.rule(*FORWARD, [*nftables.interface_is("iifname", "eth0"), nftables.verdict(nftables.ACCEPT)])
    batch.rule(*FORWARD, [nftables.counter(), nftables.verdict(nftables.DROP)])


def drops_some(batch: nftables.Batch) -> None:
    batch.base_chain(*FORWARD, "filter", "forward", 10)
    batch.rule(*FORWARD, [*nftables.interface_is("iifname", "eth0"), nftables.verdict(nftables.DROP)])


def drops_elsewhere(batch: nftables.Batch) -> None:
    batch.base_chain(*FORWARD, "filter", "input", 10, policy=nftables.DROP)


@pytest.mark.parametrize("family", [nftables.IPV4, nftables.IPV6, nftables.INET])
@pytest.mark.parametrize(
    ("fill", "stands_in_the_way"),
    [(drops_by_policy, True), (drops_by_its_last_rule, True), (drops_some, False), (drops_elsewhere, False)],
)
def test_what_stands_in_the_way(
    host: Host, monkeypatch: pytest.MonkeyPatch, family: int, fill: Callable[[nftables.Batch], None],
    stands_in_the_way: bool,
) -> None:  # fmt: skip
    """Firewalls as firewalld, ufw and Debian's nftables.conf make them."""
    monkeypatch.setitem(globals(), "FORWARD", (family, "other", "forward"))
    batch = nftables.Batch()
    batch.ensure_table(family, "other")
    fill(batch)
    batch.commit()
    name = {nftables.IPV4: "ip", nftables.IPV6: "ip6", nftables.INET: "inet"}[family]
    found = HostNetwork("test").settle_hooks(["app"])
    assert found.obstacles == ([f"{name} other forward"] if stands_in_the_way else [])
