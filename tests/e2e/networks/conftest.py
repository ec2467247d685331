"""What the tests of networks share: an image with Python in it, and a neighbour of this host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import RouteSocket

from support.sources import REPOSITORY


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with Python in it, which serves and asks."""
    path = tmp_path_factory.mktemp("rootfs") / "base.tar"
    subprocess.run([sys.executable, REPOSITORY / "scripts" / "base-image", path], check=True, capture_output=True)
    return path


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
        route.add_address(link.index, "198.51.100.1", 24)
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
            route.add_address(link.index, "198.51.100.2", 24)
            route.set_link(link.index, "eth0", up=True)
            route.add_default_route("198.51.100.1", link.index)

    call(configure)
    try:
        yield call
    finally:
        with RouteSocket() as route:
            route.delete_link("dtest0")
        os.close(away)
        os.close(home)
