"""A web server in a container, and the ways to ask it: from this host, from another container."""

from __future__ import annotations

import urllib.request

from support.engine import Engine
from support.waiting import eventually

SERVE = ("base", "python3", "-m", "http.server", "80", "--directory", "/etc")
FETCH = """
import sys, urllib.request
place, patience_s = sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 3
print(urllib.request.urlopen(f"http://{place}/hostname", timeout=patience_s).read().decode())
"""
NOT_LONG_S = 1.0
"""How long to wait for an answer where none may come."""


def serve(engine: Engine, name: str, *flags: str) -> str:
    """A container with a web server; its short id, which it serves as its host name."""
    container_id = engine.docket("run", "-d", "--name", name, *flags, *SERVE).stdout.strip()
    asks = ("exec", name, "python3", "-c", FETCH, "127.0.0.1")
    eventually(lambda: engine.docket(*asks, check=False).returncode == 0, timeout_s=30)
    return container_id[:12]


def fetch(place: str, patience_s: float = 3) -> str:
    with urllib.request.urlopen(f"http://{place}/hostname", timeout=patience_s) as answer:
        return answer.read().decode().strip()


def fetch_inside(engine: Engine, name: str, place: str, patience_s: float = 3) -> str:
    """What a container gets; "" where nothing answers."""
    asking = ("exec", name, "python3", "-c", FETCH, place, str(patience_s))
    return engine.docket(*asking, check=False).stdout.strip()


def address_of(engine: Engine, name: str, network: str = "bridge") -> str:
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
