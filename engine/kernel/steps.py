"""The registry of named steps: every place where the engine touches what it can't roll back.

One name serves three readers: an error message says at which step it arose, the audit shows it, and the fault tests
stop there. A step is entered by ``with step("rootfs.mount"): ...``: an OSError that leaves it carries the name in
``error.step``. Failpoints are armed by the environment variable DOCKET_FAILPOINTS, which the processes of the engine
inherit; unarmed, a step costs one look-up.

    DOCKET_FAILPOINTS="layer.rename=kill; cgroup.limit=2*off->error(ENOSPC); evidence.read=wait(/tmp/go)"

Terms are tried in order, each for its count (``2*``; without one, for ever): ``off`` passes, ``kill`` ends the process
that came here with SIGKILL, ``error(ENAME)`` raises that OSError, ``delay(ms)`` sleeps, ``wait(path)`` creates
``path`` and waits until somebody removes it. A term with ``@path`` behind it counts only while that file is there.
Counts are kept by process.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_SIGKILL = 9

STEPS: dict[str, str] = {
    "log.commit": "commit a transaction of the event log",
    "content.write": "write a blob to a temporary file",
    "content.rename": "sync a blob and rename it into place",
    "content.remove": "remove a blob",
    "layer.unpack": "unpack a layer into a temporary folder",
    "layer.sync": "write the layer out to the disk",
    "layer.rename": "rename the layer into place",
    "layer.remove": "remove a layer's tree",
    "volume.create": "make a volume's folder",
    "volume.fill": "copy what the image has into a fresh volume",
    "volume.remove": "remove a volume's folder",
    "network.bridge": "make a network's bridge and give it its addresses",
    "network.sysctl": "change settings of the host that a network needs",
    "network.firewall": "replace the engine's own nf_tables tables",
    "network.hook": "put rules into chains that other firewalls offer",
    "network.ports": "hold the host's ports for a container",
    "network.veth": "make a container's pair of interfaces",
    "network.address": "give a container's interface its addresses and routes",
    "network.resolver": "make the sockets of a container's resolver and lead port 53 to them",
    "network.remove": "take a bridge or an interface away",
    "container.remove": "remove a container's folder",
    "build.context": "receive the context of a build",
    "build.copy": "copy files into the root of a build step",
    "spawner.start": "start the spawner",
    "spawner.fork": "fork a shim or a worker",
    "shim.listen": "bind the shim's socket",
    "shim.record": "write the shim's record of what happened",
    "cgroup.create": "make the container's cgroups",
    "cgroup.limit": "write the container's limits",
    "cgroup.join": "move the first process into its cgroups",
    "cgroup.kill": "kill what is left in the container's cgroups",
    "cgroup.remove": "remove the container's cgroups",
    "init.clone": "clone the first process into its namespaces",
    "namespace.join": "join a namespace that is there already",
    "namespace.time": "make a time namespace with its offsets",
    "userns.map": "map users and groups of a user namespace",
    "layer.limit": "limit a writable layer, or take its limit away",
    "rootfs.overlay": "mount the overlay of image layers and writable layer",
    "rootfs.mounts": "mount what the specification lists (proc, sys, dev, volumes)",
    "rootfs.devices": "make the device nodes",
    "hooks.run": "run the hooks of a specification",
    "rootfs.pivot": "make the overlay the root (pivot_root)",
    "rootfs.mask": "mask paths and make paths read-only",
    "process.identity": "set hostname, sysctls, rlimits and oom score",
    "process.user": "resolve and take user, groups and working directory",
    "process.capabilities": "set the capability sets",
    "process.seccomp": "install the seccomp filter",
    "evidence.read": "read back from the kernel what was really set up",
    "exec.start": "execute the command",
    "exec.join": "enter the container's namespaces for an exec",
    "signal.send": "send a signal to the container",
    "freezer.freeze": "freeze the container",
    "freezer.thaw": "thaw the container",
}

_TERM = r"(?:(\d+)\*)?(off|kill|error|delay|wait)(?:\(([^)]*)\))?(?:@(.+))?"


class _Failpoint:
    """The armed terms of one step."""

    def __init__(self, terms: str) -> None:
        import re  # here: it takes longer to load than a command of the OCI runtime has

        self.terms: list[list] = []
        for term in terms.split("->"):
            match = re.fullmatch(_TERM, term.strip())
            if match is None:
                raise ValueError(f"failpoint term {term.strip()!r} is not understood")
            count, action, argument, condition = match.groups()
            self.terms.append([int(count) if count else None, action, argument or "", condition])

    def hit(self, name: str) -> None:
        for term in self.terms:
            remaining, action, argument, condition = term
            if remaining == 0 or condition is not None and not os.path.exists(condition):
                continue
            if remaining is not None:
                term[0] = remaining - 1
            _act(name, action, argument)
            return


def _act(name: str, action: str, argument: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), _SIGKILL)
        os._exit(137)  # still here: the first process of a pid namespace can't be killed from inside
    elif action == "error":
        code = getattr(errno, argument)
        raise OSError(code, os.strerror(code), f"failpoint {name}")
    elif action == "delay":
        time.sleep(int(argument) / 1000)
    elif action == "wait":
        os.close(os.open(argument, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        while os.path.exists(argument):
            time.sleep(0.005)


def _armed() -> dict[str, _Failpoint]:
    armed = {}
    for assignment in os.environ.get("DOCKET_FAILPOINTS", "").split(";"):
        name, _, terms = assignment.strip().partition("=")
        if not name:
            continue
        if name not in STEPS:
            raise ValueError(f"no step is named {name!r}")
        armed[name] = _Failpoint(terms)
    return armed


_FAILPOINTS = _armed()


class unarmed:
    """``with unarmed():`` steps that are only rehearsed come to no failpoint, and count for none."""

    def __enter__(self) -> None:
        global _FAILPOINTS
        self._armed, _FAILPOINTS = _FAILPOINTS, {}

    def __exit__(self, *exception: object) -> None:
        global _FAILPOINTS
        _FAILPOINTS = self._armed


class step:
    """``with step(name):`` names what happens inside, for errors, audit and fault tests."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if name not in STEPS:
            raise ValueError(f"no step is named {name!r}")
        self.name = name

    def __enter__(self) -> None:
        if _FAILPOINTS and (failpoint := _FAILPOINTS.get(self.name)):
            try:
                failpoint.hit(self.name)
            except OSError as error:
                error.step = self.name  # type: ignore[attr-defined]
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and not hasattr(error, "step"):
            error.step = self.name  # type: ignore[attr-defined]
