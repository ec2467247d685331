"""The spawner runs through a launch before its first fork; nothing of that may be seen outside, or fail in silence."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import pytest

from engine.runtime import rehearsal
from support.forked import in_child

pytestmark = pytest.mark.requires("root", "namespaces", "mounts")
NAMES = ("mountinfo", "cgroup", "status")


def seen_outside() -> list[object]:
    """What an effect on this process, or on the machine, would change."""
    mounts, cgroup, status = (Path("/proc/self", name).read_text() for name in NAMES)
    fields = ("Cap", "Uid", "Gid", "Groups", "SigPnd", "SigBlk", "SigIgn", "SigCgt")  # SigQ counts for all of a user's
    powers = [line for line in status.splitlines() if line.startswith(fields)]
    held = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in range(3, 256) if os.path.exists(f"/proc/self/fd/{fd}"))
    return [mounts, cgroup, powers, held, os.getcwd(), socket.if_nameindex()]


def test_it_has_no_effect() -> None:
    def story() -> list[object]:
        gc.collect()  # the rehearsal does so, too, and other tests leave what closes its descriptors then
        before = seen_outside()
        rehearsal.rehearse()
        return [[one, other] for one, other in zip(before, seen_outside()) if one != other]

    assert in_child(story) == []


@pytest.mark.parametrize("part", ["_messages", "_streams", "_plans", "_evidence", "_mounts", "_shim"])
def test_every_part_runs_to_its_end(part: str) -> None:
    """What can't be rehearsed is left out, so a launch would get slower and a shim larger without a word."""
    in_child(lambda: getattr(rehearsal, part)())
