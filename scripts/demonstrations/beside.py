"""A real Docker on the same host, whose firewall drops what is forwarded: started before the engine, and after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import RouteSocket
from ground import IMAGE, Engine, Host, eventually, expect, show
from parts import SERVE, connects, fetch


class Docker:
    """A dockerd of our own in the calling thread's network namespace."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._socket = f"unix://{home}/docker.sock"
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["dockerd", "--data-root", f"{self._home}/root", "--exec-root", f"{self._home}/exec", "-H",
                   self._socket, "-p", f"{self._home}/pid", "--bip", "172.29.0.1/16"]  # fmt: skip
        with open(self._home / "log", "wb") as log:
            self._daemon = subprocess.Popen(command, stdout=log, stderr=log)
        asks = ["docker", "-H", self._socket, "version", "-f", "{{.Server.Version}}"]
        eventually(lambda: subprocess.run(asks, capture_output=True).returncode == 0, "dockerd answers", 90)
        version = subprocess.run(asks, capture_output=True, text=True).stdout.strip()
        show(f"Docker {version} is there, and drops what is forwarded")

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(timeout=60)


@contextmanager
def host_of_their_own() -> Iterator[None]:
    """What is started meanwhile lives in a network namespace that this machine's firewall doesn't see."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    try:
        with RouteSocket() as route:
            route.set_link(1, "lo", up=True)
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def beside(engine: Engine, image: Path) -> None:
    """Beside a real Docker, whichever came first, ports are reached and containers reach each other and the outside."""
    if shutil.which("dockerd") is None:
        show("there is no dockerd on the path: nothing to show")
        return
    for order in ("first", "second"):
        with tempfile.TemporaryDirectory(prefix="docket-beside-", dir="/var/tmp") as name, host_of_their_own():
            home = Path(name)
            (home / "docker").mkdir()
            ours, docker = Engine(home), Docker(home / "docker")
            try:
                for one in (docker, ours) if order == "first" else (ours, docker):
                    one.start()
                    if one is ours:
                        ours("import", str(image), IMAGE)
                        _populate(ours)
                show(f"Docker started {order}")
                _check(ours)
            finally:
                ours.stop()
                docker.stop()


def _populate(engine: Engine) -> None:
    engine("network", "create", "app")
    engine("network", "create", "--internal", "back")
    for network, server, client in (("app", "web", "client"), ("back", "db", "inner")):
        ports = ("-p", "18080:80") if network == "app" else ()
        engine("run", "-d", "--name", server, "--network", network, *ports, IMAGE, *SERVE)
        engine("run", "-d", "--name", client, "--network", network, IMAGE, "sleep", "1000")


def _check(engine: Engine) -> None:
    with Host("beside", "198.51.100.0") as away:
        place = f"{away.gateway}:18080/hostname"
        eventually(lambda: away.do(lambda: fetch(place)), "another host reaches the published port")
        show("another host reached the published port")
        expect(fetch("127.0.0.1:18080/hostname") != "", "and so did this one, by its loopback")
        expect(connects(engine, "client", "web", 80), "neighbours reach each other by name")
        expect(connects(engine, "inner", "db", 80), "those of an internal network, too")
        command = ["python3", "-m", "http.server", "8099"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = away.do(lambda: subprocess.Popen(command, **quiet))
        try:
            eventually(lambda: connects(engine, "client", away.address, 8099), "a container reaches the other host")
            show("a container reached the other host")
            expect(not connects(engine, "inner", away.address, 8099), "one of the internal network didn't")
        finally:
            server.kill()
            server.wait()
