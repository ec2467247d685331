"""What a container uses: counters of its cgroup, its network interfaces and of the machine, read at one moment."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any, Iterator

from engine.domain.container import Container
from engine.kernel.cgroups import Cgroup
from engine.services.core import Core, resolve_container

INTERVAL_S = 1.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NETWORK_FIELDS = ("bytes", "packets", "errors", "dropped")
_NETWORK_COLUMNS = (0, 1, 2, 3)  # of /proc/PID/net/dev; sent is eight columns further


@dataclass(frozen=True, slots=True)
class Sample:
    """``counters`` as ``Cgroup.stats`` has them, empty where nothing runs; ``networks`` by interface; times in
    microseconds since the epoch, ``system_ns`` is the CPU time that the whole machine has spent."""

    container: Container
    read_at_us: int
    counters: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, dict[str, int]] = field(default_factory=dict)
    system_ns: int = 0
    cpus: int = 0
    memory_limit_bytes: int = 0


class Statistics:
    """Reads only, and takes no lock."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def once(self, reference: str) -> Sample:
        """Raises NotFound."""
        return self._sample(resolve_container(self._core.log, reference))

    def follow(self, reference: str, stop: threading.Event) -> Iterator[Sample]:
        """A sample a second until the container is removed or somebody says ``stop``; empty ones while it rests."""
        container = resolve_container(self._core.log, reference)
        while True:
            state = self._core.log.get("container", container.id)
            if state is None:
                return
            yield self._sample(state)
            if stop.wait(INTERVAL_S):
                return

    def _sample(self, state: Container) -> Sample:
        now_us = self._core.clock.now_us()
        if not state.alive:
            return Sample(state, now_us)
        try:
            counters = Cgroup(self._core.cgroup_path_of(state.id)).stats()
        except FileNotFoundError:
            return Sample(state, now_us)  # it has just ended
        return Sample(
            state, now_us, counters, _networks(state.pid), _system_ns(), len(os.sched_getaffinity(0)), _total_memory()
        )


def _system_ns() -> int:
    """CPU time of all CPUs, idle time included (proc_stat(5)): what a container's share is a share of."""
    with open("/proc/stat") as file:
        return sum(map(int, file.readline().split()[1:8])) * _TICK_NS


def _total_memory() -> int:
    with open("/proc/meminfo") as file:
        return int(file.readline().split()[1]) * 1024


def _networks(pid: int) -> dict[str, dict[str, int]]:
    """Received and sent by interface, without the loopback."""
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.readlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, text = line.partition(":")
        numbers = list(map(int, text.split()))
        if name.strip() != "lo":
            found[name.strip()] = {
                f"{way}_{what}": numbers[column + offset]
                for way, offset in (("rx", 0), ("tx", 8))
                for what, column in zip(_NETWORK_FIELDS, _NETWORK_COLUMNS, strict=True)
            }
    return found
