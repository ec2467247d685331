"""The cgroup that was handed to an ordinary user (cgroups(7), "Delegation"): v2, and one's own.

A cgroup is delegated where its owner may make cgroups in it, put processes there and hand controllers down. That is the
one that this process is in, or none: ``systemd-run --user -p Delegate=yes`` gives one. v1 is delegated to nobody.
"""

from __future__ import annotations

import os

from engine.kernel import json_text
from engine.kernel.cgroups import files
from engine.kernel.cgroups.hierarchy import Hierarchy, detect, use

LEAF = "docket-engine"
"""The engine's own processes: a v2 cgroup that hands controllers down can't have any itself."""
_VARIABLE = "DOCKET_DELEGATED_CGROUP"
_HOW = "start the daemon in a cgroup of its own: systemd-run --user -p Delegate=yes docket daemon"


def delegated() -> Hierarchy:
    """What an ordinary user's engine has of the machine's hierarchy; it says itself why that is less than all. The
    caller moves into a leaf of it."""
    unified = detect().unified
    if detect().mode != "v2" or unified is None:
        return Hierarchy({}, None, "ordinary users have no cgroups on this machine: that takes cgroup v2")
    folder = _own(unified)
    if not all(os.access(f"{folder}/{name}", os.W_OK) for name in ("", "cgroup.procs", "cgroup.subtree_control")):
        return Hierarchy({}, None, f"no cgroup is delegated to this user: {_HOW}")
    leaf = f"{folder}/{LEAF}"
    try:
        os.makedirs(leaf, exist_ok=True)
        files.write(leaf, "cgroup.procs", 0)
        available = files.read(folder, "cgroup.controllers").split()
        files.write(folder, "cgroup.subtree_control", " ".join(f"+{name}" for name in available))
    except OSError as error:
        return Hierarchy({}, None, f"the cgroup {folder} can't be divided ({error.strerror}): {_HOW}")
    return Hierarchy({}, folder, "the cgroup that is delegated to this user has no such controller")


def hand_over() -> dict[str, str]:
    """Use what is delegated and nothing else from now on. Answers with what tells ``take_over`` in other processes, by
    their environment."""
    use(found := delegated())
    return {_VARIABLE: json_text.dumps([found.unified, found.refusal])}


def take_over() -> None:
    """The same, in a process that was started so; nothing to do in others."""
    if (handed := os.environ.pop(_VARIABLE, None)) is not None:
        use(Hierarchy({}, *json_text.loads(handed)))


def _own(unified: str) -> str:
    """The folder of this process's cgroup, or of the one above it, where an earlier engine's leaf is meant."""
    with open("/proc/self/cgroup") as memberships:
        path = next((line[3:].rstrip("\n") for line in memberships if line.startswith("0::")), "/")
    return (unified + path.rstrip("/")).removesuffix(f"/{LEAF}")
