"""Finding the trees: every arrangement of mounts that is met in the wild."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.forked import in_child
from support.machine import mount, private_mounts

from engine.kernel.cgroups import Hierarchy, detect, hierarchy, parse_mountinfo

HEAD = "22 1 0:21 / /proc rw - proc proc rw\n"
V1 = (
    HEAD
    + "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs rw,mode=755\n"
    + "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    + "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    + "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd\n"
)


def test_v1_with_shared_and_named_trees() -> None:
    found = parse_mountinfo(V1)
    assert found.mode == "v1"
    assert found.trees == {
        "/sys/fs/cgroup/cpu,cpuacct": ("cpu", "cpuacct"),
        "/sys/fs/cgroup/memory": ("memory",),
        "/sys/fs/cgroup/systemd": ("name=systemd",),
    }
    assert found.controllers["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert found.is_v1("memory") and not found.is_v1("pids")


def test_hybrid_takes_controllers_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("hugetlb memory\n")
    found = parse_mountinfo(V1 + f"41 31 0:38 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    assert found.mode == "hybrid"
    assert found.controllers["hugetlb"] == str(tmp_path)
    assert found.controllers["memory"] == "/sys/fs/cgroup/memory"
    assert found.mount_points[-1] == str(tmp_path)


def test_v2_alone_and_beside_a_named_v1_tree(tmp_path: Path) -> None:
    """systemd's name= tree holds no controller, so it makes no hybrid."""
    line = f"41 31 0:38 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    assert parse_mountinfo(HEAD + line).mode == "v2"
    named = "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    assert parse_mountinfo(HEAD + named + line).mode == "v2"


def test_a_nested_container_uses_the_mount_point_and_not_the_root_of_the_mount() -> None:
    found = parse_mountinfo("33 31 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    assert found.controllers == {"memory": "/sys/fs/cgroup/memory"}


def test_the_first_mount_of_a_tree_counts_and_spaces_are_read() -> None:
    twice = "50 1 0:30 / /mnt/my\\040copy rw - cgroup cgroup rw,memory\n"
    assert parse_mountinfo(V1 + twice).controllers["memory"] == "/sys/fs/cgroup/memory"
    assert parse_mountinfo(twice).controllers["memory"] == "/mnt/my copy"


def test_hidden_mounts_do_not_count() -> None:
    hidden = parse_mountinfo(V1, lambda point, device: device != "0:30")
    assert "memory" not in hidden.controllers and "cpu" in hidden.controllers


def test_no_cgroups_at_all() -> None:
    assert parse_mountinfo(HEAD).mount_points == []


@pytest.mark.kernel
@pytest.mark.requires("mounts", "cgroup v1")
def test_v2_mounted_over_v1_is_pure_v2() -> None:
    def inside() -> list[str]:
        private_mounts()
        mount("none", "/sys/fs/cgroup", "cgroup2")
        hierarchy._detected = None
        return [detect().mode, *detect().mount_points]

    assert in_child(inside) == ["v2", "/sys/fs/cgroup"]


@pytest.mark.kernel
@pytest.mark.requires("cgroups")
def test_this_machine() -> None:
    found = detect()
    assert found is detect(), "looked up once a process"
    assert isinstance(found, Hierarchy) and "memory" in found.controllers
    assert all(os.path.isfile(f"{point}/cgroup.procs") for point in found.mount_points)
