"""Internal networks, the firewalls of others, and what the operator sets for all networks."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Callable

import pytest

from engine.kernel import nftables, nftables_state
from engine.kernel.rtnetlink import RouteSocket

from support.census import network_tag
from support.engine import Engine
from support.waiting import eventually

from .web import NOT_LONG_S, address_of, fetch, fetch_inside, serve

pytestmark = pytest.mark.kernel


def test_an_internal_network_stays_inside(engine: Engine, outside: Callable[..., Any]) -> None:
    engine.docket("network", "create", "--internal", "back")
    name = serve(engine, "db", "--network", "back")
    engine.docket("run", "-d", "--name", "web", "--network", "back", "base", "sleep", "100")
    assert fetch_inside(engine, "web", "db") == name
    with outside(lambda: socket.create_server(("198.51.100.2", 8099))):
        connect = "import socket; socket.create_connection(('198.51.100.2', 8099), 1)"
        assert engine.docket("exec", "web", "python3", "-c", connect, check=False).returncode != 0
    with pytest.raises(OSError):
        outside(lambda: fetch(f"{address_of(engine, 'db', 'back')}:80", NOT_LONG_S))


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
        rules = nftables_state.rules(family, "filter", "DOCKER-USER")
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
        if (table := f"docket-{network_tag(engine.home)}") in nftables_state.tables(family):
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
    assert fetch_inside(engine, "other", address_of(engine, "web"), NOT_LONG_S) == "", "neighbours are kept apart"
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
    assert f"docket-{network_tag(engine.home)}" not in nftables_state.tables(nftables.IPV4)
    assert "network.configured" in engine.event_types("bridge")
    engine.docket("rm", "-f", "web")

    restart(bridge="none")
    assert engine.docket("run", "--rm", "base", "ls", "/sys/class/net").stdout.split() == ["lo"]
    assert "not found" in engine.docket("run", "--network", "bridge", "base", "true", check=False).stderr
    with RouteSocket() as route:
        route.create_bridge("dtest2", "02:42:00:00:00:09", 1500)
        link = route.link("dtest2")
        assert link is not None
        route.add_address(link.index, "10.126.0.1", 24)
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
