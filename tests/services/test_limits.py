"""Limits are checked by Docker's rules and become the OCI specification's resources."""

from __future__ import annotations

import os
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument
from engine.services import limits

MB = 1024 * 1024


@pytest.mark.parametrize(
    "host, expected",
    [
        ({"Memory": 64 * MB}, {"memory": {"limit": 64 * MB, "swap": 128 * MB}}),
        ({"Memory": 64 * MB, "MemorySwap": -1}, {"memory": {"limit": 64 * MB, "swap": -1}}),
        ({"MemoryReservation": 32 * MB}, {"memory": {"reservation": 32 * MB}}),
        ({"NanoCpus": 500_000_000}, {"cpu": {"period": 100_000, "quota": 50_000}}),
        ({"CpuShares": 512, "CpusetCpus": "0"}, {"cpu": {"shares": 512, "cpus": "0"}}),
        ({"PidsLimit": 50}, {"pids": {"limit": 50}}),
        ({"PidsLimit": -1}, {"pids": {"limit": -1}}),
        ({"BlkioWeight": 300}, {"blockIO": {"weight": 300}}),
        ({}, {}),
    ],
)
def test_limits_become_resources(host: dict[str, Any], expected: dict[str, Any]) -> None:
    host = dict(host)
    limits.check(host)
    assert limits.resources(host) == expected


@pytest.mark.parametrize(
    "host, message",
    [
        ({"Memory": 1}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": -5}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": "64m"}, "Memory must be an integer"),
        ({"Memory": True}, "Memory must be an integer"),
        ({"MemorySwap": 64 * MB}, "You should always set the Memory limit"),
        ({"Memory": 64 * MB, "MemorySwap": 32 * MB}, "Minimum memoryswap limit should be larger"),
        ({"Memory": 64 * MB, "MemoryReservation": 65 * MB}, "can not be less than memory reservation"),
        ({"NanoCpus": -1}, "range of CPUs is from 0.01"),
        ({"NanoCpus": 10**9 * 10_000}, "range of CPUs is from 0.01"),
        ({"NanoCpus": 1}, "range of CPUs is from 0.01"),
        ({"NanoCpus": 10**9, "CpuQuota": 5000}, "conflicting options"),
        ({"CpuPeriod": 10}, "CPU cfs period"),
        ({"CpuQuota": 10}, "CPU cfs quota"),
        ({"CpuShares": -1}, "invalid CPU shares"),
        ({"CpusetCpus": "abc"}, "invalid value abc for cpuset cpus"),
        ({"CpusetCpus": str(os.cpu_count())}, "requested CPUs are not available"),
        ({"PidsLimit": -2}, "invalid pids limit"),
        ({"BlkioWeight": 5}, "range of blkio weight"),
        ({"OomScoreAdj": 1001}, "range for oom score adj"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"Ulimits": [{"Name": "nope", "Soft": 1, "Hard": 1}]}, "invalid ulimit type: nope"),
    ],
)
def test_a_bad_limit_is_one_clear_line(host: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        limits.check(dict(host))


def test_throttles_need_a_device() -> None:
    with pytest.raises(InvalidArgument, match="is not a device"):
        limits.resources({"BlkioDeviceReadBps": [{"Path": "/etc/passwd", "Rate": 1}]})
    with pytest.raises(InvalidArgument, match="No such file"):
        limits.resources({"BlkioDeviceReadBps": [{"Path": "/dev/nope", "Rate": 1}]})
