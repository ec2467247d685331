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

It dies with the shim. Where it reports a failure, or dies, the shim takes back what there is. After a plain launch it
stays for a moment, for the shim's next container (see ``spare``).
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
from engine.runtime import messages, network, resolver_sockets, user_network, writable_layer
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

    from engine.runtime.messages import Socket


class Launcher:
    """The shim's hold on it. ``pid`` is 0 where there is none."""

    def __init__(self) -> None:
        self.pid = 0
        self._socket = messages.pair()[0]  # which leads nowhere yet

    def fork(self) -> None:
        """The process, which waits for ``begin``. Raises OSError where there can't be one."""
        self._socket.close()
        self._socket, launchers = messages.pair()
        shim_pid = os.getpid()
        with launchers:
            self.pid = max(clone(0), 0)
            if self.pid == 0:
                _run(launchers, shim_pid)

    def fileno(self) -> int:
        return self._socket.fileno()

    def begin(self, directory: str, cgroup_path: str, daemon: socket.socket) -> None:
        """The plan is the next message on the connection to the daemon. Where somebody has killed it, another one does
        it. Raises OSError."""
        beginning = {"directory": directory, "cgroup_path": cgroup_path}
        if not (self.pid and self._tell(beginning, [daemon.fileno()])):
            self.end()
            self.fork()
            self._tell(beginning, [daemon.fileno()])

    def give_stdio(self, stdio: Sequence[int]) -> None:
        """What becomes 0, 1 and 2; and the journal is there now. A launcher that has failed doesn't need them."""
        self._tell({"type": "stdio"}, stdio)

    def _tell(self, message: Json, fds: Sequence[int]) -> bool:
        try:
            messages.send(self._socket, message, fds)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def report(self) -> tuple[Json, list[int]] | None:
        """What became of the launch; None where it died without a word."""
        received = messages.receive(self._socket)
        if received is None or not received[0].get("may_serve_again"):
            self.dismiss()
        return received

    @property
    def may_serve_again(self) -> bool:
        return self.pid > 0 and self._socket.fileno() >= 0

    def dismiss(self) -> None:
        """It ends by itself now, if it hasn't."""
        self._socket.close()

    def has_ended(self) -> None:
        """Somebody has reaped it."""
        self.pid = 0

    def end(self) -> None:
        """Wherever it is: afterwards it makes nothing any more."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _run(shim: Socket, shim_pid: int) -> NoReturn:
    """The whole life of a launcher, in a process that the shim cloned."""
    try:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == shim_pid:
            gc.disable()  # neither it nor the init lives long enough
            close_all_but((0, 1, 2, shim.fileno()))
            while (received := messages.receive(shim)) is not None:
                set_name("docket-launcher")
                settings, fds = received
                with socket.socket(fileno=fds[0]) as daemon:
                    if not _launch(daemon, shim, Cgroup(settings["cgroup_path"]), settings["directory"]):
                        break
                close_all_but((0, 1, 2, shim.fileno()))
                set_name("docket-spare")
    finally:
        os._exit(0)


def _launch(daemon: socket.socket, shim: Socket, cgroup: Cgroup, directory: str) -> bool:
    """Whether this process is as it was before, and may launch another container."""
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
            "evidence": {**launched.evidence, **writable_layer.evidence(plan)},
            "warnings": [*warnings, *launched.warnings],
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
            "may_serve_again": is_plain(plan),
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
    return bool(report.get("may_serve_again"))


def is_plain(plan: Json) -> bool:
    """Whether the launch has changed nothing of this process: it neither went into namespaces for its child, nor has it
    children of its own, nor did another runtime do the work."""
    spec = plan["spec"]
    into_namespaces = new_namespaces(spec) & {"time", "user"} or joined_namespaces(spec).keys() & {"pid", "user"}
    return not (into_namespaces or plan.get("user_network") or plan.get("oci_runtime"))


def _root_of(spec: Json, evidence: Json) -> tuple[int, int]:
    if not has_user_namespace(spec):
        return 0, 0  # as seen from the engine's, whichever that is
    return root_in(evidence["uid_map"]), root_in(evidence["gid_map"])


class Interfaces(Watcher):
    """Makes the container's network interfaces while the init sets itself up: their namespace is there already. What
    the command may write is limited when all is set up.
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
        writable_layer.hold_to_limit(self._plan.get("overlay") or {})
        if self.helper_pid >= 0:
            evidence["user_network"] = self._plan["user_network"]


def _make(
    plan: Json, cgroup: Cgroup, shim: Socket, daemon: socket.socket, interfaces: Interfaces
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


def _take_stdio(shim: Socket) -> list[int]:
    """Raises Aborted where the shim has failed before it had them."""
    if (received := messages.receive(shim)) is None:
        raise Aborted
    return received[1]


def _make_folders(plan: Json) -> None:
    layers = plan.get("overlay")
    if layers is None:
        return
    with step("rootfs.overlay"):
        writable_layer.make(layers)
        os.chmod(layers["upper"], 0o755)  # it is the container's root folder, whatever our umask
        root = os.path.join(plan["directory"], (plan["spec"].get("root") or {}).get("path") or "rootfs")
        os.makedirs(root, 0o700, exist_ok=True)
