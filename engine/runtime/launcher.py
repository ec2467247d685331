"""The launcher: a short-lived child of the shim that brings the container to life.

It reads the plan, makes the cgroups, clones the init (as the shim's child, CLONE_PARENT), talks it through its set-up,
reads the evidence and writes the first record. All of that touches thousands of objects, and memory that was touched
after a fork is no longer shared; so it happens here, and the shim, which lives as long as its container, stays small.
The fork is the first thing that a shim does, since what it had touched before would be copied twice; from then on both
work side by side.

    shim                                    launcher
      │ connection to the daemon, cgroup       │
      ├───────────────────────────────────────>│ plan from the daemon
      │ listens, takes in clients              │ cgroups, limits
      │ stdio                                  │
      ├───────────────────────────────────────>│ init ...
      │                                        │ journal: started; daemon: started
      │              launched | failed         │
      │<───────────────────────────────────────┤

It dies with the shim. Where it reports a failure, or dies, the shim takes back what there is.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import clone
from engine.kernel.process import close_all_but, set_name, set_parent_death_signal
from engine.kernel.steps import step
from engine.runtime import messages, network, resolver_sockets, user_network
from engine.runtime.journal import Journal
from engine.runtime.launch import Aborted, Launch, Launched, SetupFailed, Watcher, stop_if_gone
from engine.runtime.other_runtime import OtherLaunch
from engine.runtime.setup import (
    Json, failure, has_user_namespace, joined_namespaces, new_namespaces, refuse_unknown,
)  # fmt: skip
from engine.runtime.userns import root_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Sequence


class Launcher:
    """The shim's hold on it: the process waits for ``begin``. Raises OSError where there can't be one."""

    def __init__(self) -> None:
        self._socket, launchers = messages.pair()
        shim_pid = os.getpid()
        with launchers:
            try:
                self._pid = clone(0)
            except OSError:
                self._socket.close()
                raise
            if self._pid == 0:
                _run(launchers, shim_pid)

    def begin(self, directory: str, cgroup_path: str, daemon: socket.socket) -> bool:
        """The plan is the next message on the connection to the daemon. False where somebody has killed it."""
        try:
            messages.send(self._socket, {"directory": directory, "cgroup_path": cgroup_path}, [daemon.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def give_stdio(self, stdio: Sequence[int]) -> None:
        """What becomes 0, 1 and 2; and the journal is there now. A launcher that has failed doesn't need them."""
        try:
            messages.send(self._socket, {"type": "stdio"}, stdio)
        except (BrokenPipeError, ConnectionResetError):
            return

    def report(self) -> tuple[Json, list[int]] | None:
        """Its last words; None where it died without any."""
        with self._socket:
            return messages.receive(self._socket)

    def end(self) -> None:
        """Wherever it is: afterwards it makes nothing any more."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _run(shim: socket.socket, shim_pid: int) -> NoReturn:
    """The whole life of a launcher, in a process that the shim cloned."""
    try:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == shim_pid:
            close_all_but((0, 1, 2, shim.fileno()))
            gc.disable()  # neither it nor the init lives long enough
            if (received := messages.receive(shim)) is not None:
                set_name("docket-launcher")
                settings, fds = received
                with socket.socket(fileno=fds[0]) as daemon:
                    _launch(daemon, shim, Cgroup(settings["cgroup_path"]), settings["directory"])
    finally:
        os._exit(0)


def _launch(daemon: socket.socket, shim: socket.socket, cgroup: Cgroup, directory: str) -> None:
    report: Json
    fds: list[int] = []
    try:
        received = messages.receive(daemon)
        if received is None:
            raise Aborted
        plan = received[0]["plan"]
        interfaces = Interfaces(plan)
        launched, warnings = _make(plan, cgroup, shim, daemon, interfaces)
        started = {
            "type": "started", "pid": launched.pid, "started_at_us": launched.started_at_us,
            "evidence": launched.evidence, "warnings": [*warnings, *launched.warnings],
        }  # fmt: skip
        # no sync: a machine that ends now ends the process, too, and nobody has been told that it ran
        Journal(directory, begins=False).append(started, durable=False)
        messages.send(daemon, started)  # before the shim knows: it may have the end to tell at once
        own = new_namespaces(plan["spec"])
        report = {
            "type": "launched", "pid": launched.pid, "kinds": sorted(own | joined_namespaces(plan["spec"]).keys()),
            "own_pids": "pid" in own, "root": _root_of(plan["spec"], launched.evidence),
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


def _root_of(spec: Json, evidence: Json) -> tuple[int, int]:
    if not has_user_namespace(spec):
        return 0, 0  # as seen from the engine's, whichever that is
    return root_in(evidence["uid_map"]), root_in(evidence["gid_map"])


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
    plan: Json, cgroup: Cgroup, shim: socket.socket, daemon: socket.socket, interfaces: Interfaces
) -> tuple[Launched, list[str]]:
    """The container, and warnings about its limits."""
    spec = plan["spec"]
    refuse_unknown(spec)
    with step("cgroup.create"):
        cgroup.create()
    if plan.get("oci_runtime"):
        _make_folders(plan)
        return OtherLaunch(plan, cgroup, _take_stdio(shim), interfaces, lambda: stop_if_gone(daemon)).run(), []
    with step("cgroup.limit"):
        warnings = cgroup.apply((spec.get("linux") or {}).get("resources") or {})
    _make_folders(plan)
    return Launch(plan, cgroup, _take_stdio(shim), daemon, watcher=interfaces).run(), warnings


def _take_stdio(shim: socket.socket) -> list[int]:
    """Raises Aborted where the shim has failed before it had them."""
    if (received := messages.receive(shim)) is None:
        raise Aborted
    return received[1]


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
