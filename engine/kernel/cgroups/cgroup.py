"""One container's cgroup: a folder of the same path in every tree of the hierarchy.

The life of it: ``create``, ``apply`` the limits, ``join``; in the end ``kill`` and ``remove``. Everything raises
``OSError`` that names the file and the value.
"""

from __future__ import annotations

import errno
import os

from engine.kernel.cgroups import (
    blkio, cpu, cpuacct, cpuset, device_program, devices, files, hugetlb, memory, network, oom, pids, processes, rdma,
)  # fmt: skip
from engine.kernel.cgroups.hierarchy import Hierarchy, detect

_KILL_TIMEOUT_S = 10.0
_REMOVE_TIMEOUT_S = 5.0
_FREEZE_TIMEOUT_S = 10.0

# (section of linux.resources, keys of it or None for the whole, v1 controller, v2 controller, writers)
_APPLIERS = (
    ("cpu", cpuset.KEYS, "cpuset", "cpuset", cpuset.apply_v1, cpuset.apply_v2),
    ("cpu", cpu.KEYS, "cpu", "cpu", cpu.apply_v1, cpu.apply_v2),
    ("memory", memory.KEYS, "memory", "memory", memory.apply_v1, memory.apply_v2),
    ("pids", pids.KEYS, "pids", "pids", pids.apply_v1, pids.apply_v2),
    ("blockIO", blkio.KEYS, "blkio", "io", blkio.apply_v1, blkio.apply_v2),
    ("hugepageLimits", None, "hugetlb", "hugetlb", hugetlb.apply_v1, hugetlb.apply_v2),
    ("rdma", None, "rdma", "rdma", rdma.apply_v1, rdma.apply_v2),
    ("network", frozenset(("classID",)), "net_cls", "", network.apply_classid, None),
    ("network", frozenset(("priorities",)), "net_prio", "", network.apply_priorities, None),
)
_SECTIONS = frozenset(row[0] for row in _APPLIERS) | {"devices", "unified"}

# (v1 controller, its files) and (v2 controller, its files) that tell what was really granted
_LIMITS_V1 = (
    ("cpuset", cpuset.LIMITS_V1), ("cpu", cpu.LIMITS_V1), ("memory", memory.LIMITS_V1), ("pids", pids.LIMITS_V1),
    ("blkio", blkio.LIMITS_V1), ("devices", devices.LIMITS_V1),
)  # fmt: skip
_LIMITS_V2 = (
    ("cpuset", cpuset.LIMITS_V2), ("cpu", cpu.LIMITS_V2), ("memory", memory.LIMITS_V2), ("pids", pids.LIMITS_V2),
    ("io", blkio.LIMITS_V2),
)  # fmt: skip

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

    def paths(self) -> dict[str, str]:
        """Folder by controller (named trees as ``name=systemd``, the v2 tree as ``unified``), for the evidence."""
        found = {name: self.folders[point] for name, point in self.hierarchy.controllers.items()}
        if self.unified_folder:
            found["unified"] = self.unified_folder
        return found

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
                self._enable(self.hierarchy.unified_controllers)
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

    def _enable(self, controllers: tuple[str, ...]) -> None:
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
        """Write the specification's ``linux.resources``; what isn't given stays. Returns warnings.

        A limit that can't be granted raises: EINVAL with the field, EOPNOTSUPP where the controller is missing, or what
        the kernel said to the file and the value.
        """
        for section in resources:
            if section not in _SECTIONS:
                raise files.refuse(f"resources.{section}", "the field is not known", errno.EOPNOTSUPP)
        warnings = discarded_limits(resources, self.hierarchy)
        for section, keys, v1, v2, apply_v1, apply_v2 in _APPLIERS:
            wanted = self._select(resources, section, keys)
            if not wanted:
                continue
            if self.hierarchy.is_v1(v1):
                warnings += apply_v1(self.folder(v1), wanted)
            elif v2 and v2 in self.hierarchy.unified_controllers:
                if self.hierarchy.mode == "hybrid":
                    self._enable((v2,))
                warnings += apply_v2(self.unified_folder, wanted)
            elif not self.hierarchy.refusal:
                raise files.refuse(
                    f"resources.{section}", f"the {v1} cgroup controller is not available", errno.EOPNOTSUPP
                )
        self._apply_devices(resources.get("devices") or [])
        self._apply_unified(resources.get("unified") or {})
        return warnings

    @staticmethod
    def _select(resources: dict, section: str, keys: frozenset[str] | None) -> dict | list:
        """The part of a section that one controller is responsible for, without what is null."""
        values = resources.get(section) or {}
        if keys is None:
            return values
        known = frozenset().union(*(row[1] for row in _APPLIERS if row[0] == section))
        if unknown := sorted(values.keys() - known):
            raise files.refuse(f"resources.{section}.{unknown[0]}", "the field is not known", errno.EOPNOTSUPP)
        return {key: value for key, value in values.items() if key in keys and value is not None}

    def _apply_devices(self, rules: list[dict]) -> None:
        if not rules:
            return
        if self.hierarchy.is_v1("devices"):
            devices.apply_v1(self.folder("devices"), rules)
        elif self.hierarchy.refusal:
            return  # in a user namespace nobody can make a device node
        elif self.unified_folder:
            device_program.apply_v2(self.unified_folder, devices.resolve(rules))
        else:
            raise files.refuse("resources.devices", "the kernel can't control devices by cgroup", errno.EOPNOTSUPP)

    def _apply_unified(self, values: dict[str, str]) -> None:
        if values and self.hierarchy.mode != "v2":
            raise files.refuse("resources.unified", "unified resources need cgroup v2", errno.EOPNOTSUPP)
        for name, value in values.items():
            if "/" in name or "." not in name:
                raise files.refuse("resources.unified", f"{name!r} is not the name of a cgroup file")
            files.write(self.unified_folder, name, value)

    def read_limits(self) -> dict[str, str]:
        """File name -> text, as the kernel says it now: what was granted, not what was asked for."""
        found = {}
        for controller, names in _LIMITS_V1:
            if self.hierarchy.is_v1(controller):
                found.update(self._read_all(self.folder(controller), names))
        for controller, names in _LIMITS_V2:
            if controller in self.hierarchy.unified_controllers and not self.hierarchy.is_v1(controller):
                found.update(self._read_all(self.unified_folder, names))
        if self.hierarchy.mode == "v2" and not self.hierarchy.refusal:
            found["devices.programs"] = self._device_programs()
        return found

    def restore(self, before: dict[str, str]) -> None:
        """Write back what ``read_limits`` said, where a file says something else now. Files of one value only: those
        are what a change of limits writes. Limits that bound each other are tried in both orders."""
        for _ in range(2):
            for name, text in self.read_limits().items():
                wanted = before.get(name)
                if wanted is None or wanted == text or "\n" in wanted or not wanted:
                    continue
                try:
                    files.write(self._folder_of_file(name), name, wanted)
                except OSError:
                    continue  # the other one of a pair comes first: the second round has it

    def _folder_of_file(self, name: str) -> str:
        folders = [folder for folder in self.folders.values() if files.exists(folder, name)]
        return folders[0] if folders else ""

    @staticmethod
    def _read_all(folder: str, names: tuple[str, ...]) -> dict[str, str]:
        texts = ((name, files.read_if_there(folder, name)) for name in names)
        return {name: text for name, text in texts if text is not None}

    def _device_programs(self) -> str:
        fd = os.open(self.unified_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return " ".join(map(str, device_program.attached(fd)))
        except OSError as error:
            return f"unreadable: {error.strerror}"
        finally:
            os.close(fd)

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


def discarded_limits(resources: dict, hierarchy: Hierarchy) -> list[str]:
    """The warning about parts of ``linux.resources`` whose controllers the hierarchy lacks for a reason of its own."""
    found: dict[str, None] = {}
    for section, keys, v1, v2, *_ in _APPLIERS if hierarchy.refusal else ():
        values = resources.get(section) or {}
        wanted = values if keys is None else [key for key in keys if values.get(key) is not None]
        if wanted and not hierarchy.is_v1(v1) and v2 not in hierarchy.unified_controllers:
            found[v1] = None
    return [f"limits are discarded ({', '.join(found)}): {hierarchy.refusal}"] if found else []
