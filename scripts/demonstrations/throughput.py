"""Throughput by iperf3: through a published port, and from container to container; against a real Docker's, if any."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Callable

from ground import IMAGE, Engine, Host, eventually, expect, show

ROUNDS = 5
SECONDS = 2
ALLOWED = 0.9

Command = Callable[..., str]


def docker(host: str) -> Command:
    """The client of another engine, called like ours."""

    def call(*arguments: str, check: bool = True) -> str:
        done = subprocess.run(["docker", "-H", host, *arguments], capture_output=True, text=True)
        if check and done.returncode != 0:
            raise SystemExit(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip() if done.returncode == 0 else ""

    return call


class Side:
    """One engine with a server and a client: what it is called, and the port that it publishes."""

    def __init__(self, name: str, command: Command, port: int) -> None:
        self.name, self._command, self.port = name, command, port
        self.results: dict[str, list[float]] = {"published port": [], "container to container": []}

    def __enter__(self) -> Side:
        self._command("network", "create", "dd-speed")
        run = ("run", "-d", "--network", "dd-speed", "--name")
        self._command(*run, "dd-server", "-p", f"{self.port}:5201", IMAGE, "iperf3", "-s")
        self._command(*run, "dd-client", IMAGE, "sleep", "1000")
        return self

    def __exit__(self, *exception: object) -> None:
        self._command("rm", "-f", "dd-server", "dd-client", check=False)
        self._command("network", "rm", "dd-speed", check=False)

    def measure(self, host: Host) -> None:
        """One round of both ways."""
        ask = ("iperf3", "-J", "-t", str(SECONDS), "-c")

        def outside() -> str:
            done = subprocess.run([*ask, host.gateway, "-p", str(self.port)], capture_output=True, text=True)
            return done.stdout if done.returncode == 0 else ""

        for way, measure in (
            ("published port", lambda: host.do(outside)),
            ("container to container", lambda: self._command("exec", "dd-client", *ask, "dd-server", check=False)),
        ):
            report = json.loads(eventually(measure, f"{self.name}'s {way} answers"))
            self.results[way].append(report["end"]["sum_received"]["bits_per_second"] / 1e9)


def throughput(engine: Engine, image: Path) -> None:
    """As much goes through as through a real Docker's ports and bridges (at least nine tenths, medians of five)."""
    peer_host = os.environ.get("DOCKET_TEST_DOCKER_HOST")
    with Host("speed", "198.51.100.0") as host:
        if not peer_host:
            show("no real Docker to compare with: DOCKET_TEST_DOCKER_HOST names none")
            with Side("docket", engine, 15201) as ours:
                _rounds(host, ours)
            for way in ours.results:
                show(way, f"{statistics.median(ours.results[way]):.1f} Gbit/s")
            return
        peer = docker(peer_host)
        peer("import", str(image), IMAGE)
        try:
            with Side("docket", engine, 15201) as ours, Side("docker", peer, 15202) as theirs:
                _rounds(host, ours, theirs)
        finally:
            peer("rmi", "-f", IMAGE, check=False)
    for way in ours.results:
        one, other = (statistics.median(side.results[way]) for side in (ours, theirs))
        expect(one >= other * ALLOWED, f"{way}: {one:.1f} Gbit/s, Docker {other:.1f} Gbit/s, ratio {one / other:.2f}")


def _rounds(host: Host, *sides: Side) -> None:
    """In turn, so that a noisy moment hits both."""
    for number in range(ROUNDS):
        for side in sides if number % 2 else sides[::-1]:
            side.measure(host)
