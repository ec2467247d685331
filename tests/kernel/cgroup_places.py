"""Where the contract of ``Cgroup`` is tested: folders with a kernel's files in them, and the kernel itself."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.kernel.cgroups import Cgroup, Hierarchy, detect

from support.machine import OWN_PREFIX

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls")
V1_FILES = {
    "cpu": {"cpu.shares": "1024", "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "0",
            "cpu.idle": "0", "cpu.rt_period_us": "1000000", "cpu.rt_runtime_us": "0",
            "cpu.stat": "nr_periods 7\nnr_throttled 3\nthrottled_time 900\n"},
    "cpuacct": {"cpuacct.usage": "5000", "cpuacct.usage_percpu": "3000 2000 ", "cpuacct.stat": "user 2\nsystem 1\n"},
    "cpuset": {"cpuset.cpus": "0-1", "cpuset.mems": "0"},
    "memory": {"memory.limit_in_bytes": "9223372036854771712", "memory.memsw.limit_in_bytes": "9223372036854771712",
               "memory.soft_limit_in_bytes": "9223372036854771712", "memory.swappiness": "60",
               "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "memory.usage_in_bytes": "4096",
               "memory.max_usage_in_bytes": "8192", "memory.failcnt": "5", "memory.stat": "cache 1\nrss 2\n",
               "memory.kmem.tcp.limit_in_bytes": "9223372036854771712"},
    "devices": {"devices.list": "a *:* rwm\n", "devices.allow": "", "devices.deny": ""},
    "freezer": {"freezer.state": "THAWED"},
    "blkio": {"blkio.bfq.weight": "100", "blkio.bfq.weight_device": "", "blkio.throttle.read_bps_device": "",
              "blkio.throttle.write_bps_device": "", "blkio.throttle.read_iops_device": "",
              "blkio.throttle.write_iops_device": "",
              "blkio.throttle.io_service_bytes_recursive": "254:0 Read 4096\n254:0 Write 1\nTotal 4097\n",
              "blkio.throttle.io_serviced_recursive": "254:0 Read 2\nTotal 2\n"},
    "pids": {"pids.max": "max", "pids.current": "4"},
    "hugetlb": {"hugetlb.2MB.limit_in_bytes": "0", "hugetlb.2MB.rsvd.limit_in_bytes": "0"},
    "net_cls": {"net_cls.classid": "0"},
}  # fmt: skip
V2_FILES = {
    "cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc", "cgroup.subtree_control": "",
    "cgroup.events": "populated 0\nfrozen 0\n", "cgroup.freeze": "0",
    "cpu.weight": "100", "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.idle": "0",
    "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 3\nthrottled_usec 9\n",
    "cpuset.cpus": "", "cpuset.mems": "", "cpuset.cpus.effective": "0-1", "cpuset.mems.effective": "0",
    "memory.max": "max", "memory.swap.max": "max", "memory.low": "0", "memory.high": "max", "memory.oom.group": "0",
    "memory.current": "4096", "memory.peak": "8192", "memory.stat": "anon 2\nfile 1\n",
    "memory.events": "low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\noom_group_kill 0\n",
    "io.max": "", "io.weight": "default 100", "io.stat": "254:0 rbytes=4096 wbytes=1 rios=2 wios=1 dbytes=0 dios=0\n",
    "pids.max": "max", "pids.current": "4", "hugetlb.2MB.max": "0", "hugetlb.2MB.rsvd.max": "0", "rdma.max": "",
}  # fmt: skip


def fill(folder: Path, contents: dict[str, str]) -> None:
    """What the kernel does when a cgroup is made: the files are there at once."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"cgroup.procs": "", **contents}.items():
        (folder / name).write_text(text)


def fixture_v1(root: Path, path: str) -> Cgroup:
    """A cgroup of a v1 machine, as files."""
    for controller in V1_CONTROLLERS:
        fill(root / controller, V1_FILES[controller])
        fill(root / controller / path, V1_FILES[controller])
    return Cgroup(path, Hierarchy({f"{root}/{name}": (name,) for name in V1_CONTROLLERS}, None))


def fixture_v2(root: Path, path: str) -> Cgroup:
    """A cgroup of a v2 machine, as files."""
    for folder in (root, (root / path).parent, root / path):
        fill(folder, V2_FILES)
    return Cgroup(path, Hierarchy({}, str(root)))


@contextmanager
def on_kernel(hierarchy: Hierarchy | None = None, *, create: bool = True) -> Iterator[Cgroup]:
    """A cgroup of this machine, under a parent of its own; both are gone afterwards, whatever the test left inside."""
    parent = Cgroup(f"{OWN_PREFIX}{random.getrandbits(48):012x}", hierarchy or detect())
    cgroup = Cgroup(f"{parent.path}/box", parent.hierarchy)
    parent.create()
    try:
        if create:
            cgroup.create()
        yield cgroup
    finally:
        cgroup.thaw() if cgroup.exists() else None
        parent.kill()
        reap_all()
        parent.remove()


@contextmanager
def on_v2_tree() -> Iterator[Cgroup]:
    """A cgroup in a part of the v2 tree that a test has to itself, as if nothing but v2 were there.

    On a hybrid machine that tree has no controllers; kill, freeze and device programs need none.
    """
    tree = detect().unified
    part = f"{tree}/{OWN_PREFIX}{random.getrandbits(48):012x}"
    os.mkdir(part)
    try:
        with on_kernel(Hierarchy({}, part)) as cgroup:
            yield cgroup
    finally:
        os.rmdir(part)


def reap_all() -> None:
    """Wait for the children that a kill ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return
