"""Networks with real containers: names, ports, ways out and walls. Hosts are network namespaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.kernel import nftables
from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import RouteSocket

from support.census import network_tag, processes_of
from support.engine import Engine
from support.sources import REPOSITORY
from support.waiting import eventually

pytestmark = pytest.mark.kernel

SERVE = ("base", "python3", "-m", "http.server", "80", "--directory", "/etc")
FETCH = "import sys,urllib.request as u; print(u.urlopen('http://'+sys.argv[1]+'/hostname',timeout=3).read().decode())"


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with Python in it, which serves and asks."""
    path = tmp_path_factory.mktemp("rootfs") / "base.tar"
    subprocess.run([sys.executable, REPOSITORY / "scripts" / "base-image", path], check=True, capture_output=True)
    return path


def serve(engine: Engine, name: str, *flags: str) -> str:
    """A container with a web server; its short id, which it serves as its host name."""
    container_id = engine.docket("run", "-d", "--name", name, *flags, *SERVE).stdout.strip()
    asks = ("exec", name, "python3", "-c", FETCH, "127.0.0.1")
    eventually(lambda: engine.docket(*asks, check=False).returncode == 0, timeout_s=30)
    return container_id[:12]


def test_legacy_links(engine: Engine) -> None:
    engine.docket("run", "-d", "--name", "db", "-e", "PASS=x", "--expose", "5432", "base", "sleep", "1000")
    engine.docket("run", "-d", "--name", "web", "--link", "db:pg", "base", "sleep", "1000")
    address = "{{.NetworkSettings.IPAddress}}"
    first = engine.docket("inspect", "-f", address, "db").stdout.strip()
    assert f"PG_PORT_5432_TCP=tcp://{first}:5432\n" in engine.docket("exec", "web", "env").stdout
    assert engine.docket("inspect", "-f", "{{.HostConfig.Links}}", "web").stdout == "[/db:/web/pg]\n"
    assert "db,web/pg" in engine.docket("ps", "--no-trunc", "--format", "{{.Names}}").stdout.split()
    engine.docket("stop", "-t", "0", "db")
    assert "Cannot link to a non running container: /db AS /web/pg" in engine.refused("restart", "-t", "0", "web")
    engine.docket("start", "db")
    engine.docket("start", "web")
    engine.docket("stop", "-t", "0", "db")
    engine.docket("run", "-d", "base", "sleep", "1000")
    engine.docket("start", "db")
    now = engine.docket("inspect", "-f", address, "db").stdout.strip()
    hosts = engine.docket("exec", "web", "cat", "/etc/hosts").stdout
    assert now != first and any(line.startswith(f"{now}\tpg ") for line in hosts.splitlines()) and first not in hosts
    assert "default link name" in engine.refused("rm", "--link", "web")
    assert "No such container: web/db" in engine.refused("rm", "--link", "web/db")
    assert engine.docket("rm", "--link", "/web/pg").stdout == "/web/pg\n"
    assert engine.docket("inspect", "-f", "{{json .HostConfig.Links}}", "web").stdout == "null\n"
    assert "pg" not in engine.docket("exec", "web", "cat", "/etc/hosts").stdout

    engine.docket("network", "create", "app")
    engine.docket("run", "-d", "--name", "store", "--network", "app", "base", "sleep", "1000")
    ask = ("python3", "-c", "import socket; print(socket.gethostbyname('other'))")
    linked = engine.docket("run", "--rm", "--network", "app", "--link", "store:other", "base", *ask).stdout.strip()
    there = engine.docket("inspect", "-f", "{{.NetworkSettings.Networks.app.IPAddress}}", "store").stdout.strip()
    assert linked == there
    assert engine.docket("run", "--rm", "--network", "app", "base", *ask, check=False).returncode == 1
    engine.docket("rm", "-f", "web", "db", "store")


def fetch(place: str) -> str:
    with urllib.request.urlopen(f"http://{place}/hostname", timeout=3) as answer:
        return answer.read().decode().strip()


def fetch_inside(engine: Engine, name: str, place: str) -> str:
    """What a container gets; "" where nothing answers."""
    return engine.docket("exec", name, "python3", "-c", FETCH, place, check=False).stdout.strip()


def address_of(engine: Engine, name: str, network: str = "bridge") -> str:
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]


@pytest.fixture
def outside() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Another host, 198.51.100.2, which routes everything to this one, 198.51.100.1: calls a function there."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    away = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    setns(home, CLONE_NEWNET)
    with RouteSocket() as route:
        route.create_veth("dtest0", 1500, "eth0", "02:42:00:00:00:02", away)
        link = route.link("dtest0")
        assert link is not None
        route.add_address(link.index, ip_address("198.51.100.1"), 24)
        route.set_link(link.index, "dtest0", up=True)

    def call(action: Callable[[], Any]) -> Any:
        setns(away, CLONE_NEWNET)
        try:
            return action()
        finally:
            setns(home, CLONE_NEWNET)

    def configure() -> None:
        with RouteSocket() as route:
            route.set_link(1, "lo", up=True)
            link = route.link("eth0")
            assert link is not None
            route.add_address(link.index, ip_address("198.51.100.2"), 24)
            route.set_link(link.index, "eth0", up=True)
            route.add_default_route(ip_address("198.51.100.1"), link.index)

    call(configure)
    try:
        yield call
    finally:
        with RouteSocket() as route:
            route.delete_link("dtest0")
        os.close(away)
        os.close(home)


def test_a_published_port_is_reached_from_everywhere(engine: Engine, outside: Callable[..., Any]) -> None:
    name = serve(engine, "web", "-p", "8000:80")
    gateway = engine.inspect("web")["NetworkSettings"]["Gateway"]
    for place in ("127.0.0.1:8000", "[::1]:8000", f"{gateway}:8000", "198.51.100.1:8000"):
        assert fetch(place) == name, place
    assert outside(lambda: fetch("198.51.100.1:8000")) == name
    assert fetch_inside(engine, "web", f"{gateway}:8000") == name, "its own published port, by the way of the host"
    engine.docket("run", "-d", "--name", "other", "base", "sleep", "100")
    assert fetch_inside(engine, "other", f"{gateway}:8000") == name
    assert engine.docket("port", "web", "80").stdout.splitlines() == ["0.0.0.0:8000", "[::]:8000"]


def test_the_container_sees_who_asks(engine: Engine, outside: Callable[..., Any]) -> None:
    serve(engine, "web", "-p", "8000:80")
    outside(lambda: fetch("198.51.100.1:8000"))
    assert "198.51.100.2 - -" in engine.docket("logs", "web").stderr


def test_what_is_not_published_is_not_reached_from_outside(engine: Engine, outside: Callable[..., Any]) -> None:
    serve(engine, "web", "-p", "127.0.0.1:8443:80")
    assert fetch("127.0.0.1:8443")
    for place in (f"{address_of(engine, 'web')}:80", "198.51.100.1:8443"):
        with pytest.raises(OSError):
            outside(lambda: fetch(place))
    # a host beside this one may send to 127.0.0.1 on the wire: nothing answers
    with pytest.raises(OSError):
        outside(lambda: _fetch_loopback_of_the_neighbour())


def _fetch_loopback_of_the_neighbour() -> None:
    for name in ("all", "eth0"):
        with open(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "w") as file:
            file.write("1")
    with RouteSocket() as route:
        route.set_link(1, "lo", up=False)
    with socket.socket() as sock:
        sock.settimeout(2)
        sock.bind(("198.51.100.2", 0))
        sock.connect(("127.0.0.1", 8443))


def test_a_container_reaches_the_outside_behind_the_hosts_address(engine: Engine, outside: Callable[..., Any]) -> None:
    server = outside(lambda: socket.create_server(("198.51.100.2", 8099)))
    with server:
        engine.docket("run", "-d", "--name", "web", "base", "sleep", "100")
        asking = engine.spawn(
            "exec", "web", "python3", "-c", "import socket; socket.create_connection(('198.51.100.2', 8099), 5)"
        )
        server.settimeout(20)
        accepted, (source, _) = server.accept()
        accepted.close()
        assert source == "198.51.100.1"
        assert asking.communicate(timeout=20)[1] == ""


def test_containers_of_one_network_find_each_other_by_name(engine: Engine) -> None:
    engine.docket("network", "create", "--subnet", "10.123.9.0/24", "app")
    name = serve(engine, "db", "--network", "app", "--network-alias", "pg", "--ip", "10.123.9.5")
    engine.docket("run", "-d", "--name", "web", "--network", "app", "base", "sleep", "100")
    for place in ("db", "pg", "PG", "db.app", name, "10.123.9.5"):
        assert fetch_inside(engine, "web", place) == name, place
    reverse = "import socket; print(socket.gethostbyaddr('10.123.9.5')[0])"
    assert engine.docket("exec", "web", "python3", "-c", reverse).stdout.strip() == "db.app"
    assert fetch_inside(engine, "web", "nobody") == ""
    engine.docket("rename", "db", "store")
    assert fetch_inside(engine, "web", "store") == name and fetch_inside(engine, "web", "db") == ""
    engine.docket("rename", "store", "db")
    assert engine.docket("network", "holder", "app", "10.123.9.5").stdout.split() == [name, "db"]


def test_names_come_with_connect_and_go_with_disconnect(engine: Engine) -> None:
    for network in ("one", "two"):
        engine.docket("network", "create", network)
    name = serve(engine, "db", "--network", "one")
    engine.docket("run", "-d", "--name", "web", "--network", "two", "base", "sleep", "100")
    assert fetch_inside(engine, "web", "db") == "" == fetch_inside(engine, "web", address_of(engine, "db", "one"))
    engine.docket("network", "connect", "--alias", "store", "two", "db")
    assert fetch_inside(engine, "web", "db") == name == fetch_inside(engine, "web", "store")
    engine.docket("network", "disconnect", "two", "db")
    assert fetch_inside(engine, "web", "db") == ""
    assert list(engine.inspect("db")["NetworkSettings"]["Networks"]) == ["one"]
    assert "endpoint.detached" in engine.event_types("db")


def test_an_internal_network_stays_inside(engine: Engine, outside: Callable[..., Any]) -> None:
    engine.docket("network", "create", "--internal", "back")
    name = serve(engine, "db", "--network", "back")
    engine.docket("run", "-d", "--name", "web", "--network", "back", "base", "sleep", "100")
    assert fetch_inside(engine, "web", "db") == name
    with outside(lambda: socket.create_server(("198.51.100.2", 8099))):
        connect = "import socket; socket.create_connection(('198.51.100.2', 8099), 2)"
        assert engine.docket("exec", "web", "python3", "-c", connect, check=False).returncode != 0
    with pytest.raises(OSError):
        outside(lambda: fetch(f"{address_of(engine, 'db', 'back')}:80"))


def test_ipv6(engine: Engine) -> None:
    engine.docket("network", "create", "--ipv6", "--subnet", "fd00:9::/64", "six")
    name = serve(engine, "web", "--network", "six", "--ip6", "fd00:9::5", "-p", "8000:80")
    engine.docket("run", "-d", "--name", "other", "--network", "six", "base", "sleep", "100")
    probe = "import socket; socket.create_connection(('fd00:9::5', 22), 3)"
    done = engine.docket("exec", "other", "python3", "-c", probe, check=False)
    assert "Connection refused" in done.stderr, "the way there is open, and nobody listens"
    assert fetch("[::1]:8000") == name


def test_ports_conflict_by_name_and_leave_nothing(engine: Engine) -> None:
    serve(engine, "web", "-p", "8000:80")
    message = engine.docket("run", "--name", "second", "-p", "8000:80", "base", "true", check=False)
    assert message.returncode == 125 and "port is already allocated (by container web)" in message.stderr
    with socket.create_server(("127.0.0.1", 8001)):
        taken = engine.docket("run", "--name", "third", "-p", "8001:80", "base", "true", check=False)
        assert taken.returncode == 125 and f"(pid {os.getpid()})" in taken.stderr
    assert engine.docket("network", "inspect", "-f", "{{len .Containers}}", "bridge").stdout.strip() == "1"
    with pytest.raises(OSError):
        socket.create_server(("0.0.0.0", 8000))
    engine.docket("rm", "-f", "web")
    socket.create_server(("0.0.0.0", 8000)).close()


def test_random_ports_ranges_and_all_exposed_ones(engine: Engine) -> None:
    flags = ("-p", "80", "-p", "9000-9002:9000-9002/udp", "--expose", "7000", "-P")
    engine.docket("run", "-d", "--name", "web", *flags, "base", "sleep", "100")
    ports = engine.inspect("web")["NetworkSettings"]["Ports"]
    assert [ports[f"{port}/udp"][0]["HostPort"] for port in (9000, 9001, 9002)] == ["9000", "9001", "9002"]
    assert int(ports["80/tcp"][0]["HostPort"]) > 1024 < int(ports["7000/tcp"][0]["HostPort"])
    assert "9000-9002" in engine.docket("ps").stdout


ECHO = """
import socket
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.bind(("", 9000))
while True:
    data, source = sock.recvfrom(100)
    print(data.decode())
    sock.sendto(data, source)
"""


class Datagrams:
    """Numbers that are sent to a port of this host one after the other, each when the one before has come back."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.lost: list[int] = []
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.settimeout(5)
        self._socket.connect(("127.0.0.1", port))
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._ends.is_set():
            number = self.sent
            self._socket.send(b"%d" % number)
            self.sent += 1
            try:
                assert self._socket.recv(100) == b"%d" % number
            except (OSError, AssertionError):
                self.lost.append(number)
            time.sleep(0.005)

    def __enter__(self) -> Datagrams:
        eventually(self._answers, what="the container listens")
        self._thread.start()
        return self

    def _answers(self) -> bool:
        try:
            self._socket.send(b"-1")
            self._socket.settimeout(0.5)
            return self._socket.recv(100) == b"-1"
        except OSError:
            return False
        finally:
            self._socket.settimeout(5)

    def __exit__(self, *exception: object) -> None:
        self._ends.set()
        self._thread.join()
        self._socket.close()


def test_ports_and_names_live_without_the_daemon(own_engine: Engine) -> None:
    engine = own_engine
    engine.docket("network", "create", "app")
    name = serve(engine, "web", "--network", "app", "-p", "8000:80")
    flags = ("--network", "app", "-p", "9000:9000/udp")
    engine.docket("run", "-d", "--name", "echo", *flags, "base", "python3", "-uc", ECHO)
    with Datagrams(9000) as datagrams:
        engine.kill()
        assert fetch("127.0.0.1:8000") == name == fetch("[::1]:8000")
        engine.start()
        engine.restart()
    assert datagrams.sent > 50 and datagrams.lost == [], "no packet is lost while daemons come and go"
    logged = [int(line) for line in engine.docket("logs", "echo").stdout.split() if line != "-1"]
    assert logged == [*range(datagrams.sent)], "nor a line of the log"
    assert fetch("127.0.0.1:8000") == name
    assert fetch_inside(engine, "web", "web") == name
    (network,) = json.loads(engine.docket("network", "inspect", "app").stdout)
    engine.kill()
    with RouteSocket() as route:
        assert route.delete_link(f"br-{network['Id'][:12]}"), "somebody takes the bridge away"
    engine.start()
    assert fetch("127.0.0.1:8000") == name, "it is made again, and its containers are on it"
    assert engine.docket("audit", "verify").returncode == 0


def test_static_addresses_are_kept_and_never_given_twice(engine: Engine) -> None:
    engine.docket("network", "create", "--subnet", "10.123.9.0/29", "small")
    engine.docket("run", "-d", "--name", "one", "--network", "small", "--ip", "10.123.9.2", "base", "sleep", "100")
    engine.docket("stop", "-t", "0", "one")
    for number in range(4):
        engine.docket("run", "-d", "--name", f"c{number}", "--network", "small", "base", "sleep", "100")
    full = engine.docket("run", "--rm", "--network", "small", "base", "true", check=False)
    assert full.returncode == 125 and "no available addresses" in full.stderr
    stolen = engine.refused("create", "--network", "small", "--ip", "10.123.9.2", "base", "true")
    assert "one's" in stolen
    engine.docket("start", "one")
    assert address_of(engine, "one", "small") == "10.123.9.2"
    others = {address_of(engine, f"c{number}", "small") for number in range(4)}
    assert len(others) == 4 and "10.123.9.2" not in others


def test_the_log_tells_who_had_an_address(engine: Engine) -> None:
    engine.docket("network", "create", "--subnet", "10.123.9.0/24", "app")
    engine.docket("run", "-d", "--name", "first", "--network", "app", "--ip", "10.123.9.5", "base", "sleep", "100")
    moment = engine.api("GET", "/docket/audit/head").json["seq"]
    engine.docket("rm", "-f", "first")
    assert "nobody" in engine.refused("network", "holder", "app", "10.123.9.5")
    then = engine.docket("network", "holder", "--as-of", f"seq:{moment}", "app", "10.123.9.5").stdout
    assert then.split()[1] == "first"
    engine.docket("network", "rm", "app")
    assert "app" in engine.docket("network", "ls", "--as-of", f"seq:{moment}").stdout
    assert "app" not in engine.docket("network", "ls").stdout.split()
    assert engine.event_types("app")[0] == "network.created" and engine.event_types("app")[-1] == "network.removed"


def test_a_container_in_the_network_of_another(engine: Engine) -> None:
    name = serve(engine, "web")
    joined = engine.docket("run", "--rm", "--network", "container:web", "base", "python3", "-c", FETCH, "127.0.0.1")
    assert joined.stdout.strip() == name
    wrong = engine.docket("run", "--rm", "--network", "container:web", "-p", "80:80", "base", "true", check=False)
    assert wrong.returncode == 125 and "conflicting options" in wrong.stderr


def test_a_firewall_that_drops_gets_our_exceptions_and_loses_them(own_engine: Engine) -> None:
    """As Docker has it: a chain of the forward hook with policy drop, which offers the chain DOCKER-USER."""
    engine, family = own_engine, nftables.IPV4
    engine.docket("run", "-d", "--name", "web", "base", "sleep", "100")
    # neighbours of an internal network need them as well: where netfilter sees bridged packets, they are dropped, too
    engine.docket("network", "create", "--internal", "back")
    batch = nftables.Batch()
    batch.ensure_table(family, "filter")
    batch.base_chain(family, "filter", "FORWARD", "filter", "forward", 0, policy=nftables.DROP)
    batch.plain_chain(family, "filter", "DOCKER-USER")
    batch.commit()
    mark = f"docket-{network_tag(engine.home)} "  # other engines' rules may be there, too

    def ours() -> list[str]:
        rules = nftables.rules(family, "filter", "DOCKER-USER")
        return [rule.mark for rule in rules if rule.mark.startswith(mark)]

    try:
        eventually(lambda: len(ours()) == 4, what="our rules are there")
        eventually(lambda: "network.hooked" in engine.event_types("bridge"))
        engine.docket("rm", "-f", "web")
        engine.restart()
        assert ours() == []
    finally:
        batch = nftables.Batch()
        batch.delete_table(family, "filter")
        batch.commit()


def test_a_ruleset_that_is_flushed_takes_no_ports_along(engine: Engine) -> None:
    """What reloading a firewall does to everybody's tables (`flush ruleset`)."""
    name = serve(engine, "web", "-p", "127.0.0.1:8000:80")
    batch = nftables.Batch()
    for family in (nftables.IPV4, nftables.IPV6):
        if (table := f"docket-{network_tag(engine.home)}") in nftables.tables(family):
            batch.delete_table(family, table)
    batch.commit()

    def answers() -> bool:
        try:
            return fetch("127.0.0.1:8000") == name
        except OSError:
            return False

    eventually(answers, what="the tables are there again")


def test_a_firewall_that_offers_nothing_is_explained(engine: Engine) -> None:
    family = nftables.IPV4
    batch = nftables.Batch()
    batch.ensure_table(family, "strict")
    batch.base_chain(family, "strict", "forward", "filter", "forward", 10, policy=nftables.DROP)
    batch.commit()
    try:
        created = engine.docket("network", "create", "app")
        assert "ip strict forward" in created.stderr and len(created.stderr.splitlines()) == 1
    finally:
        batch = nftables.Batch()
        batch.delete_table(family, "strict")
        batch.commit()


def ask(sock: socket.socket, name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    sock.send(struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1))
    return sock.recv(4096)


def test_the_resolver_keeps_up(engine: Engine) -> None:
    engine.docket("network", "create", "app")
    engine.docket("run", "-d", "--name", "web", "--network", "app", "base", "sleep", "100")
    pid = engine.inspect("web")["State"]["Pid"]
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    with open(f"/proc/{pid}/ns/net", "rb") as inside:
        setns(inside.fileno(), CLONE_NEWNET)
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(5)
        sock.connect(("127.0.0.11", 53))
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)
    with sock:
        started = time.monotonic()
        for _ in range(2000):
            assert ask(sock, "web")[6:8] == b"\0\1"
        took = time.monotonic() - started
    assert took < 4, f"{2000 / took:.0f} questions a second, one after the other"


def test_network_prune_and_use(engine: Engine) -> None:
    engine.docket("network", "create", "idle")
    engine.docket("network", "create", "busy")
    engine.docket("run", "-d", "--name", "web", "--network", "busy", "base", "sleep", "100")
    assert "has active endpoints: web" in engine.refused("network", "rm", "busy")
    assert engine.docket("network", "prune", "-f").stdout == "Deleted Networks:\nidle\n\n"
    (shown,) = json.loads(engine.docket("network", "inspect", "busy").stdout)
    assert [member["Name"] for member in shown["Containers"].values()] == ["web"]
    assert "pre-defined" in engine.refused("network", "rm", "bridge")


def test_a_container_starts_on_the_networks_that_it_has(engine: Engine) -> None:
    def networks() -> list[str]:
        return sorted(engine.inspect("web")["NetworkSettings"]["Networks"])

    one = engine.docket("network", "create", "one").stdout.strip()
    engine.docket("network", "create", "two")
    engine.docket("run", "-d", "--name", "web", "--network", one[:7], "base", "sleep", "100")
    engine.docket("network", "connect", "two", "web")
    engine.docket("network", "disconnect", "one", "web")
    engine.docket("restart", "-t", "0", "web")
    assert networks() == ["two"]
    engine.docket("network", "disconnect", "two", "web")
    engine.docket("restart", "-t", "0", "web")
    assert networks() == ["one"], "without any it is on that of its creation again"
    engine.docket("stop", "-t", "0", "web")
    engine.docket("network", "rm", "one")
    assert "not found" in engine.docket("start", "web", check=False).stderr


def test_networks_that_are_made_at_once_get_subnets_of_their_own(engine: Engine) -> None:
    making = [engine.spawn("network", "create", f"app{number}") for number in range(6)]
    assert [one.wait(timeout=60) for one in making] == [0] * 6, [one.communicate() for one in making]


def test_the_operators_settings(own_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine, path = own_engine, tmp_path / "daemon.json"
    made = engine.environment
    monkeypatch.setattr(engine, "environment", lambda **extra: {**made(**extra), "DOCKET_CONFIG": str(path)})

    def restart(**settings: Any) -> None:
        path.write_text(json.dumps({key.replace("_", "-"): value for key, value in settings.items()}))
        engine.restart()

    restart(
        bip="10.124.0.1/24", fixed_cidr="10.124.0.128/25", mtu=1400, icc=False, ip="127.0.0.1", dns=["192.0.2.53"],
        dns_search=["example.org"], default_address_pools=[{"base": "10.125.0.0/16", "size": 26}],
    )  # fmt: skip
    name = serve(engine, "web", "-p", "8000:80")
    assert ip_address(address_of(engine, "web")) in ip_network("10.124.0.128/25")
    assert engine.docket("port", "web").stdout.split()[-1] == "127.0.0.1:8000" and fetch("127.0.0.1:8000") == name
    seen = engine.docket("exec", "web", "cat", "/sys/class/net/eth0/mtu", "/etc/resolv.conf").stdout
    assert seen.split("\n", 1)[0] == "1400" and "nameserver 192.0.2.53" in seen and "search example.org" in seen
    engine.docket("run", "-d", "--name", "other", "base", "sleep", "100")
    assert fetch_inside(engine, "other", address_of(engine, "web")) == "", "neighbours are kept apart"
    engine.docket("network", "create", "app")
    (app,) = json.loads(engine.docket("network", "inspect", "app").stdout)
    assert app["IPAM"]["Config"][0]["Subnet"] == "10.125.0.0/26"

    restart(iptables=False)
    assert "its new settings" in engine.log()
    engine.docket("rm", "-f", "web", "other")
    engine.restart()
    name = serve(engine, "web", "-p", "8000:80")
    assert not ip_address(address_of(engine, "web")) in ip_network("10.124.0.0/24")
    assert fetch("127.0.0.1:8000") == name == fetch("[::1]:8000"), "the shim carries what no rule translates"
    assert f"docket-{network_tag(engine.home)}" not in nftables.tables(nftables.IPV4)
    assert "network.configured" in engine.event_types("bridge")
    engine.docket("rm", "-f", "web")

    restart(bridge="none")
    assert engine.docket("run", "--rm", "base", "ls", "/sys/class/net").stdout.split() == ["lo"]
    assert "not found" in engine.docket("run", "--network", "bridge", "base", "true", check=False).stderr
    with RouteSocket() as route:
        route.create_bridge("dtest2", "02:42:00:00:00:09", 1500)
        link = route.link("dtest2")
        assert link is not None
        route.add_address(link.index, ip_address("10.126.0.1"), 24)
    try:
        restart(bridge="dtest2")
        serve(engine, "web", "-p", "8000:80")
        assert address_of(engine, "web").startswith("10.126.0.") and fetch("127.0.0.1:8000")
        engine.docket("rm", "-f", "web")
        engine.stop()
        with RouteSocket() as route:
            assert route.link("dtest2") is not None, "a bridge of the host's stays"
        engine.start()
    finally:
        with RouteSocket() as route:
            route.delete_link("dtest2")


def test_docker_s_events_tell_of_networks(engine: Engine) -> None:
    since = engine.api("GET", "/info").json["SystemTime"]
    engine.docket("network", "create", "app")
    engine.docket("run", "--rm", "--name", "web", "--network", "app", "base", "true")
    engine.docket("network", "rm", "app")
    shape = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}"
    told = engine.docket("events", "--since", since, "--until", "0s", "--filter", "type=network", "--format", shape)
    actions = ("create", "connect", "disconnect", "destroy")
    assert told.stdout.splitlines() == [f"{action} app bridge" for action in actions]


@pytest.mark.requires("docker client")
def test_docker_s_client(engine: Engine) -> None:
    engine.docker("network", "create", "--subnet", "10.123.9.0/24", "--label", "a=b", "app")
    name = engine.docker("run", "-d", "--name", "web", "--network", "app", "-p", "8000:80", *SERVE).stdout[:12]
    asks = ("exec", "web", "python3", "-c", FETCH, "127.0.0.1")
    eventually(lambda: engine.docket(*asks, check=False).returncode == 0, timeout_s=30)
    assert fetch("127.0.0.1:8000") == name
    assert engine.docker("port", "web", "80").stdout.split() == ["0.0.0.0:8000", "[::]:8000"]
    assert "app" in engine.docker("network", "ls", "--filter", "label=a=b", "--format", "{{.Name}}").stdout
    asked = engine.docker("run", "--rm", "--network", "app", "base", "python3", "-c", FETCH, "web")
    assert asked.stdout.strip() == name
    engine.docker("network", "connect", "bridge", "web")
    engine.docker("network", "disconnect", "app", "web")
    shape = "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}"
    assert engine.docker("inspect", "-f", shape, "web").stdout == (
        "bridge\n"
    )
    assert engine.docker("network", "prune", "-f").stdout.split()[-1] == "app"


def test_after_a_reboot_a_container_has_its_address_again(own_engine: Engine) -> None:
    engine = own_engine
    engine.docket("network", "create", "--subnet", "10.123.9.0/24", "app")
    flags = ("--restart", "always", "--network", "app", "--ip", "10.123.9.5", "-p", "8000:80")
    serve(engine, "web", *flags)
    (network,) = json.loads(engine.docket("network", "inspect", "app").stdout)
    pids = engine.shim_pids()
    engine.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not engine.shim_pids(), what="the shims have ended")
    for pid in processes_of(engine.home):
        os.kill(pid, signal.SIGKILL)
    with RouteSocket() as route:  # a reboot forgets interfaces and rules
        route.delete_link(f"br-{network['Id'][:12]}")
    batch = nftables.Batch()
    for family in (nftables.IPV4, nftables.IPV6):
        if (table := f"docket-{network_tag(engine.home)}") in nftables.tables(family):
            batch.delete_table(family, table)
    batch.commit()
    engine.start(boot_id="00000000-0000-4000-8000-000000000002")
    asks = ("exec", "web", "python3", "-c", FETCH, "127.0.0.1")
    eventually(lambda: engine.docket(*asks, check=False).returncode == 0, timeout_s=40)
    assert address_of(engine, "web", "app") == "10.123.9.5"
    assert fetch("127.0.0.1:8000")
    assert "network.lost" in engine.event_types("app")
    assert engine.docket("audit", "verify").returncode == 0


def test_a_shim_that_is_killed_leaves_nothing_of_its_network(engine: Engine) -> None:
    serve(engine, "web", "-p", "8000:80")
    address = address_of(engine, "web")
    for pid in engine.shim_pids():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: engine.inspect("web")["State"]["Status"] == "exited", timeout_s=30)
    assert "nobody" in engine.refused("network", "holder", "bridge", address)
    prefix = f"vd{network_tag(engine.home)[:4]}"
    eventually(lambda: not [name for _, name in socket.if_nameindex() if name.startswith(prefix)])
    socket.create_server(("0.0.0.0", 8000)).close()


def test_the_default_network_makes_way(own_engine: Engine) -> None:
    engine = own_engine
    engine.docket("run", "--name", "web", "base", "sleep", "0")
    (first,) = json.loads(engine.docket("network", "inspect", "bridge").stdout)
    engine.stop()
    subnet = ip_network(first["IPAM"]["Config"][0]["Subnet"])
    with RouteSocket() as route:  # somebody else takes it while the engine is down
        route.create_bridge("dtest1", "02:42:00:00:00:09", 1500)
        link = route.link("dtest1")
        assert link is not None
        route.add_address(link.index, subnet[1], subnet.prefixlen)
        route.set_link(link.index, "dtest1", up=True)
    try:
        engine.start()
        engine.docket("start", "web")
        assert "network.moved" in engine.event_types("bridge")
        (moved,) = json.loads(engine.docket("network", "inspect", "bridge").stdout)
        assert not ip_network(moved["IPAM"]["Config"][0]["Subnet"]).overlaps(subnet)
    finally:
        with RouteSocket() as route:
            route.delete_link("dtest1")
