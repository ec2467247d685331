"""The contract of limits: the same request on v1 files, on v2 files and on the kernel, and what each must then say."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgroup_places import fixture_v1, fixture_v2, on_kernel
from engine.kernel.cgroups import Cgroup, Hierarchy, blkio, cpu, files, memory

MIB = 1 << 20

# name: (resources, {v1 file: text}, {v2 file: text})
LIMITS = {
    "memory with as much swap": (
        {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}},
        {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "134217728"},
        {"memory.max": "67108864", "memory.swap.max": "67108864"},
    ),
    "memory without swap": (
        {"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
        {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"},
        {"memory.max": "67108864", "memory.swap.max": "0"},
    ),
    "memory with unlimited swap": (
        {"memory": {"limit": 64 * MIB, "swap": -1}},
        {"memory.limit_in_bytes": "67108864"},
        {"memory.max": "67108864", "memory.swap.max": "max"},
    ),
    "memory reservation": (
        {"memory": {"reservation": 32 * MIB}},
        {"memory.soft_limit_in_bytes": "33554432"},
        {"memory.low": "33554432"},
    ),
    "cpu quota": (
        {"cpu": {"quota": 50_000, "period": 200_000}},
        {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "200000"},
        {"cpu.max": "50000 200000"},
    ),
    "cpu quota without period": (
        {"cpu": {"quota": 25_000}},
        {"cpu.cfs_quota_us": "25000", "cpu.cfs_period_us": "100000"},
        {"cpu.max": "25000 100000"},
    ),
    "cpu period without quota": (
        {"cpu": {"period": 50_000}},
        {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "50000"},
        {"cpu.max": "max 50000"},
    ),
    "cpu burst": (
        {"cpu": {"quota": 50_000, "burst": 20_000}},
        {"cpu.cfs_burst_us": "20000", "cpu.cfs_quota_us": "50000"},
        {"cpu.max.burst": "20000", "cpu.max": "50000 100000"},
    ),
    "cpu shares": ({"cpu": {"shares": 512}}, {"cpu.shares": "512"}, {"cpu.weight": "59"}),
    "cpuset": (
        {"cpu": {"cpus": "0", "mems": "0"}},
        {"cpuset.cpus": "0", "cpuset.mems": "0"},
        {"cpuset.cpus": "0", "cpuset.mems": "0"},
    ),
    "pids": ({"pids": {"limit": 50}}, {"pids.max": "50"}, {"pids.max": "50"}),
    "pids without limit": ({"pids": {"limit": -1}}, {"pids.max": "max"}, {"pids.max": "max"}),
    "block I/O weight": (
        {"blockIO": {"weight": 500}},
        {"blkio.bfq.weight": "500"},
        {"io.weight": "default 4950"},
    ),
}


@pytest.fixture(params=["v1 files", "v2 files", pytest.param("kernel", marks=pytest.mark.kernel)])
def cgroup(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cgroup]:
    if request.param == "kernel":
        with on_kernel() as made:
            yield made
    else:
        yield (fixture_v1 if request.param == "v1 files" else fixture_v2)(tmp_path, "docket/abc")


@pytest.mark.parametrize("name", LIMITS)
def test_what_was_asked_for_is_what_the_files_say(cgroup: Cgroup, name: str) -> None:
    resources, v1, v2 = LIMITS[name]
    expected = v1 if cgroup.hierarchy.trees else v2
    if not expected.keys() <= cgroup.read_limits().keys():
        pytest.skip(f"kernel {os.uname().release} lacks {' or '.join(expected)}")
    cgroup.apply(resources)
    assert {file: text for file, text in cgroup.read_limits().items() if file in expected} == expected


def test_nothing_asked_changes_nothing(cgroup: Cgroup) -> None:
    before = cgroup.read_limits()
    assert cgroup.apply({"memory": {}, "cpu": {"shares": None, "quota": 0}, "pids": None, "devices": []}) == []
    assert cgroup.read_limits() == before


def test_limits_move_both_ways(cgroup: Cgroup) -> None:
    """Memory and memory+swap must pass each other in the right order, up and down."""
    file = "memory.limit_in_bytes" if cgroup.hierarchy.is_v1("memory") else "memory.max"
    for size in (64 * MIB, 512 * MIB, 32 * MIB):
        cgroup.apply({"memory": {"limit": size, "swap": 2 * size}})
        assert cgroup.read_limits()[file] == str(size)
    cgroup.apply({"memory": {"limit": -1}})
    assert files.parse_limit(cgroup.read_limits()[file].replace("-1", "max")) is None


def test_read_limits_asks_the_kernel_again(cgroup: Cgroup) -> None:
    """Evidence is what holds, also where somebody else changed it behind our back."""
    cgroup.apply({"pids": {"limit": 50}})
    files.write(cgroup.folder("pids"), "pids.max", 77)
    assert cgroup.read_limits()["pids.max"] == "77"


REFUSED = {
    "swap below memory": ({"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}, "memory.swap", errno.EINVAL),
    "weight out of range": ({"blockIO": {"weight": 5}}, "blockIO.weight", errno.EINVAL),
    "leaf weight": ({"blockIO": {"leafWeight": 100}}, "blockIO.leafWeight", errno.EOPNOTSUPP),
    "unknown section": ({"gpu": {}}, "resources.gpu", errno.EOPNOTSUPP),
    "unknown key": ({"cpu": {"mhz": 5}}, "resources.cpu.mhz", errno.EOPNOTSUPP),
    "hole in a device rule": (
        {"devices": [{"allow": False}, {"allow": True, "type": "c", "access": "m"},
                     {"allow": False, "type": "c", "major": 1, "minor": 3}]},
        "devices", errno.EINVAL,
    ),
    "device access": ({"devices": [{"allow": True, "type": "c", "access": "rx"}]}, "devices", errno.EINVAL),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_field(cgroup: Cgroup, name: str) -> None:
    resources, field, code = REFUSED[name]
    with pytest.raises(OSError) as caught:
        cgroup.apply(resources)
    assert (caught.value.filename, caught.value.errno) == (field, code)


def test_swap_without_memory_is_refused_on_v2(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a swap limit needs a memory limit"):
        fixture_v2(tmp_path, "a/b").apply({"memory": {"swap": 64 * MIB}})


def test_swappiness_is_refused_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="swappiness 101"):
        fixture_v1(tmp_path, "a/b").apply({"memory": {"swappiness": 101}})


def test_a_missing_file_is_an_error_and_stays_missing(cgroup: Cgroup) -> None:
    """Opened without O_CREAT: what doesn't exist in a cgroup must not appear in a folder that isn't one."""
    folder = cgroup.folder("memory")
    with pytest.raises(FileNotFoundError) as caught:
        files.write(folder, "memory.no_such_file", 1)
    assert caught.value.filename == f"{folder}/memory.no_such_file"
    assert not os.path.exists(f"{folder}/memory.no_such_file")


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    lone = Cgroup("a", Hierarchy({f"{tmp_path}/pids": ("pids",)}, None))
    with pytest.raises(OSError, match="the memory cgroup controller is not available") as caught:
        lone.apply({"memory": {"limit": MIB}})
    assert caught.value.errno == errno.EOPNOTSUPP


def test_unified_values_are_written_as_they_are_on_v2_alone(tmp_path: Path) -> None:
    box = fixture_v2(tmp_path / "v2", "a/b")
    box.apply({"unified": {"memory.high": "1000000"}})
    assert box.read_limits()["memory.high"] == "1000000"
    with pytest.raises(OSError, match="not the name of a cgroup file"):
        box.apply({"unified": {"../b/memory.high": "1"}})
    with pytest.raises(OSError, match="unified resources need cgroup v2"):
        fixture_v1(tmp_path / "v1", "a/b").apply({"unified": {"memory.high": "1"}})


def test_what_v2_lacks_is_warned_of(tmp_path: Path) -> None:
    box = fixture_v2(tmp_path, "a/b")
    warnings = box.apply({"memory": {"kernel": MIB, "swappiness": 10, "disableOOMKiller": True, "kernelTCP": MIB}})
    for warning, word in zip(warnings, ("kernel memory", "OOM killer", "swappiness", "TCP"), strict=True):
        assert word in warning and "discarded" in warning


def test_swap_without_accounting_is_warned_of(tmp_path: Path) -> None:
    for box, file in (
        (fixture_v1(tmp_path / "v1", "a"), "memory.memsw.limit_in_bytes"),
        (fixture_v2(tmp_path / "v2", "a"), "memory.swap.max"),
    ):
        os.unlink(f"{box.folder('memory')}/{file}")
        assert box.apply({"memory": {"limit": MIB, "swap": 2 * MIB}}) == [memory.NO_SWAP_ACCOUNTING]
        assert box.apply({"memory": {"limit": MIB, "swap": -1}}) == []


def test_a_weight_that_no_disk_heeds_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = fixture_v1(tmp_path, "a")
    monkeypatch.setattr(blkio, "_some_disk_uses_bfq", lambda: False)
    assert box.apply({"blockIO": {"weight": 200}}) == [blkio.WEIGHT_WITHOUT_BFQ]
    monkeypatch.setattr(blkio, "_some_disk_uses_bfq", lambda: True)
    assert box.apply({"blockIO": {"weight": 200}}) == []


def test_a_kernel_without_weights_says_so(tmp_path: Path) -> None:
    box = fixture_v1(tmp_path, "a")
    os.unlink(f"{box.folder('blkio')}/blkio.bfq.weight")
    with pytest.raises(OSError, match="no block I/O weights") as caught:
        box.apply({"blockIO": {"weight": 200}})
    assert caught.value.filename == "blkio.weight"


def test_throttles_and_weights_of_devices(tmp_path: Path) -> None:
    request = {
        "blockIO": {
            "throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": MIB}],
            "throttleWriteIOPSDevice": [{"major": 254, "minor": 0, "rate": 100}],
            "weightDevice": [{"major": 254, "minor": 0, "weight": 500}],
        }
    }
    v1, v2 = fixture_v1(tmp_path / "v1", "a"), fixture_v2(tmp_path / "v2", "a")
    v1.apply(request)
    v2.apply(request)
    said = v1.read_limits()
    assert said["blkio.throttle.read_bps_device"] == "254:0 1048576"
    assert said["blkio.throttle.write_iops_device"] == "254:0 100"
    assert said["blkio.bfq.weight_device"] == "254:0 500"
    assert v2.read_limits()["io.max"] == "254:0 rbps=1048576254:0 wiops=100"  # two writes; a plain file joins them
    assert v2.read_limits()["io.weight"] == "254:0 4950"


def test_huge_pages_classes_and_rdma(tmp_path: Path) -> None:
    v1, v2 = fixture_v1(tmp_path / "v1", "a"), fixture_v2(tmp_path / "v2", "a")
    pages = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}
    v1.apply({**pages, "network": {"classID": 0x100001}})
    v2.apply({**pages, "rdma": {"mlx5_1": {"hcaHandles": 2, "hcaObjects": 2000}}})
    assert files.read(v1.folder("hugetlb"), "hugetlb.2MB.rsvd.limit_in_bytes") == str(4 * MIB)
    assert files.read(v1.folder("net_cls"), "net_cls.classid") == str(0x100001)
    assert files.read(v2.unified_folder, "hugetlb.2MB.max") == str(4 * MIB)
    assert v2.read_limits().get("rdma.max", files.read(v2.unified_folder, "rdma.max")) == (
        "mlx5_1 hca_handle=2 hca_object=2000"
    )
    with pytest.raises(OSError, match="net_cls cgroup controller is not available"):
        v2.apply({"network": {"classID": 1}})


@pytest.mark.kernel
@pytest.mark.requires("cgroups")
def test_the_kernel_refuses_with_file_and_value() -> None:
    with on_kernel() as box, pytest.raises(OSError) as caught:
        box.apply({"cpu": {"cpus": "99"}})
    assert caught.value.filename == f"{box.folder('cpuset')}/cpuset.cpus"
    assert 'writing "99"' in str(caught.value)


@pytest.mark.kernel
@pytest.mark.requires("cgroup v1")
def test_shares_beyond_the_range_are_refused_and_not_clamped() -> None:
    with on_kernel() as box, pytest.raises(OSError, match="the maximum of cpu shares is 262144, not 300000"):
        box.apply({"cpu": {"shares": 300_000}})


@pytest.mark.kernel
@pytest.mark.requires("cgroup v1")
def test_throttles_on_the_kernel() -> None:
    disk = next(iter(sorted(os.listdir("/sys/block"))), None)
    if disk is None:
        pytest.skip(f"kernel {os.uname().release} has no block device")
    major, minor = map(int, Path(f"/sys/block/{disk}/dev").read_text().split(":"))
    with on_kernel() as box:
        box.apply({"blockIO": {"throttleWriteBpsDevice": [{"major": major, "minor": minor, "rate": MIB}]}})
        assert box.read_limits()["blkio.throttle.write_bps_device"] == f"{major}:{minor} {MIB}"


def test_shares_to_weight() -> None:
    """Ends to ends, default to default, never falling."""
    assert [cpu.weight(shares) for shares in (0, 2, 1024, 262_144, 10**6)] == [1, 1, 100, 10_000, 10_000]
    weights = [cpu.weight(shares) for shares in range(2, 262_145, 111)]
    assert weights == sorted(weights)


def test_block_io_weight_scale() -> None:
    assert [blkio.io_weight(weight) for weight in (10, 500, 1000)] == [1, 4950, 10_000]


@pytest.mark.parametrize(
    ("limit", "both", "swap"),
    [(9, 27, "18"), (9, 9, "0"), (9, -1, "max"), (9, 0, None), (-1, 0, "max"), (0, 0, None), (0, -1, "max")],
)
def test_swap_alone(limit: int, both: int, swap: str | None) -> None:
    assert memory.swap_v2(limit, both) == swap


def test_counters_of_both_versions(tmp_path: Path) -> None:
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    v1, v2 = fixture_v1(tmp_path / "v1", "a").stats(), fixture_v2(tmp_path / "v2", "a").stats()
    common = {"usage_bytes": 4096, "max_usage_bytes": 8192, "limit_bytes": None, "failures": 5}
    assert v1["memory"] == {**common, "counters": {"cache": 1, "rss": 2}}
    assert v2["memory"] == {**common, "counters": {"anon": 2, "file": 1}}
    assert v1["cpu"] == {
        "usage_ns": 5000, "user_ns": 2 * tick_ns, "system_ns": tick_ns, "percpu_ns": [3000, 2000],
        "periods": 7, "throttled_periods": 3, "throttled_ns": 900,
    }  # fmt: skip
    assert v2["cpu"] == {
        "usage_ns": 5000, "user_ns": 3000, "system_ns": 2000, "percpu_ns": [],
        "periods": 7, "throttled_periods": 3, "throttled_ns": 9000,
    }  # fmt: skip
    assert v1["pids"] == v2["pids"] == {"current": 4, "limit": None}
    read = {"major": 254, "minor": 0, "value": 4096}
    for stats, kind in ((v1, "Read"), (v2, "read")):  # as Docker has them
        assert {**read, "kind": kind} in stats["block_io"]["bytes"]
        assert {**read, "kind": kind, "value": 2} in stats["block_io"]["operations"]
    assert fixture_v1(tmp_path / "v1", "a").oom_kills() == fixture_v2(tmp_path / "v2", "a").oom_kills() == 2
