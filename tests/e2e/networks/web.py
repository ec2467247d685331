"""A web server in a container, and the ways to ask it: from this host, from another container."""

from __future__ import annotations

import urllib.request

from support.engine import Engine
from support.waiting import eventually

SERVE = ("base", "python3", "-m", "http.server", "80", "--directory", "/etc")
FETCH = "import sys,urllib.request as u; print(u.urlopen('http://'+sys.argv[1]+'/hostname',timeout=3).read().decode())"


def serve(engine: Engine, name: str, *flags: str) -> str:
    """A container with a web server; its short id, which it serves as its host name."""
    container_id = engine.docket("run", "-d", "--name", name, *flags, *SERVE).stdout.strip()
    asks = ("exec", name, "python3", "-c", FETCH, "127.0.0.1")
    eventually(lambda: engine.docket(*asks, check=False).returncode == 0, timeout_s=30)
    return container_id[:12]


def fetch(place: str) -> str:
    with urllib.request.urlopen(f"http://{place}/hostname", timeout=3) as answer:
        return answer.read().decode().strip()


def fetch_inside(engine: Engine, name: str, place: str) -> str:
    """What a container gets; "" where nothing answers."""
    return engine.docket("exec", name, "python3", "-c", FETCH, place, check=False).stdout.strip()


def address_of(engine: Engine, name: str, network: str = "bridge") -> str:
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
