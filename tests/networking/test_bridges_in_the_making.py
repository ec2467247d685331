"""A bridge while it is made: whenever the engine dies, the next one knows it for its own."""

from __future__ import annotations

import os
from typing import Any, Iterator

import pytest

from engine.domain.network import Network, Status
from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import RouteSocket
from engine.networking.host import HostNetwork
from support.machine import first_lack

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces")]
SUBNETS = [{"subnet": "10.9.1.0/24", "gateway": "10.9.1.1"}]
NETWORK = Network(
    id="0123456789abcdef" * 4, name="app", status=Status.RAISING, created_at_us=0, driver="bridge", bridge="app0",
    subnets=SUBNETS, mtu=1500, internal=False, ipv6=False, masquerade=True, neighbours=True, host_address="",
    labels={}, options={},
)  # fmt: skip
TAG = "12345678"


@pytest.fixture(autouse=True)
def own_network() -> Iterator[None]:
    if (reason := first_lack("root", "namespaces")) is not None:
        pytest.skip(reason)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def links() -> list[str]:
    with RouteSocket() as route:
        return [link.name for link in route.links() if link.kind == "bridge"]


def raised_until(request: int) -> bool:
    """Whether a process that dies behind its ``request``th request to the kernel came to the end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    ask, count = RouteSocket.ask, 0

    def mortal(self: RouteSocket, *asked: Any) -> Any:
        nonlocal count
        count += 1
        try:
            return ask(self, *asked)
        finally:
            if count == request:
                os._exit(1)

    try:
        RouteSocket.ask = mortal  # type: ignore[method-assign]
        HostNetwork(TAG, forwards=False).raise_bridge(NETWORK)
        os._exit(0)
    finally:
        os._exit(2)


def test_an_engine_that_dies_in_between() -> None:
    host, request, left = HostNetwork(TAG, forwards=False), 1, []
    while not raised_until(request):
        left.append(links())
        host.lower_bridge(NETWORK)
        assert not links(), f"left behind request {request}"
        assert not raised_until(request)
        host.raise_bridge(NETWORK)
        assert links() == ["app0"] and host.has_bridge(NETWORK), f"after request {request}"
        host.lower_bridge(NETWORK)
        request += 1
    assert ["app0"] in left and any(names not in ([], ["app0"]) for names in left), "one has another name at first"
    host.lower_bridge(NETWORK)
    assert not links()
