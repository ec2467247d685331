"""One container's cgroup: a folder of the same path in every tree of the hierarchy.

The life of it: ``create``, ``apply`` the limits, ``join``; in the end ``kill`` and ``remove``. Everything raises
``OSError`` that names the file and the value.
"""

from __future__ import annotations

import errno
import os

from engine.kernel.cgroups import blkio, cpu, cpuacct, cpuset, files, limits, memory, oom, pids, processes
from engine.kernel.cgroups.hierarchy import Hierarchy, detect

_KILL_TIMEOUT_S = 10.0
_REMOVE_TIMEOUT_S = 5.0
_FREEZE_TIMEOUT_S = 10.0

# (v1 controller, v2 controller, key in the statistics, readers)
_STATS = (
    ("memory", "memory", "memory", memory.stats_v1, memory.stats_v2),
    ("cpuacct", "", "cpu", cpuacct.stats_v1, None),
    ("cpu", "cpu", "cpu", cpu.stats_v1, cpu.stats_v2),
    ("pids", "pids", "pids", pids.stats_v1, pids.stats_v2),
    ("blkio", "io", "block_io", blkio.stats_v1, blkio.stats_v2),
)


class Cgroup:
    """``path`` is relative to the root of every tree, as ``docket/<id>``."""

    __slots__ = ("path", "hierarchy", "folders")

    def __init__(self, path: str, hierarchy: Hierarchy | None = None) -> None:
        parts = path.strip("/").split("/")
        if not all(part and part not in (".", "..") for part in parts):
            raise OSError(errno.EINVAL, "a cgroup path has no empty, . or .. parts", path)
        self.path = "/".join(parts)
        self.hierarchy = hierarchy or detect()
        self.folders = {point: f"{point}/{self.path}" for point in self.hierarchy.mount_points}

    def folder(self, controller: str) -> str | None:
        """The folder in the tree of a controller, or None where no tree has the controller."""
        return self.folders.get(self.hierarchy.controllers.get(controller, ""))

    @property
    def unified_folder(self) -> str | None:
        """The folder in the v2 tree."""
        return self.folders.get(self.hierarchy.unified or "")

    @property
    def controls_devices(self) -> bool:
        """Whether device rules can be applied at all."""
        return self.hierarchy.is_v1("devices") or self.hierarchy.mode == "v2"

    # --- life -------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the folder in every tree. An empty leftover of the path is replaced; one with processes is EEXIST."""
        made: list[str] = []
        try:
            for point, folder in self.folders.items():
                self._make(folder)
                made.append(folder)
                if "cpuset" in self.hierarchy.trees.get(point, ()):
                    cpuset.inherit_v1(point, folder)
            if self.hierarchy.mode == "v2":
                self.hand_down(self.hierarchy.unified_controllers)
        except OSError:
            for folder in reversed(made):
                processes.remove(folder, processes.Backoff(0))
            raise

    def _make(self, folder: str) -> None:
        try:
            os.mkdir(folder)
        except FileNotFoundError:
            os.makedirs(folder)
        except FileExistsError:
            if processes.pids(folder):
                raise
            processes.remove(folder, processes.Backoff(_REMOVE_TIMEOUT_S))  # old limits go with it
            os.mkdir(folder)

    def hand_down(self, controllers: tuple[str, ...]) -> None:
        """Hand v2 controllers down to the cgroup, through every folder above it that doesn't yet."""
        above = self.hierarchy.unified
        for part in self.path.split("/"):
            missing = set(controllers) - set(files.read(above, "cgroup.subtree_control").split())
            if missing:
                available = files.read(above, "cgroup.controllers").split()
                wanted = [f"+{name}" for name in available if name in missing]
                if wanted:
                    files.write(above, "cgroup.subtree_control", " ".join(wanted))
            above = f"{above}/{part}"

    def join(self, pid: int, *, beside: int | None = None) -> None:
        """Move a process into the cgroup in every tree; ``pid`` 0 is the caller.

        A v2 cgroup that hands controllers to children of its own takes no process (EBUSY): an init like systemd inside
        the container does that. Then the process joins the folder of ``beside``, the container's first process.
        """
        for point, folder in self.folders.items():
            try:
                files.write(folder, "cgroup.procs", pid)
            except OSError as error:
                if error.errno != errno.EBUSY or beside is None or point != self.hierarchy.unified:
                    raise
                files.write(self._folder_of(beside), "cgroup.procs", pid)

    def enter(self, *, skip_unified: bool = False, beside: int | None = None) -> None:
        """Move the caller, which has one thread, into the cgroup in every tree (but v2's, where it was born there).

        Much quicker than ``join``: a write to cgroup.procs waits for a grace period of RCU, since it must keep every
        process of the machine from forking meanwhile; a thread that moves itself by v1's tasks file need not.
        """
        for point, folder in self.folders.items():
            if point != self.hierarchy.unified:
                files.write(folder, "tasks", 0)
            elif not skip_unified:
                try:
                    files.write(folder, "cgroup.procs", 0)
                except OSError as error:
                    if error.errno != errno.EBUSY or beside is None:
                        raise
                    files.write(self._folder_of(beside), "cgroup.procs", 0)

    def _folder_of(self, pid: int) -> str:
        """Where in our part of the v2 tree a process is now."""
        with open(f"/proc/{pid}/cgroup") as memberships:
            now = next((line[3:].rstrip("\n") for line in memberships if line.startswith("0::")), "")
        inside = now.partition(f"/{self.path}")[2]
        return f"{self.unified_folder}{inside}"

    def v2_fd(self) -> int:
        """A descriptor for clone3's CLONE_INTO_CGROUP. On a hybrid that is the v2 tree alone, which limits nothing: the
        child has still to ``enter`` the others. EOPNOTSUPP where there is no v2 tree."""
        if self.unified_folder is None:
            raise OSError(errno.EOPNOTSUPP, "there is no cgroup v2 tree", self.path)
        return os.open(self.unified_folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def pids(self) -> list[int]:
        """Processes in the cgroup, or below it, in any of the trees."""
        return sorted({pid for folder in self.folders.values() for pid in processes.pids(folder)})

    def kill(self, timeout_s: float = _KILL_TIMEOUT_S) -> None:
        """SIGKILL every process in it and wait until it is empty; TimeoutError names what doesn't die.

        cgroup.kill (Linux 5.14, the v2 tree) leaves no gap for a fork. Elsewhere, and for what left the v2 tree only,
        the processes are frozen first, so that none can fork or change its pid between listing and signal.
        """
        backoff = processes.Backoff(timeout_s)
        by_pid = False
        while left := self.pids():
            try:
                self._kill_now(by_pid=by_pid)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise  # else it was removed just now: the next look says whether anybody is left
            by_pid = True
            if not backoff.wait():
                raise TimeoutError(errno.ETIMEDOUT, f"processes {left} don't die", self.path)

    def _kill_now(self, *, by_pid: bool) -> None:
        unified, freezer = self.unified_folder, self._v1_freezer()
        if by_pid or not unified or not files.exists(unified, "cgroup.kill"):
            self._kill_by_pid(freezer)
            return
        files.write(unified, "cgroup.kill", 1)
        if freezer:
            files.write(freezer, "freezer.state", "THAWED")  # a process frozen by v1 can't even die

    def _v1_freezer(self) -> str | None:
        return self.folder("freezer") if self.hierarchy.is_v1("freezer") else None

    def _kill_by_pid(self, freezer: str | None) -> None:
        if not freezer:
            pids_folder = self.folder("pids")
            if pids_folder and files.exists(pids_folder, "pids.max"):
                files.write(pids_folder, "pids.max", 0)  # nothing freezes here, but forks can be made to fail
            processes.kill_each(self.pids())
            return
        try:
            processes.freeze_v1(freezer, timeout_s=0.5)
        except TimeoutError:
            pass  # something is stuck in the kernel: kill what can be killed all the same
        try:
            processes.kill_each(self.pids())
        finally:
            files.write(freezer, "freezer.state", "THAWED")

    def freeze(self, timeout_s: float = _FREEZE_TIMEOUT_S) -> None:
        """Stop every process; returns when all of them stand still, or TimeoutError with nothing frozen."""
        if self._v2_freezer():
            processes.freeze_v2(self.unified_folder, timeout_s)
        elif freezer := self._v1_freezer():
            processes.freeze_v1(freezer, timeout_s)
        else:
            raise OSError(errno.EOPNOTSUPP, self.hierarchy.refusal or "the kernel has no freezer cgroup")

    def thaw(self) -> None:
        """Let the processes go on."""
        if self._v2_freezer():
            files.write(self.unified_folder, "cgroup.freeze", 0)
        if freezer := self._v1_freezer():
            files.write(freezer, "freezer.state", "THAWED")

    def _v2_freezer(self) -> bool:
        """The v2 tree's freezer goes first, on a hybrid too: what it froze can still be killed."""
        return bool(self.unified_folder) and files.exists(self.unified_folder, "cgroup.freeze")

    def is_frozen(self) -> bool:
        """Whether the container stands still, by either freezer."""
        if self._v2_freezer() and files.read_flat(self.unified_folder, "cgroup.events").get("frozen"):
            return True
        freezer = self._v1_freezer()
        return bool(freezer) and files.read_if_there(freezer, "freezer.state") == "FROZEN"

    def exists(self) -> bool:
        """Whether any tree has the folder."""
        return any(os.path.isdir(folder) for folder in self.folders.values())

    def remove(self, timeout_s: float = _REMOVE_TIMEOUT_S) -> None:
        """Remove the folders in every tree, and those below them. It kills nothing: what lives is EBUSY."""
        failure = None
        backoff = processes.Backoff(timeout_s)
        for folder in reversed(self.folders.values()):
            try:
                processes.remove(folder, backoff)
            except OSError as error:
                failure = failure or error
        if failure:
            raise failure

    # --- limits -----------------------------------------------------------------------------------------------------

    def apply(self, resources: dict) -> list[str]:
        """Write the specification's ``linux.resources``; what isn't given stays. Returns warnings. Raises OSError."""
        return limits.apply(self, resources)

    def read_limits(self) -> dict[str, str]:
        """File name -> text, as the kernel says it now: what was granted, not what was asked for."""
        return limits.read(self)

    def restore(self, before: dict[str, str]) -> None:
        """Write back what ``read_limits`` said."""
        limits.restore(self, before)

    # --- counters ---------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, dict]:
        """Counters by ``memory``, ``cpu``, ``pids`` and ``block_io``; a missing controller's key is missing."""
        found: dict[str, dict] = {}
        for v1, v2, key, read_v1, read_v2 in _STATS:
            if self.hierarchy.is_v1(v1):
                found.setdefault(key, {}).update(read_v1(self.folder(v1)))
            elif v2 in self.hierarchy.unified_controllers:
                found.setdefault(key, {}).update(read_v2(self.unified_folder))
        return found

    def oom_kills(self) -> int:
        """How many processes the OOM killer took so far; 0 where nothing counts them."""
        folder = self.folder("memory")
        if folder is None:
            return 0
        return memory.oom_kills_v1(folder) if self.hierarchy.is_v1("memory") else memory.oom_kills_v2(folder)

    def oom_watch_fd(self) -> int:
        """A non-blocking descriptor that gets readable when ``oom_kills`` may have grown.

        Read up to 4096 bytes from it, then ask ``oom_kills``, and once more at the end: v1 tells before it kills.
        """
        folder = self.folder("memory")
        if folder is None:
            raise OSError(errno.EOPNOTSUPP, "the memory cgroup controller is not available", self.path)
        return oom.watch_v1(folder) if self.hierarchy.is_v1("memory") else oom.watch_v2(folder)
