"""Containers find each other by name, alias and link; and what they share when one joins the network of another."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from engine.kernel.namespaces import CLONE_NEWNET, setns

from support.engine import Engine

from .web import FETCH, NOT_LONG_S, address_of, fetch_inside, serve

pytestmark = pytest.mark.kernel


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
    assert fetch_inside(engine, "web", "db") == ""
    assert fetch_inside(engine, "web", address_of(engine, "db", "one"), NOT_LONG_S) == ""
    engine.docket("network", "connect", "--alias", "store", "two", "db")
    assert fetch_inside(engine, "web", "db") == name == fetch_inside(engine, "web", "store")
    engine.docket("network", "disconnect", "two", "db")
    assert fetch_inside(engine, "web", "db") == ""
    assert list(engine.inspect("db")["NetworkSettings"]["Networks"]) == ["one"]
    assert "endpoint.detached" in engine.event_types("db")


def test_who_was_taken_off_its_networks_stays_alone(engine: Engine) -> None:
    """As with Docker: a start brings nothing back that somebody has taken away."""
    engine.docket("network", "create", "one")
    name = "store.example"
    serve(engine, "db", "--network", "one", "--hostname", name, "-p", "127.0.0.1::8000")
    engine.docket("run", "-d", "--name", "web", "--network", "one", "base", "sleep", "100")
    assert fetch_inside(engine, "web", name) == name
    engine.docket("stop", "-t", "0", "db")
    engine.docket("network", "disconnect", "one", "db")
    engine.docket("start", "db")
    assert engine.inspect("db")["NetworkSettings"]["Networks"] == {}
    interfaces = ("exec", "db", "python3", "-c", "import os; print(*os.listdir('/sys/class/net'))")
    assert engine.docket(*interfaces).stdout.split() == ["lo"]
    engine.docket("network", "connect", "one", "db")
    assert sorted(engine.docket(*interfaces).stdout.split()) == ["eth0", "lo"]
    assert fetch_inside(engine, "web", "db") == name == fetch_inside(engine, "web", name)


def test_legacy_links(engine: Engine) -> None:
    engine.docket("run", "-d", "--name", "db", "-e", "PASS=x", "--expose", "5432", "base", "sleep", "1000")
    engine.docket("run", "-d", "--name", "web", "--link", "db:pg", "base", "sleep", "1000")
    address = "{{.NetworkSettings.IPAddress}}"
    first = engine.docket("inspect", "-f", address, "db").stdout.strip()
    assert f"PG_PORT_5432_TCP=tcp://{first}:5432\n" in engine.docket("exec", "web", "env").stdout
    assert engine.docket("inspect", "-f", "{{.HostConfig.Links}}", "web").stdout == "[/db:/web/pg]\n"
    assert "db,web/pg" in engine.docket("ps", "--no-trunc", "--format", "{{.Names}}").stdout.split()
    assert engine.docket("inspect", "-f", "{{.Name}}", "web/pg").stdout == "/db\n"
    assert engine.docket("exec", "web/pg", "echo", "in").stdout == "in\n"
    engine.docket("stop", "-t", "0", "db")
    assert "Cannot link to a non running container: /db AS /web/pg" in engine.refused("restart", "-t", "0", "web")
    engine.docket("start", "db")
    names = engine.docket("ps", "--no-trunc", "--format", "{{.Names}}").stdout.split()
    assert "db,web/pg" in names and "web" not in names, "the one that has stopped gives its names all the same"
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


def test_a_container_in_the_network_of_another(engine: Engine) -> None:
    name = serve(engine, "web")
    joined = engine.docket("run", "--rm", "--network", "container:web", "base", "python3", "-c", FETCH, "127.0.0.1")
    assert joined.stdout.strip() == name
    wrong = engine.docket("run", "--rm", "--network", "container:web", "-p", "80:80", "base", "true", check=False)
    assert wrong.returncode == 125 and "conflicting options" in wrong.stderr


def ask(sock: socket.socket, name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    sock.send(struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1))
    return sock.recv(4096)


def test_the_resolver_answers_question_after_question(engine: Engine) -> None:
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
        for _ in range(1000):
            assert ask(sock, "web")[6:8] == b"\0\1"


def test_a_container_with_the_hosts_name_keeps_it_when_its_networks_change(engine: Engine) -> None:
    engine.docket("network", "create", "app")
    engine.docket("run", "-d", "--name", "web", "--uts", "host", "base", "sleep", "1000")
    names = []
    for change in ("connect", "disconnect"):
        address = engine.docket("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").stdout.strip()
        hosts = engine.docket("exec", "web", "cat", "/etc/hosts").stdout.splitlines()
        names += [line.split("\t")[1] for line in hosts if line.startswith(f"{address}\t")]
        engine.docket("network", change, "app", "web")
    assert names == [os.uname().nodename] * 2
