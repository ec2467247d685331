"""Published ports and the way out: who reaches whom, as whom, and what stays while the daemon is down."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from typing import Any, Callable

import pytest

from engine.kernel.rtnetlink import RouteSocket

from support.engine import Engine
from support.waiting import eventually

from .web import NOT_LONG_S, address_of, fetch, fetch_inside, serve

pytestmark = pytest.mark.kernel


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
            outside(lambda: fetch(place, NOT_LONG_S))
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
        sock.settimeout(NOT_LONG_S)
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


def test_ports_go_with_the_networks_of_a_running_container(engine: Engine) -> None:
    for name in ("first", "second"):
        engine.docket("network", "create", name)
    engine.docket("network", "create", "--internal", "inner")
    name = serve(engine, "web", "--network", "first", "-p", "8000:80", "-p", "8443:443/udp")
    places = ["127.0.0.1:8000", "[::1]:8000"]
    engine.docket("network", "connect", "second", "web")
    engine.docket("network", "disconnect", "first", "web")
    assert [fetch(place) for place in places] == [name, name], "the next network has them"
    engine.docket("network", "disconnect", "second", "web")
    assert engine.docket("port", "web").stdout == ""
    for kind, port in ((socket.SOCK_STREAM, 8000), (socket.SOCK_DGRAM, 8443)):
        with socket.socket(socket.AF_INET, kind) as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have been are none's
            ours.bind(("0.0.0.0", port))
    engine.docket("network", "connect", "inner", "web")
    assert engine.docket("port", "web").stdout == "", "an internal network has no way in"
    engine.docket("network", "connect", "first", "web")
    assert [fetch(place) for place in places] == [name, name]
    assert "0.0.0.0:8000" in engine.docket("port", "web", "80").stdout
    engine.docket("restart", "-t", "0", "web")
    eventually(lambda: fetch_inside(engine, "web", "127.0.0.1") == name, timeout_s=20)
    assert [fetch(place) for place in places] == [name, name]


def test_a_network_whose_ports_are_taken_is_left_again(engine: Engine) -> None:
    for name in ("first", "second"):
        engine.docket("network", "create", name)
    engine.docket("run", "-d", "--name", "web", "--network", "first", "-p", "8000:80", "base", "sleep", "1000")
    engine.docket("network", "disconnect", "first", "web")
    with socket.create_server(("127.0.0.1", 8000)):
        assert "address already in use by" in engine.refused("network", "connect", "second", "web")
        assert engine.inspect("web")["NetworkSettings"]["Networks"] == {}
    engine.docket("network", "connect", "second", "web")
    assert "0.0.0.0:8000" in engine.docket("port", "web").stdout
