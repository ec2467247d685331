"""The operations that give a process its identity: names, kernel settings, limits of its own."""

from __future__ import annotations

import errno
import os
import resource

import _signal as signal
import _socket

from engine.kernel import apparmor, cgroups, links
from engine.kernel.namespaces import CLONE_NEWCGROUP, unshare
from engine.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from engine.kernel.process import join_new_session_keyring, set_parent_death_signal, setdomainname
from engine.runtime.setup import Json, Operation, Setup


class OwnCgroupNamespace(Operation):
    """Only now, in its cgroups: a namespace's root is where its maker is at that moment."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        unshare(CLONE_NEWCGROUP)


class OomScore(Operation):
    """How soon the OOM killer takes it. Through the host's /proc, while that is in sight."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        if setup.plan.get("oom_score_as_is") and setup.process.get("oomScoreAdj") is None:
            return
        wanted = setup.process.get("oomScoreAdj") or 0
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
            if int(file.read()) == wanted:
                return
            try:
                file.write(b"%d" % wanted)
            except PermissionError:
                if wanted:  # 0 is nobody's wish: then what the engine itself has is passed on
                    setup.warnings.append(
                        f"the OOM score adjustment can't be lowered to {wanted} here: CAP_SYS_RESOURCE is missing"
                    )


class AppArmor(Operation):
    """The profile of the command. While /proc is still the host's. What the kernel made of it nobody else could ask."""

    step = "process.identity"

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def execute(self, setup: Setup) -> None:
        setup.apparmor = apparmor.confine_next_program(self._profile)


class Hostname(Operation):
    """Host and domain name, in a UTS namespace of its own."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        if "uts" not in setup.new_namespaces:
            return
        if name := setup.spec.get("hostname"):
            _socket.sethostname(name)
        if name := setup.spec.get("domainname"):
            setdomainname(name)


class Loopback(Operation):
    """A new network namespace has lo, and it is down."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        if "network" in setup.new_namespaces:
            links.bring_up("lo")


class Keyring(Operation):
    """A session keyring of its own, so that it can't read the keys of whoever started the engine."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        try:
            join_new_session_keyring()
        except OSError as error:
            setup.warnings.append(f"no session keyring of its own: {(error.strerror or '').lower()}")


class Sysctls(Operation):
    """``linux.sysctl``, through the procfs that was mounted for the container and no other."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        for name, value in (setup.linux.get("sysctl") or {}).items():
            path = f"sys/{name.replace('.', '/')}"
            how = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
            try:
                if setup.proc_fd < 0:
                    raise OSError(errno.ENOENT, "no procfs is mounted in the container:")
                fd = openat2(setup.proc_fd, path, os.O_WRONLY, resolve=how)
                try:
                    os.write(fd, str(value).encode())
                finally:
                    os.close(fd)
            except OSError as error:
                raise OSError(error.errno, f'{error.strerror} setting it to "{value}"', f"sysctl {name}") from error


class Rlimits(Operation):
    """setrlimit(2). Without CAP_SYS_RESOURCE a hard limit can only sink: then what is possible is given, and said."""

    step = "process.identity"

    def __init__(self, limits: list[Json]) -> None:
        self._limits = limits

    def execute(self, setup: Setup) -> None:
        for limit in self._limits:
            name: str = limit["type"]
            number = getattr(resource, name, None)
            if number is None:
                raise OSError(22, "no such resource limit", name)
            soft, hard = _value(limit["soft"]), _value(limit["hard"])
            try:
                resource.setrlimit(number, (soft, hard))
            except (ValueError, PermissionError):
                highest = resource.getrlimit(number)[1]
                if not _exceeds(hard, highest):
                    raise OSError(22, f"soft limit {soft} or hard limit {hard} is not valid", name) from None
                resource.setrlimit(number, (highest if _exceeds(soft, highest) else soft, highest))
                setup.warnings.append(
                    f"{name} can't be raised to {hard} here: it stays at {highest} (CAP_SYS_RESOURCE is missing)"
                )


def _value(number: int) -> int:
    return resource.RLIM_INFINITY if number < 0 or number >= 2**63 else number


def _exceeds(value: int, limit: int) -> bool:
    if limit == resource.RLIM_INFINITY:
        return False
    return value == resource.RLIM_INFINITY or value > limit


class EndWithShim(Operation):
    """Without cgroups nobody else could find what is left of a container whose shim is killed. The kernel forgets this
    with every change of credentials, so it comes after them (prctl(2), PR_SET_PDEATHSIG)."""

    step = "process.identity"

    def execute(self, setup: Setup) -> None:
        if not cgroups.detect().mount_points:
            set_parent_death_signal(signal.SIGKILL)
