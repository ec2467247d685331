"""A network's subnet, where another engine on the same host takes one at the same moment."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from typing import Any, Sequence

import pytest

from engine.domain.errors import SubnetTaken
from engine.api.views.networks import inspect_own
from engine.domain.network import Network
from engine.eventlog.log import Context
from engine.networking.hooks import Found
from engine.networking.subnets import Network as Subnet
from engine.services.networks import Networks
from support.image_home import Home

CONTEXT = Context({"uid": 0}, "request-1", "test")


class ContestedHost:
    """The host's side of networks; somebody takes each subnet just before the engine does, ``takes`` times."""

    tag = "test"

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.taken: list[Subnet] = []

    def subnets_in_use(self) -> list[Subnet]:
        return list(self.taken)

    def mtu(self) -> int:
        return 1500

    def raise_bridge(self, network: Network, ports: Sequence[str] = ()) -> dict[str, Any]:
        if len(self.taken) < self.takes:
            self.taken.append(self.subnet_of(network))
            raise SubnetTaken(f"a subnet of network {network.name} overlaps with another's")
        return {"index": 1, "bridge": network.bridge, "sysctls": []}

    @staticmethod
    def subnet_of(network: Network) -> Subnet:
        return ip_network(network.subnets[0]["subnet"])

    def lower_bridge(self, network: Network, *, later: bool = False) -> None: ...

    def apply_rules(self, networks: Sequence[Any], ports: Sequence[Any]) -> None: ...

    def settle_hooks(self, bridges: Sequence[str]) -> Found:
        return Found([], [])


def test_another_subnet_is_chosen(home: Home) -> None:
    host = ContestedHost(takes=2)
    networks = Networks(home.engine.core, host, "docket0")  # type: ignore[arg-type]
    network_id, _ = networks.create({"Name": "app"}, CONTEXT)
    (kept,) = home.engine.core.log.all("network")
    assert kept.id == network_id and not any(one.overlaps(host.subnet_of(kept)) for one in host.taken)  # type: ignore


def test_options_of_the_addresses_that_nobody_gave_are_shown_as_none(home: Home) -> None:
    """Docker's client gives none, {}; Compose and scripts say nothing, null."""
    networks = Networks(home.engine.core, ContestedHost(takes=0), "docket0")  # type: ignore[arg-type]
    for given, shown in (({}, None), ({"IPAM": {"Config": []}}, None), ({"IPAM": {"Options": {}}}, {})):
        network_id, _ = networks.create({"Name": "app", **given}, CONTEXT)
        assert inspect_own(networks.get(network_id))["IPAM"]["Options"] == shown
        networks.remove("app", CONTEXT)


def test_the_subnet_of_ipv4_comes_first_and_its_gateway_is_the_containers(home: Home) -> None:
    networks = Networks(home.engine.core, ContestedHost(takes=0), "docket0")  # type: ignore[arg-type]
    config = [{"Subnet": "fd00:9::/64"}, {"Subnet": "10.9.0.0/24"}]
    network_id, _ = networks.create({"Name": "app", "EnableIPv6": True, "IPAM": {"Config": config}}, CONTEXT)
    shown = inspect_own(networks.get(network_id))["IPAM"]["Config"]
    assert [one["Subnet"] for one in shown] == ["10.9.0.0/24", "fd00:9::/64"]


def test_one_that_was_asked_for_is_refused_and_an_endless_race_given_up(home: Home) -> None:
    for body in ({"IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}}, {}):
        networks = Networks(home.engine.core, ContestedHost(takes=100), "docket0")  # type: ignore[arg-type]
        with pytest.raises(SubnetTaken):
            networks.create({"Name": "app", **body}, CONTEXT)
        assert home.engine.core.log.all("network") == []


def test_nobody_takes_a_network_away_before_it_is_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = Networks(home.engine.core, ContestedHost(takes=0), "docket0")  # type: ignore[arg-type]
    remover = threading.Thread(target=networks.remove, args=("app", CONTEXT))
    raise_ = networks.bridges.raise_

    def late(network: Network, context: Context) -> Network:
        remover.start()
        remover.join(0.1)
        return raise_(network, context)

    monkeypatch.setattr(networks.bridges, "raise_", late)
    network_id, _ = networks.create({"Name": "app"}, CONTEXT)
    remover.join(10)
    trail = home.engine.core.log.trail("network", network_id)
    assert [recorded.type.partition(".")[2] for recorded in trail] == [
        "created", "raising", "raised", "lowering", "lowered", "removed",
    ]  # fmt: skip
