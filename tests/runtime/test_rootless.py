"""The parts of an ordinary user's engine: ids, delegated cgroups, programs for the network, foreign owners."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from engine.images.jobs import unpack_layer
from engine.kernel.cgroups import Cgroup, Hierarchy, delegated, discarded_limits, hierarchy
from engine.kernel.namespaces import forget_mapped_ids
from engine.runtime.subordinate_ids import Range, ranges
from engine.runtime.user_network import pasta_arguments, slirp_arguments
from support.forked import in_child
from support.machine import become_ordinary


def test_ranges_of_a_user(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    assert ranges(path, "root") == []
    path.write_text("other:1:2\nroot:100:5\n0:200:6\nroot:x:6\nroot:1\nroot:300:7:8\n\n")
    assert ranges(path, "root") == [Range(100, 5), Range(200, 6)]
    assert ranges(path, "nobody at all") == []


def port(protocol: str, inside: int, address: str, outside: int) -> dict[str, Any]:
    return {"protocol": protocol, "container_port": inside, "host_address": address, "host_port": outside}


def test_what_pasta_is_told() -> None:
    ports = [port("tcp", 80, "0.0.0.0", 8000), port("tcp", 81, "::1", 8001), port("udp", 53, "127.0.0.1", 53)]
    words = pasta_arguments({"ports": ports}, "/netns", "/pid", online=True)
    pairs = list(zip(words, words[1:]))
    assert [value for flag, value in pairs if flag == "-t"] == ["8000:80", "::1/8001:81"]
    assert [value for flag, value in pairs if flag == "-u"] == ["127.0.0.1/53:53"]
    assert {("-T", "none"), ("-U", "none"), ("--netns", "/netns"), ("--pid", "/pid")} <= set(pairs)
    assert "--no-map-gw" in words and "-a" not in words
    words = pasta_arguments({"ports": []}, "/netns", "/pid", online=False)
    assert {("-t", "none"), ("-u", "none"), ("-a", "10.0.2.100")} <= set(zip(words, words[1:]))


def test_what_slirp_is_told() -> None:
    words = slirp_arguments("/netns", "/api", 7)
    assert "--disable-host-loopback" in words and "--ready-fd=7" in words and words[-2:] == ["/netns", "tap0"]


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    """The v2 tree of a machine that this process's cgroup is the root of."""
    before = hierarchy.detect()
    for name, text in (("cgroup.procs", ""), ("cgroup.subtree_control", ""), ("cgroup.controllers", "memory pids\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "docket-engine").mkdir()
    (tmp_path / "docket-engine/cgroup.procs").touch()
    hierarchy.use(Hierarchy({}, str(tmp_path)))
    yield tmp_path
    hierarchy.use(before)


def test_a_cgroup_that_is_delegated_is_divided(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.kernel.cgroups.delegation._own", lambda unified: unified)
    found = delegated()
    assert found.unified == str(machine) and found.mode == "v2" and set(found.controllers) == {"memory", "pids"}
    assert (machine / "docket-engine/cgroup.procs").read_text() == "0"
    assert (machine / "cgroup.subtree_control").read_text() == "+memory +pids"
    limits = {"memory": {"limit": 1 << 26}, "cpu": {"quota": 5, "cpus": "0"}, "pids": {"limit": 0}}
    (warning,) = discarded_limits(limits, found)
    assert warning.startswith("limits are discarded (cpuset, cpu): ")


def test_without_a_cgroup_limits_are_discarded(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.kernel.cgroups.delegation._own", lambda unified: f"{unified}/missing")
    found = delegated()
    assert not found.mount_points and "systemd-run" in found.refusal
    cgroup = Cgroup("docket/x", found)
    cgroup.create()
    assert cgroup.pids() == [] and cgroup.read_limits() == {} and cgroup.stats() == {} and not cgroup.exists()
    (warning,) = cgroup.apply({"memory": {"limit": 1 << 26}, "devices": [{"allow": False, "access": "rwm"}]})
    assert "(memory)" in warning
    with pytest.raises(OSError, match="delegated"):
        cgroup.freeze()
    cgroup.kill()
    cgroup.remove()


@pytest.mark.kernel
@pytest.mark.requires("root", "cgroup v2")
def test_limits_in_a_cgroup_that_really_is_delegated() -> None:
    """To an ordinary user, who has power over nothing else there."""
    unified = Path(str(hierarchy.detect().unified))
    folder = unified / f"docket-test-delegated-{os.getpid()}"
    (unified / "cgroup.subtree_control").write_text("+memory +pids")
    folder.mkdir()
    for path in (folder, *(folder / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, 1000, 1000)

    def story() -> list[Any]:
        (folder / "cgroup.procs").write_text("0")
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        found = delegated()
        hierarchy.use(found)
        cgroup = Cgroup("engine/one")
        cgroup.create()
        warnings = cgroup.apply({"memory": {"limit": 1 << 26}, "pids": {"limit": 3}, "cpu": {"quota": 50_000}})
        if (child := os.fork()) == 0:
            cgroup.enter()
            time.sleep(100)
            os._exit(0)
        while child not in cgroup.pids():
            continue
        limits = cgroup.read_limits()
        cgroup.freeze()
        cgroup.thaw()
        cgroup.kill()
        os.waitpid(child, 0)
        cgroup.remove()
        return [found.unified, limits["memory.max"], limits["pids.max"], warnings]

    try:
        where, memory, pids, (warning,) = in_child(story)
        assert (where, memory, pids) == (str(folder), str(1 << 26), "3") and "cpu" in warning
    finally:
        for left in ("engine", "docket-engine", ""):
            if (folder / left).exists():
                (folder / left).rmdir()


@pytest.mark.requires("user namespaces", "user mounts")
def test_layers_in_a_namespace_of_one_id(tmp_path: Path) -> None:
    """Foreign owners become root's, devices are left out, both are said; whiteouts are what overlay wants there."""
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        for name, kind, uid in (
            ("own", tarfile.REGTYPE, 0), ("foreign", tarfile.REGTYPE, 1000), ("folder", tarfile.DIRTYPE, 5),
            ("disk", tarfile.BLKTYPE, 0), (".wh.gone", tarfile.REGTYPE, 7), ("folder/.wh..wh..opq", tarfile.REGTYPE, 0),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.uid, info.gid, info.mode, info.devmajor = kind, uid, uid, 0o755, 8
            tar.addfile(info, io.BytesIO(b""))

    def story() -> list[Any]:
        become_ordinary(0)
        forget_mapped_ids()
        done = unpack_layer({"blob": str(tmp_path / "layer.tar"), "target": str(tmp_path / "layer")}, [])
        return [done["warnings"], os.getxattr(tmp_path / "layer/folder", "user.overlay.opaque").decode()]

    warnings, opaque = in_child(story)
    assert opaque == "y" and len(warnings) == 2 and warnings[0].startswith("3 entries") and "1 device" in warnings[1]
    assert sorted(os.listdir(tmp_path / "layer")) == ["folder", "foreign", "gone", "own"]
    gone = (tmp_path / "layer/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    assert (tmp_path / "layer/foreign").stat().st_uid == os.getuid()
