"""Where the kernel's cgroup trees are mounted.

    v1      every controller in a tree of its own (or shared, like cpu,cpuacct)
    hybrid  v1 trees for the controllers, and a v2 tree beside them, mostly without controllers
    v2      one tree for all

Trees are used from the root of each mount, as Docker does, and not from the caller's own cgroup: in a nested container
the mount already shows only the part that belongs to it.
"""

from __future__ import annotations

import os

from engine.kernel.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_V1_OPTIONS_THAT_NAME_NO_CONTROLLER = frozenset(
    ("rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nofavordynmods", "all")
)


class Hierarchy:
    """``trees``: mount point -> its v1 controllers (named trees as ``name=systemd``). ``unified``: v2's mount point, or
    the folder in it that is delegated to us. ``refusal``: why a controller may be missing that the machine has; then
    limits that need it are discarded with a warning, and not refused."""

    __slots__ = ("mode", "trees", "unified", "refusal", "controllers", "_unified_controllers")

    def __init__(self, trees: Mapping[str, tuple[str, ...]], unified: str | None, refusal: str = "") -> None:
        self.trees = dict(trees)
        self.unified = unified
        self.refusal = refusal
        has_v1 = any(not name.startswith("name=") for names in self.trees.values() for name in names)
        self.mode = "v2" if unified and not has_v1 else "hybrid" if unified else "v1"
        self._unified_controllers: tuple[str, ...] = ()
        if unified:
            self._unified_controllers = tuple((files.read_if_there(unified, "cgroup.controllers") or "").split())
        self.controllers = {name: point for point, names in self.trees.items() for name in names}
        for name in self._unified_controllers:
            self.controllers.setdefault(name, unified)

    @property
    def mount_points(self) -> list[str]:
        """Every tree that a container gets a cgroup in; the v2 tree last."""
        return [*self.trees, self.unified] if self.unified else list(self.trees)

    @property
    def unified_controllers(self) -> tuple[str, ...]:
        """The controllers that the v2 tree offers."""
        return self._unified_controllers

    def is_v1(self, controller: str) -> bool:
        """Whether a controller is bound to a v1 tree."""
        return self.controllers.get(controller) in self.trees

    def __repr__(self) -> str:
        return f"Hierarchy(mode={self.mode!r}, trees={self.trees!r}, unified={self.unified!r})"


def parse_mountinfo(text: str, is_visible: object = None) -> Hierarchy:
    """The hierarchy that /proc/PID/mountinfo describes (proc_pid_mountinfo(5)).

    ``is_visible(mount_point, device)`` tells whether that file system is what one finds at that path: a mount may be
    hidden under a later one.
    """
    trees: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    unified = None
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, rest = tail.partition(" ")
        if kind not in ("cgroup", "cgroup2"):
            continue
        fields = head.split(" ")
        point = _unescape(fields[4])
        if is_visible is not None and not is_visible(point, fields[2]):
            continue
        if kind == "cgroup2":
            unified = unified or point
            continue
        options = rest.rpartition(" ")[2].split(",")
        names = tuple(
            option
            for option in options
            if option not in _V1_OPTIONS_THAT_NAME_NO_CONTROLLER
            and not option.startswith("release_agent=")
            and option not in taken
        )
        if names:
            taken.update(names)
            trees[point] = names
    return Hierarchy(trees, unified)


def _unescape(path: str) -> str:
    """Blanks, line ends and backslashes are written as three octal digits (proc_pid_mountinfo(5))."""
    first, *rest = path.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def _is_visible(point: str, device: str) -> bool:
    try:
        number = os.stat(point).st_dev
    except OSError:
        return False
    return f"{os.major(number)}:{os.minor(number)}" == device


_detected: Hierarchy | None = None


def detect() -> Hierarchy:
    """The hierarchy of this process's mount namespace, looked up once a process."""
    global _detected
    if _detected is None:
        with open("/proc/self/mountinfo") as mountinfo:
            _detected = parse_mountinfo(mountinfo.read(), _is_visible)
    return _detected


def use(hierarchy: Hierarchy) -> None:
    """Let this process, and those that it forks, know this hierarchy instead of the machine's."""
    global _detected
    _detected = hierarchy
