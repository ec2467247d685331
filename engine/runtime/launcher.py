"""The launcher: a short-lived child of the shim that brings the container to life.

It reads the plan, makes the cgroups, clones the init (as the shim's child, CLONE_PARENT), talks it through its set-up,
reads the evidence and writes the first record. All of that touches thousands of objects, and memory that was touched
after a fork is no longer shared; so it happens here, and the shim, which lives as long as its container, stays small.

    shim                                    launcher
      │ listens, takes in clients, forks       │
      ├───────────────────────────────────────>│ plan from the daemon; cgroups, limits, init ...
      │                                        │ journal: started; daemon: started
      │              launched | failed         │
      │<───────────────────────────────────────┤

It dies with the shim. Where it reports a failure, or dies, the shim takes back what there is.
"""

from __future__ import annotations

import os
import signal
import socket

from engine.kernel.cgroups import Cgroup
from engine.kernel.process import set_name, set_parent_death_signal
from engine.kernel.steps import step
from engine.runtime import messages, network, resolver_sockets, user_network
from engine.runtime.journal import Journal
from engine.runtime.launch import Aborted, Launch, Launched, SetupFailed, Watcher, stop_if_gone
from engine.runtime.other_runtime import OtherLaunch
from engine.runtime.setup import Json, failure, joined_namespaces, new_namespaces, refuse_unknown
from engine.runtime.userns import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Sequence


def run(
    daemon: socket.socket, shim: socket.socket, shim_pid: int, cgroup: Cgroup, stdio: Sequence[int], journal: Journal
) -> NoReturn:
    """The whole life of a launcher, in a process that the shim cloned."""
    set_name("docket-launcher")
    set_parent_death_signal(signal.SIGKILL)
    try:
        if os.getppid() == shim_pid:
            _launch(daemon, shim, cgroup, stdio, journal)
    finally:
        os._exit(0)


def _launch(
    daemon: socket.socket, shim: socket.socket, cgroup: Cgroup, stdio: Sequence[int], journal: Journal
) -> None:
    report: Json
    fds: list[int] = []
    try:
        received = messages.receive(daemon)
        if received is None:
            raise Aborted
        plan = received[0]["plan"]
        interfaces = Interfaces(plan)
        launched, warnings = _make(plan, cgroup, stdio, daemon, interfaces)
        started = {
            "type": "started", "pid": launched.pid, "started_at_us": launched.started_at_us,
            "evidence": launched.evidence, "warnings": [*warnings, *launched.warnings],
        }  # fmt: skip
        journal.append(started)
        messages.send(daemon, started)  # before the shim knows: it may have the end to tell at once
        own = new_namespaces(plan["spec"])
        report = {
            "type": "launched", "pid": launched.pid, "kinds": sorted(own | joined_namespaces(plan["spec"]).keys()),
            "own_pids": "pid" in own, "root": root_of(plan["spec"].get("linux") or {}),
            "oom_score": (plan["spec"].get("process") or {}).get("oomScoreAdj") or 0,
            "helper_pid": interfaces.helper_pid,
            "oci_runtime": plan.get("oci_runtime"), "container_id": plan["container_id"],
        }  # fmt: skip
        fds = [*interfaces.resolver_fds, *([launched.terminal_fd] if launched.terminal_fd >= 0 else [])]
        report["resolver_fds"] = len(interfaces.resolver_fds)
    except SetupFailed as error:
        report = error.report
    except Aborted:
        report = {"type": "aborted"}
    except Exception as error:
        report = failure(error)
    messages.send(shim, report, fds)


class Interfaces(Watcher):
    """Makes the container's network interfaces while the init sets itself up: their namespace is there already.
    ``helper_pid`` is the program that carries an ordinary user's network, or -1."""

    def __init__(self, plan: Json) -> None:
        self._plan = plan
        self.helper_pid = -1
        self._wanted: list[Json] = plan.get("interfaces") or []
        self._has_resolver = bool(plan.get("resolver"))
        self.resolver_fds: list[int] = []

    def cloned(self, pid: int) -> list[Json]:
        if self._plan.get("user_network"):
            self.helper_pid = user_network.start(self._plan, pid)
        if not self._wanted:
            return []
        with open(f"/proc/{pid}/ns/net", "rb") as namespace:
            made = network.attach(self._wanted, namespace.fileno())
            if self._has_resolver:
                self.resolver_fds = resolver_sockets.open_in(namespace.fileno())
        return made

    def ready(self, pid: int, evidence: Json, terminal_fd: int) -> None:
        if self.helper_pid >= 0:
            evidence["user_network"] = self._plan["user_network"]


def _make(
    plan: Json, cgroup: Cgroup, stdio: Sequence[int], daemon: socket.socket, interfaces: Interfaces
) -> tuple[Launched, list[str]]:
    """The container, and warnings about its limits."""
    spec = plan["spec"]
    refuse_unknown(spec)
    with step("cgroup.create"):
        cgroup.create()
    if plan.get("oci_runtime"):
        _make_folders(plan)
        return OtherLaunch(plan, cgroup, stdio, interfaces, lambda: stop_if_gone(daemon)).run(), []
    with step("cgroup.limit"):
        warnings = cgroup.apply((spec.get("linux") or {}).get("resources") or {})
    _make_folders(plan)
    return Launch(plan, cgroup, stdio, daemon, watcher=interfaces).run(), warnings


def _make_folders(plan: Json) -> None:
    layers = plan.get("overlay")
    if layers is None:
        return
    with step("rootfs.overlay"):
        os.makedirs(layers["upper"], 0o755, exist_ok=True)
        os.makedirs(layers["work"], 0o700, exist_ok=True)
        os.chmod(layers["upper"], 0o755)  # it is the container's root folder, whatever our umask
        root = os.path.join(plan["directory"], (plan["spec"].get("root") or {}).get("path") or "rootfs")
        os.makedirs(root, 0o700, exist_ok=True)
