"""Setting a process up is a list of operations, run in order by one loop. The order is data: see ``init`` and ``exec``.

An operation belongs to a named step, says by ``describe`` what it is about to do, and does it in ``execute`` on the
``Setup`` that the operations share. Whatever fails names the step.
"""

from __future__ import annotations

import errno
import os
import sys

from engine.kernel.namespaces import FLAGS
from engine.kernel.steps import step
from engine.runtime.users import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

Json = dict[str, "Any"]


class CommandError(OSError):
    """The command can't be executed; ``str`` is the line in Docker's words, ``exit_code`` what a client's run ends
    with."""

    def __init__(self, code: int, text: str, exit_code: int) -> None:
        super().__init__(code, text)
        self.exit_code = exit_code


class Setup:
    """What the operations of one process know and hand on to each other."""

    def __init__(self, plan: Json) -> None:
        self.plan = plan
        self.spec: Json = plan.get("spec") or {}
        self.process: Json = self.spec.get("process") or {}
        self.linux: Json = self.spec.get("linux") or {}
        self.warnings: list[str] = []
        self.sources: dict[int, int] = {}
        """Detached clones of bind mounts, by their place in the specification's list."""
        self.binds: list[list[str]] = []
        """Source (its real path on the host), destination and access of each bind mount, for the evidence."""
        self.root_fd = -1
        self.proc_fd = -1
        """The container's procfs as it was mounted: nobody can have put another file system in its place."""
        self.cover_fd = -1
        """The root of the empty folder that lies on the first masked one: the others get clones of it."""
        self.terminal_fd = -1
        """The master of the terminal, which goes to the shim."""
        self.handshake_fd = -1
        self.apparmor = ""
        """The profile of the command and its mode, as the kernel says it."""
        self.user = User(0, 0, (0,), "/")
        self.command = ""
        self.state: Json = {}
        """What hooks read of the container, where it has any."""

    @property
    def mounts(self) -> list[Json]:
        return self.spec.get("mounts") or []

    @property
    def new_namespaces(self) -> set[str]:
        return new_namespaces(self.spec)

    @property
    def joined_namespaces(self) -> dict[str, Json]:
        return joined_namespaces(self.spec)

    @property
    def has_user_namespace(self) -> bool:
        """Then the launcher prepares what takes the host's root: see ``userns``."""
        return has_user_namespace(self.spec)


_KNOWN = {
    "": {"ociVersion", "process", "root", "hostname", "domainname", "mounts", "linux", "annotations", "hooks"},
    "process": {
        "terminal", "user", "args", "env", "cwd", "capabilities", "rlimits", "noNewPrivileges", "oomScoreAdj",
        "consoleSize", "scheduler", "ioPriority", "apparmorProfile",
    },
    "linux": {
        "namespaces", "resources", "sysctl", "devices", "maskedPaths", "readonlyPaths", "rootfsPropagation",
        "cgroupsPath", "uidMappings", "gidMappings", "timeOffsets", "personality",
    },
}  # fmt: skip


def refuse_unknown(spec: Json) -> None:
    """What would be ignored is refused: a specification is no list of wishes. Raises OSError with the field."""
    for section, known in _KNOWN.items():
        for field, value in (spec.get(section) or {} if section else spec).items():
            if field not in known and value:
                name = f"{section}.{field}" if section else field
                raise OSError(errno.EOPNOTSUPP, "not supported by this version of the engine", name)


def new_namespaces(spec: Json) -> set[str]:
    """The kinds that the process gets of its own. Raises OSError for what can't be given."""
    return {entry["type"] for entry in _namespaces(spec) if not entry.get("path")}


def joined_namespaces(spec: Json) -> dict[str, Json]:
    """Kind -> the entry of an existing namespace that the process joins."""
    return {entry["type"]: entry for entry in _namespaces(spec) if entry.get("path")}


def has_user_namespace(spec: Json) -> bool:
    """Another one than the engine's, made for it or joined."""
    return any(entry["type"] == "user" for entry in _namespaces(spec))


def _namespaces(spec: Json) -> list[Json]:
    entries = (spec.get("linux") or {}).get("namespaces") or []
    kinds = [entry["type"] for entry in entries]
    for kind in kinds:
        if kind not in FLAGS:
            raise OSError(errno.EOPNOTSUPP, f"a namespace of type {kind} can't be made by this version")
        if kinds.count(kind) > 1:
            raise OSError(errno.EINVAL, f"two namespaces of type {kind} can't be those of one process")
    return entries


class Operation:
    """One thing to do. ``step`` is its name in the registry of steps."""

    step = ""

    def describe(self, setup: Setup) -> str:
        """What is done, for errors."""
        return type(self).__name__

    def execute(self, setup: Setup) -> None:
        """Do it. Raises OSError."""
        raise AssertionError(f"{type(self).__name__} does nothing")


def run(operations: Sequence[Operation], setup: Setup) -> None:
    """Execute in order. An OSError that has no path of its own is told what was being done."""
    for operation in operations:
        try:
            with step(operation.step):
                operation.execute(setup)
        except OSError as error:
            if error.filename is None and type(error).__name__ not in _SELF_EXPLAINING:
                error.filename = operation.describe(setup)
            raise


def load_nothing_more() -> None:
    """From here on names lead into the container: an import, which would execute what lies there, fails instead."""
    sys.meta_path.clear()
    sys.path.clear()


_SELF_EXPLAINING = ("CommandError", "UserError")


def failure(error: BaseException) -> Json:
    """An error as the message that crosses to the parent."""
    number = getattr(error, "errno", None) or 0
    if isinstance(error, OSError) and type(error).__name__ not in _SELF_EXPLAINING:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        text = f"{where}{(error.strerror or str(error))}"
        text = text[:1].lower() + text[1:] if not where else where + (error.strerror or "").lower()
    elif isinstance(error, OSError):
        text = error.strerror
    else:
        text = f"{type(error).__name__}: {error}"
    return {
        "type": "failed", "step": getattr(error, "step", ""), "errno": number, "message": " ".join(text.split()),
        "exit_code": getattr(error, "exit_code", 128),
    }  # fmt: skip
