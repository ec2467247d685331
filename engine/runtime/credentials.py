"""The operations that take a process's powers away: user, groups, capabilities; and its working directory."""

from __future__ import annotations

import errno
import os
import stat

from engine.kernel import capabilities, seccomp
from engine.kernel.namespaces import in_user_namespace, is_mapped, mapped_ids
from engine.kernel.paths import open_in_root
from engine.kernel.process import set_no_new_privileges
from engine.runtime import messages, targets, users
from engine.runtime.setup import CommandError, Operation, Setup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence


class ResolveUser(Operation):
    """Who the process will be, by the image's own passwd and group. A plan with ``exact_groups`` names all of them by
    number, as a specification of the OCI's does."""

    step = "process.user"

    def __init__(self, plan: dict[str, Any]) -> None:
        self._wanted: str = plan.get("user") or ""
        self._groups: Sequence[str | int] = plan.get("groups") or ()
        self._exact = bool(plan.get("exact_groups"))

    def execute(self, setup: Setup) -> None:
        setup.user = users.resolve(setup.root_fd, self._wanted, self._groups)
        if self._exact:
            setup.user.groups = tuple(map(int, self._groups))
        for number, ids, kind in zip((setup.user.uid, setup.user.gid), mapped_ids(), ("user", "group")):
            if not is_mapped(number, ids):
                known = ", ".join(f"{first}-{first + count - 1}" if count > 1 else f"{first}" for first, count in ids)
                raise users.UserError(f"{kind} {number} can't be had: this engine's user namespace has {known} alone")


class WorkingDirectory(Operation):
    """chdir(2) inside the root. What leads through /proc's magic links (/proc/self/fd/7) is refused, and what the
    kernel then calls the working directory must lie below the root: CVE-2024-21626."""

    step = "process.user"

    def __init__(self, path: str, *, create: bool) -> None:
        self._path = path
        self._create = create

    def execute(self, setup: Setup) -> None:
        try:
            if not self._path.startswith("/"):
                raise OSError(errno.EINVAL, "the path is not absolute")
            if self._create:
                os.close(targets.open_folder(setup.root_fd, self._path))
            fd = open_in_root(setup.root_fd, self._path, os.O_PATH | os.O_DIRECTORY)
            os.fchdir(fd)
            os.close(fd)
            if not os.getcwd().startswith("/"):
                raise OSError(errno.EXDEV, "it lies outside of the container")
        except OSError as error:
            code = 127 if error.errno == errno.ENOENT else 126
            reason = (error.strerror or "").lower()
            text = f'chdir to cwd ("{self._path}") set in config.json failed: {reason}'
            raise CommandError(error.errno or 0, text, code) from error


class OwnStdio(Operation):
    """The pipes belong to the process's user, so that it can open /dev/stdout again; the null device to nobody."""

    step = "process.user"

    def execute(self, setup: Setup) -> None:
        for fd in (0, 1, 2):
            found = os.fstat(fd)
            if found.st_uid != setup.user.uid and (stat.S_ISFIFO(found.st_mode) or os.isatty(fd)):
                os.fchown(fd, setup.user.uid, -1)


_grantable = -1


def grantable() -> int:
    """What the engine itself has to give away (and what the kernel doesn't know, which is nothing). Asked for once, in
    the spawner, since it takes forty system calls."""
    global _grantable
    if _grantable < 0:
        _grantable = capabilities.grantable() | ~capabilities.all_known() & (1 << 64) - 1
    return _grantable


class LimitBounding(Operation):
    """What no program that it executes can get back; while the power to limit is still there."""

    step = "process.capabilities"

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def execute(self, setup: Setup) -> None:
        wanted = capabilities.to_mask(self._names)
        missing = wanted & ~grantable()
        if missing:
            names = ", ".join(capabilities.to_names(missing))
            setup.warnings.append(f"not granted, since the engine itself lacks it: {names}")
        capabilities.limit_bounding(wanted)


class TakeUser(Operation):
    """setgroups, setgid, setuid."""

    step = "process.user"

    def execute(self, setup: Setup) -> None:
        capabilities.keep_over_setuid(True)
        self._take_groups(setup)
        os.setresgid(*[setup.user.gid] * 3)
        os.setresuid(*[setup.user.uid] * 3)
        capabilities.keep_over_setuid(False)

    @staticmethod
    def _take_groups(setup: Setup) -> None:
        try:
            os.setgroups(setup.user.groups)
        except PermissionError:
            if not in_user_namespace():
                raise
            if setup.plan.get("groups"):  # else it is the image alone that has a list of them
                setup.warnings.append("further groups are not given: this user namespace has one group only")


class SetCapabilities(Operation):
    """Effective, permitted, inheritable and ambient. Another user than root would lose all but the ambient ones by
    execve(2): they go now, so that what is read back as evidence is what the command will have."""

    step = "process.capabilities"

    def __init__(self, sets: dict[str, list[str]]) -> None:
        self._sets = sets

    def execute(self, setup: Setup) -> None:
        had = capabilities.get_sets()[1]
        masks = {name: capabilities.to_mask(names or ()) & had for name, names in self._sets.items()}
        permitted, effective, inheritable = (masks.get(name, 0) for name in ("permitted", "effective", "inheritable"))
        ambient = masks.get("ambient", 0) & permitted & inheritable  # the others can't be (capabilities(7))
        if setup.user.uid != 0:
            if lacking := masks.get("ambient", 0) & ~ambient:
                names = ", ".join(capabilities.to_names(lacking))
                setup.warnings.append(f"not given as ambient capabilities, since they are not inheritable: {names}")
            permitted = effective = ambient
        capabilities.set_sets(effective & permitted, permitted, inheritable)
        capabilities.set_ambient(ambient)


class SeccompFilter(Operation):
    """Install the compiled filter for good. Without no_new_privs that takes CAP_SYS_ADMIN (seccomp(2)), so it comes
    before the capabilities go; with it, as late as possible."""

    step = "process.seccomp"

    def __init__(self, seccomp_plan: dict[str, Any]) -> None:
        import binascii  # here: a library of its own, for who has a profile

        self._program = binascii.a2b_base64(seccomp_plan["program"])
        self._flags = seccomp_plan["flags"]
        self._listens = bool(seccomp_plan.get("listener"))

    def execute(self, setup: Setup) -> None:
        listener = seccomp.install(self._program, self._flags, listener=self._listens)
        if listener is not None:  # by write(2), the one call that no such filter may ask its agent about
            os.write(setup.handshake_fd, messages.encode({"type": "listener", "fd": listener}))


class NoNewPrivileges(Operation):
    """execve(2) will grant nothing."""

    step = "process.capabilities"

    def execute(self, setup: Setup) -> None:
        set_no_new_privileges()
