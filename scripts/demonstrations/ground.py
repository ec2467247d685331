"""What the demonstrations stand on: an engine of their own, hosts that are network namespaces, and the image."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Collection, Iterator, Sequence

from engine.kernel.namespaces import CLONE_NEWNET, setns, unshare
from engine.kernel.rtnetlink import RouteSocket

IMAGE = "services"
PACKAGES = "iperf3,libpython3-stdlib,nginx-light,postgresql,python3-minimal"
PATIENCE_S = 90.0


class Engine:
    """A daemon on a data root of its own, and its command."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.command = [str(Path(sys.executable).with_name("docket")), "--root", f"{home}/root", "--run-dir",
                         f"{home}/run", "--host", f"unix://{home}/run/docket.sock"]  # fmt: skip
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self._home / "daemon.log", "wb") as log:
            self._daemon = subprocess.Popen([*self.command, "daemon"], stdout=log, stderr=log)
        try:
            eventually(lambda: self("version", check=False) != "", "the daemon answers")
        except SystemExit as error:
            said = (self._home / "daemon.log").read_text(errors="replace").strip()
            raise SystemExit(f"{error}; the daemon said: {said}") from None

    def stop(self) -> None:
        """Containers first: they would outlive the daemon."""
        if running := self("ps", "-aq", check=False).split():
            self("rm", "-f", "-v", *running, check=False)
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        """As a crash does it."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What a command prints. Raises where it fails, unless told otherwise."""
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise SystemExit(f"docket {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip() if done.returncode == 0 else ""

    def address(self, name: str, network: str) -> str:
        shape = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return self("inspect", "-f", shape, name)

    @contextmanager
    def removing(self, *, containers: tuple[str, ...] = (), networks: tuple[str, ...] = ()) -> Iterator[None]:
        """Take away, whatever happens, what a demonstration has made."""
        try:
            yield
        finally:
            self("rm", "-f", "-v", *containers, check=False)
            for network in networks:
                self("network", "rm", network, check=False)


class Host:
    """Another host: a network namespace on a wire of its own to this one, to which it routes everything.

    The wire's subnet is that of a /24; this host has its first address and the other one the second.
    """

    def __init__(self, name: str, subnet: str) -> None:
        self._wire = f"dd-{name}"
        self.address, self.gateway = (subnet.rpartition(".")[0] + f".{number}" for number in (2, 1))
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(CLONE_NEWNET)
        self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        setns(home, CLONE_NEWNET)
        os.close(home)
        with RouteSocket() as route:
            route.create_veth(self._wire, 1500, "eth0", "02:42:00:00:00:02", self._namespace)
            self._configure(route, self._wire, self.gateway)
        self.do(self._set_up)

    @staticmethod
    def _configure(route: RouteSocket, name: str, address: str) -> int:
        link = route.link(name)
        assert link is not None
        route.add_address(link.index, address, 24)
        route.set_link(link.index, name, up=True)
        return link.index

    def _set_up(self) -> None:
        with RouteSocket() as route:
            route.set_link(1, "lo", up=True)
            route.add_default_route(self.gateway, self._configure(route, "eth0", self.address))

    def do(self, action: Callable[[], Any]) -> Any:
        """Call a function over there; what it starts runs there."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        setns(self._namespace, CLONE_NEWNET)
        try:
            return action()
        finally:
            setns(home, CLONE_NEWNET)
            os.close(home)

    def close(self) -> None:
        with RouteSocket() as route:
            route.delete_link(self._wire)
        os.close(self._namespace)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def eventually(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Its first answer that counts as true. Ends the demonstration where none comes."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {patience_s:.0f} s in vain until {what}")
        time.sleep(0.1)
    return found


def show(what: str, value: object = "") -> None:
    """One line of the demonstration's output."""
    print(f"    {what}{': ' if value != '' else ''}{value}", flush=True)


def expect(truth: bool, what: str) -> None:
    """Say that something is so; end the demonstration where it isn't."""
    if not truth:
        raise SystemExit(f"NOT SO: {what}")
    show(what)


def make_image(kept: Path | None, folder: Path, packages: str = PACKAGES) -> Path:
    """The root file system with the programs; taken from ``kept`` where that is there."""
    path = kept or folder / "services.tar"
    if not path.exists():
        if shutil.which("mmdebstrap") is None:
            raise SystemExit("mmdebstrap is missing: apt-get install mmdebstrap, or give an image by --image FILE")
        print(f"making an image with {packages} ...", flush=True)
        making = path.with_name(f"making-{path.name}")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", str(making)]
        subprocess.run(command, check=True)
        making.rename(path)
    return path


def what_to_show(program: str, description: str, parts: Collection[str]) -> tuple[Path | None, Sequence[str]]:
    """From the command line: where the image's tarball is kept, and the parts to show. Ends without root."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--image", type=Path, help="where the image's tarball is kept (made where it isn't there)")
    parser.add_argument("part", nargs="*", help=f"default: all of {', '.join(parts)}")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.part if name not in parts]:
        parser.error(f"there is no part {unknown[0]!r}: there are {', '.join(parts)}")
    if os.geteuid() != 0:
        raise SystemExit(f"{program} needs root: run it with sudo")
    return arguments.image, arguments.part or list(parts)


@contextmanager
def ground(image: Path | None, packages: str = PACKAGES, name: str = IMAGE) -> Iterator[tuple[Engine, Path]]:
    """An engine that has the image, and the image's file; nothing is left of either."""
    with tempfile.TemporaryDirectory(prefix="docket-demonstrate-", dir="/var/tmp") as home, ExitStack() as stack:
        folder = Path(home)
        tarball = make_image(image, folder, packages)
        engine = Engine(folder)
        stack.callback(engine.stop)
        engine.start()
        engine("import", str(tarball), name)
        yield engine, tarball
