"""create and run: a bundle becomes a container."""

from __future__ import annotations

import os
import time

from engine.kernel import sockets
from engine.kernel.cgroups import Cgroup
from engine.oci import bundle as bundles
from engine.oci.containers import SECCOMP_CACHE, START_SOCKET, Containers, program_of, public_state, started_ticks
from engine.oci.ending import run_poststop_hooks, tidy
from engine.oci.handing_over import Failed, hand_over, send_listener, write_pid
from engine.oci.warnings import warn, warn_all
from engine.runtime import hooks
from engine.runtime.launch import Launch, SetupFailed, Watcher
from engine.runtime.setup import joined_namespaces, new_namespaces
from engine.runtime.userns import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

Json = dict[str, "Any"]
_NOT_IN_THE_JOURNAL = ("mounts", "rlimits", "limits")
"""Of the evidence: what is long. ``mounts_digest`` stands for the mounts."""


def create(containers: Containers, container_id: str, bundle: str, options: Json, *, start_at_once: bool) -> Json:
    """Make the container; its first process waits for ``start``, but for ``run``. Answers with the state on record, and
    "evidence" and, for a ``run`` in the foreground, "terminal_fd" besides.

    Raises Failed or OSError, and then nothing of it is left.
    """
    bundle = os.path.realpath(bundle)
    spec = bundles.load(bundle)
    with containers.created(container_id) as folder:
        creation = _Creation(containers, container_id, options, start_at_once=start_at_once)
        try:
            return creation.run(bundle, folder, spec)
        except BaseException:
            creation.undo()
            containers.remove(container_id)
            creation.run_last_hooks()
            raise


class _Creation(Watcher):
    """One attempt."""

    def __init__(self, containers: Containers, container_id: str, options: Json, *, start_at_once: bool) -> None:
        self._containers = containers
        self._id = container_id
        self._options = options
        self._start_at_once = start_at_once
        self._cgroup: Cgroup | None = None
        self._state: Json = {}
        self._hooked = False
        self._terminal_fd = -1

    def run(self, bundle: str, folder: str, spec: Json) -> Json:
        cache = os.path.join(self._containers.root, SECCOMP_CACHE)
        plan = bundles.plan(self._id, bundle, folder, spec, cache)
        plan["same_keyring"] = bool(self._options.get("no-new-keyring"))
        if spec["process"].get("terminal") and not (self._options.get("console-socket") or self._waits_itself):
            raise Failed("a terminal needs --console-socket where the container is left alone")
        self._state = _state(self._id, bundle, spec, plan)
        self._containers.save(self._id, self._state)  # what there is to be undone when we are killed
        cgroup = Cgroup(plan["cgroup_path"])
        cgroup.create()
        self._cgroup = cgroup
        self._state["cgroup_made"] = True
        self._containers.save(self._id, self._state)
        warn_all(cgroup.apply(spec["linux"].get("resources") or {}))
        self._launch(plan, cgroup)
        if self._start_at_once:
            self._run_poststart_hooks()
        return {**self._state, "terminal_fd": self._terminal_fd, "evidence": self._evidence}

    @property
    def _waits_itself(self) -> bool:
        return self._start_at_once and not self._options.get("detach")

    def _launch(self, plan: Json, cgroup: Cgroup) -> None:
        ours, theirs = sockets.pair(sockets.SOCK_STREAM)  # stands for the daemon that a launch watches
        listener = None if self._start_at_once else _listen(self._containers.folder(self._id))
        stdio = _stdio(plan["stdio"]["tty"])
        launch = Launch(
            plan, cgroup, stdio, ours, as_sibling=False, watcher=self, keep=kept_descriptors(self._options),
            listener=-1 if listener is None else listener.fileno(),
        )  # fmt: skip
        try:
            warn_all(launch.run().warnings)
            self._state["started"] = self._start_at_once
            if self._start_at_once:
                self._containers.save(self._id, self._state)
        except SetupFailed as error:
            raise Failed(error.report["message"]) from error
        finally:
            for sock in (ours, theirs, *([listener] if listener is not None else [])):
                sock.close()

    # --- during the launch -----------------------------------------------------------------------------------------

    def cloned(self, pid: int) -> list[Json]:
        self._state |= {"pid": pid, "started_ticks": started_ticks(pid)[1]}
        if "user" in self._state["kinds"]:
            self._state["root"] = root_of(pid)
        return []

    def hooks(self, pid: int) -> Json:
        self._hooked = True
        now = {**public_state(self._state), "status": "creating"}
        for point in ("prestart", "createRuntime"):
            hooks.run(self._state["hooks"].get(point), now, point)
        return now

    def seccomp_listener(self, pid: int, fd: int) -> None:
        now = {**public_state(self._state), "status": "creating"}
        send_listener(self._state["seccomp"]["listener"], pid, fd, now)

    def ready(self, pid: int, evidence: Json, terminal_fd: int) -> None:
        self._evidence = {key: value for key, value in evidence.items() if key not in _NOT_IN_THE_JOURNAL}
        self._terminal_fd = hand_over(terminal_fd, self._options)
        del self._state["creating"]
        self._state["program"] = program_of(pid)
        self._containers.save(self._id, self._state)
        if self._options.get("pid-file"):
            write_pid(str(self._options["pid-file"]), pid)

    # --- afterwards ------------------------------------------------------------------------------------------------

    def _run_poststart_hooks(self) -> None:
        hooks.run(self._state["hooks"].get("poststart"), public_state(self._state), "poststart")

    def undo(self) -> None:
        """What failed first is what is told."""
        if self._cgroup is None:
            return  # another one's may be at the path
        try:
            self._cgroup.kill()
            self._cgroup.remove()
            tidy(self._cgroup.path)
        except OSError as error:
            warn(f"afterwards: {error.filename}: {error.strerror}")

    def run_last_hooks(self) -> None:
        """poststop, where hooks of the creation have been run."""
        if self._hooked:
            run_poststop_hooks(self._state)


def kept_descriptors(options: Json) -> range:
    """Those of --preserve-fds."""
    return range(3, 3 + int(options.get("preserve-fds") or 0))


def _state(container_id: str, bundle: str, spec: Json, plan: Json) -> Json:
    kinds = new_namespaces(spec) | joined_namespaces(spec).keys()
    linux = spec["linux"]
    return {
        "ociVersion": spec["ociVersion"], "id": container_id, "bundle": bundle, "rootfs": spec["root"]["path"],
        "annotations": spec.get("annotations") or {},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "pid": 0, "started_ticks": 0, "started": False,
        "creating": [os.getpid(), started_ticks(os.getpid())[1]], "cgroup_path": plan["cgroup_path"],
        "cgroup_made": False, "kinds": sorted(kinds),
        "own_pids": "pid" in new_namespaces(spec), "root": (0, 0), "process": spec["process"],
        "seccomp": plan["seccomp"], "hooks": spec.get("hooks") or {}, "personality": linux.get("personality") or {},
        "same_keyring": plan["same_keyring"],
    }  # fmt: skip


def _stdio(terminal: bool) -> Sequence[int]:
    if not terminal:
        return 0, 1, 2
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    return null, null, null


def _listen(folder: str) -> sockets.UnixSocket:
    listener = sockets.new(sockets.SOCK_SEQPACKET)
    previous = os.umask(0o177)
    try:
        sockets.by_folder(os.path.join(folder, START_SOCKET), listener.bind)
    finally:
        os.umask(previous)
    listener.listen(1)
    return listener
