"""The default seccomp profile, Docker's own (see ``seccomp-default.txt`` for its origin and licence)."""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from engine.kernel import seccomp
from engine.kernel.project_quota import FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS

_profile: dict | None = None


_WORD = 0xFFFF
"""An ioctl's kind and number; above them are direction and size, by which the 32-bit ones differ."""


def default_seccomp(bounding: Collection[str], *, keeps_projects: bool = False) -> dict:
    """The default as a specification's ``linux.seccomp``, for a container with this bounding set of capabilities. One
    that ``keeps_projects`` can't take its files out of a project's quota, which their owner may."""
    global _profile
    if _profile is None:
        with open(os.path.join(os.path.dirname(__file__), "seccomp-default.json")) as file:
            _profile = json.load(file)
    resolved = seccomp.resolve(_profile, bounding)
    return _keeping_projects(resolved) if keeps_projects else resolved


def _keeping_projects(resolved: dict) -> dict:
    rules = [{**rule, "names": [name for name in rule["names"] if name != "ioctl"]} for rule in resolved["syscalls"]]
    args = all_ioctls_but(FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS)
    return {**resolved, "syscalls": [*rules, {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args}]}


def all_ioctls_but(one: int, other: int) -> list[dict]:
    """What a profile of permissions has no word for, as alternatives: a bit is unlike what both have there; or, of two
    bits in which they differ, the first is like the one's and the second like the other's. Taken in a ring, those
    leave no mixture of the two out."""
    bits = [1 << number for number in range(_WORD.bit_length())]
    ring = [bit for bit in bits if (one ^ other) & bit]
    accepted = [(bit, ~one & bit) for bit in bits if bit not in ring]
    accepted += [(bit | after, one & bit | other & after) for bit, after in zip(ring, [*ring[1:], ring[0]])]
    return [
        {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value} for mask, value in accepted
    ]  # fmt: skip
