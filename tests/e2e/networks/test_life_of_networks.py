"""Networks come, have members and addresses, survive restarts and reboots, go, and are on record."""

from __future__ import annotations

import json
import os
import signal
import socket
from ipaddress import ip_network

import pytest

from engine.kernel import nftables, nftables_state
from engine.kernel.rtnetlink import RouteSocket

from support.census import network_tag, processes_of
from support.engine import Engine
from support.waiting import eventually

from .web import FETCH, SERVE, address_of, fetch, serve

pytestmark = pytest.mark.kernel


def test_ipv6(engine: Engine) -> None:
    engine.docket("network", "create", "--ipv6", "--subnet", "fd00:9::/64", "six")
    name = serve(engine, "web", "--network", "six", "--ip6", "fd00:9::5", "-p", "8000:80")
    engine.docket("run", "-d", "--name", "other", "--network", "six", "base", "sleep", "100")
    probe = "import socket; socket.create_connection(('fd00:9::5', 22), 3)"
    done = engine.docket("exec", "other", "python3", "-c", probe, check=False)
    assert "Connection refused" in done.stderr, "the way there is open, and nobody listens"
    assert fetch("[::1]:8000") == name


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


def test_the_default_network_has_no_aliases_and_no_addresses_of_choice(engine: Engine) -> None:
    engine.docket("network", "create", "app")
    engine.docket("create", "--name", "web", "--network", "app", "base", "true")
    bridge = engine.docket("network", "inspect", "-f", "{{.Id}}", "bridge").stdout.strip()
    for place in ("bridge", bridge, bridge[:12]):
        for flag, value in (("alias", "www"), ("ip", "172.17.200.9")):
            said = engine.refused("network", "connect", f"--{flag}", value, place, "web")
            assert "user defined networks only" in said, (place, flag)
            flag = "network-alias" if flag == "alias" else flag
            said = engine.refused("create", "--network", place, f"--{flag}", value, "base", "true")
            assert "user defined networks only" in said, (place, flag)
    assert list(engine.inspect("web")["NetworkSettings"]["Networks"]) == ["app"]


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
    assert networks() == [], "as with Docker: what was taken away doesn't come back"
    engine.docket("network", "connect", "one", "web")
    engine.docket("stop", "-t", "0", "web")
    engine.docket("network", "rm", "one")
    assert "not found" in engine.docket("start", "web", check=False).stderr


def test_a_network_that_was_made_anew_has_its_containers_again(engine: Engine) -> None:
    """Until somebody takes them off it."""

    def networks() -> list[str]:
        engine.docket("restart", "-t", "0", "web")
        return list(engine.inspect("web")["NetworkSettings"]["Networks"])

    engine.docket("network", "create", "one")
    engine.docket("run", "-d", "--name", "web", "--network", "one", "base", "sleep", "100")
    for _ in range(2):
        engine.docket("stop", "-t", "0", "web")
        engine.docket("network", "rm", "one")
        engine.docket("network", "create", "one")
        assert networks() == ["one"]
    engine.docket("network", "disconnect", "one", "web")
    assert networks() == []


def test_networks_that_are_made_at_once_get_subnets_of_their_own(engine: Engine) -> None:
    making = [engine.spawn("network", "create", f"app{number}") for number in range(6)]
    assert [one.wait(timeout=60) for one in making] == [0] * 6, [one.communicate() for one in making]


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
        if (table := f"docket-{network_tag(engine.home)}") in nftables_state.tables(family):
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
        route.add_address(link.index, str(subnet[1]), subnet.prefixlen)
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
