"""Control groups, version 1, version 2 and the hybrid of both (cgroups(7), the kernel's cgroup-v1 and cgroup-v2.rst).

Vocabulary: a *tree* is one mounted cgroup file system, a *controller* limits or counts one resource and is bound to
one tree, a *cgroup* is a folder of the same path in every tree. Limits come as the OCI runtime specification's
``linux.resources``. One module a controller: ``apply_v1`` and ``apply_v2`` write to a folder and return warnings,
``LIMITS_*`` name the files that are the evidence, ``stats_*`` read counters; ``limits`` knows all of them.

    detect() -> Hierarchy          which trees this machine has
    delegated() -> Hierarchy       what of them an ordinary user was given
    Cgroup("docket/<id>")          create, apply, join, freeze, thaw, kill, remove, read_limits, stats, oom_*

Imported by the runtime's shim, so it stays light; imports the kernel package alone.
"""

from engine.kernel.cgroups.cgroup import Cgroup
from engine.kernel.cgroups.delegation import delegated, hand_over, take_over
from engine.kernel.cgroups.hierarchy import Hierarchy, detect, parse_mountinfo, use
from engine.kernel.cgroups.limits import discarded as discarded_limits

__all__ = [
    "Cgroup", "Hierarchy", "delegated", "detect", "discarded_limits", "hand_over", "parse_mountinfo",
    "take_over", "use",
]  # fmt: skip
