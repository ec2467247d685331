"""``--storage-opt size``: where a file system has project quotas the kernel holds a container to it, elsewhere it is
refused."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from engine.kernel import project_quota

from support.engine import Engine, base_config, root_with_base
from support.probe import DATA, IS_POSSIBLE, write_probe
from support.waiting import eventually

pytestmark = pytest.mark.kernel

MIB = 1 << 20
IOCTL = 16
MAKERS = {
    "ext4": ("mke2fs", ("-q", "-t", "ext4", "-O", "quota,project", "-E", "quotatype=prjquota"), 96),
    "xfs": ("mkfs.xfs", ("-q",), 320),
}
"""File system -> program, its arguments, and the MiB that it needs."""
FILL = "dd if=/dev/zero of=/big bs=1M count=20 2>&1; wc -c </big"


@pytest.fixture(params=MAKERS)
def limiting_engine(stopped_engine: Engine, rootfs: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Its data root lies on a file system with project quotas."""
    engine = stopped_engine
    program, arguments, mebibytes = MAKERS[request.param]
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here: install Debian's packages e2fsprogs and xfsprogs")
    disk = engine.home / "disk"
    with disk.open("wb") as file:
        file.truncate(mebibytes * MIB)
    subprocess.run([program, *arguments, str(disk)], check=True)
    engine.root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", request.param, "-o", "loop,prjquota", str(disk), str(engine.root)], capture_output=True
    )
    if mounted.returncode:
        engine.root.rmdir()
        pytest.skip(f"kernel here lacks loop devices, {request.param} or its quotas: mount says {mounted.returncode}")
    try:
        engine.root.chmod(0o711)
        subprocess.run(["cp", "-a", f"{root_with_base(rootfs)}/.", engine.root], check=True)
        engine.start()
        yield engine
    finally:
        try:
            engine.close()
        finally:
            subprocess.run(["umount", "-l", str(engine.root)], check=True)
            engine.root.rmdir()


def kernels_limit(engine: Engine, project: int) -> int:
    fd = os.open(engine.root, os.O_RDONLY)
    try:
        return project_quota.limit_bytes(fd, project)
    finally:
        os.close(fd)


def project_of(engine: Engine, name: str) -> int:
    return engine.trail(name)[0]["data"]["project"]


def test_a_container_gets_what_it_was_given_and_no_more(limiting_engine: Engine) -> None:
    engine = limiting_engine
    engine.run("-d", "--name", "small", "--storage-opt", "size=8m", "base", "sleep", "1000")
    engine.run("-d", "--name", "free", "base", "sleep", "1000")
    assert engine.inspect("small")["HostConfig"]["StorageOpt"] == {"size": "8m"}
    project = project_of(engine, "small")
    (started,) = [event for event in engine.trail("small") if event["type"] == "container.started"]
    assert started["data"]["evidence"]["writable_layer"] == {"project": project, "bytes": 8 * MIB}
    for _ in range(2):
        *said, size = engine.docket("exec", "small", "sh", "-c", FILL).stdout.splitlines()
        assert "No space left" in said[0] or "quota exceeded" in said[0], said
        assert 7 * MIB < int(size) <= 8 * MIB
        engine.docket("restart", "-t", "0", "small")  # full as it is, and its root can still be written
    assert engine.docket("exec", "free", "sh", "-c", FILL).stdout.splitlines()[-1] == str(20 * MIB)
    assert "A /big" in engine.docket("diff", "small").stdout.splitlines()
    engine.docket("rm", "-f", "small", "free")
    assert kernels_limit(engine, project) == 0
    eventually(lambda: list((engine.root / "trash").iterdir()) == [], what="its files are gone")
    engine.docket("create", "--storage-opt", "size=1g", "--name", "next", "base", "true")
    assert project_of(engine, "next") == project, "a number that nobody has any more is given again"


def test_a_copy_counts_before_the_first_start(limiting_engine: Engine, tmp_path: Path) -> None:
    engine = limiting_engine
    (tmp_path / "big").write_bytes(bytes(6 * MIB))
    for name in ("one", "two"):
        engine.docket("create", "--name", name, "--storage-opt", "size=4m", "base", "true")
    assert project_of(engine, "one") != project_of(engine, "two")
    said = engine.refused("cp", str(tmp_path / "big"), "one:/big")
    assert "No space left" in said or "quota exceeded" in said.lower(), said
    engine.docket("start", "two")


@pytest.mark.skipif(not IS_POSSIBLE, reason="kernel here has other system call numbers than the probe")
def test_nobody_inside_takes_files_out_of_the_count(limiting_engine: Engine, tmp_path: Path) -> None:
    """A file's owner may say what it counts for, and whether a folder hands that on."""
    engine = limiting_engine
    tmp_path.chmod(0o755)
    attributes = struct.pack("=5I8x", 0, 0, 0, 0, 0)
    write_probe(tmp_path / "project", IOCTL, 0, project_quota.FS_IOC_FSSETXATTR, DATA, data=attributes)
    write_probe(tmp_path / "flags", IOCTL, 0, project_quota.FS_IOC_SETFLAGS, DATA, data=bytes(8))
    engine.run("-d", "--name", "small", "--storage-opt", "size=8m", "-v", f"{tmp_path}:/p:ro", "base", "sleep", "1000")
    for probe in ("project", "flags"):
        done = engine.docket("exec", "small", "sh", "-c", f"mkdir -p /d && /p/{probe} </d", check=False)
        assert done.returncode == 1, f"{probe} is answered with {done.returncode}"  # EPERM
    upper = engine.root / "containers" / engine.inspect("small")["Id"] / "upper"
    fd = os.open(upper / "d", os.O_RDONLY)
    try:
        assert project_quota.project(fd) == project_of(engine, "small")
    finally:
        os.close(fd)


@pytest.mark.skipif(not IS_POSSIBLE, reason="kernel here has other system call numbers than the probe")
@pytest.mark.parametrize("way", ["--runtime=runc", "--runtime=crun", "--userns=remap"])
def test_other_ways_to_make_a_container_are_held_to_it(limiting_engine: Engine, tmp_path: Path, way: str) -> None:
    engine, (flag, name) = limiting_engine, way.split("=")
    if flag == "--runtime" and shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    engine.stop()
    (ranges := engine.home / "ranges").write_text("docket:300000:65536\n")
    engine.covers = {"/etc/subuid": ranges, "/etc/subgid": ranges}
    engine.start()
    tmp_path.chmod(0o755)
    attributes = struct.pack("=5I8x", 0, 0, 0, 0, 0)
    write_probe(tmp_path / "project", IOCTL, 0, project_quota.FS_IOC_FSSETXATTR, DATA, data=attributes)
    limited = ("--storage-opt", "size=8m", "-v", f"{tmp_path}:/p:ro")
    engine.run("-d", "--name", "small", way, *limited, "base", "sleep", "1000")
    for _ in range(2):
        *said, size = engine.docket("exec", "small", "sh", "-c", FILL).stdout.splitlines()
        assert "No space left" in said[0] or "quota exceeded" in said[0], said
        assert 7 * MIB < int(size) <= 8 * MIB
        engine.docket("restart", "-t", "0", "small")
    assert engine.docket("exec", "small", "sh", "-c", "/p/project </big", check=False).returncode == 1
    project = project_of(engine, "small")
    engine.docket("rm", "-f", "small")
    assert kernels_limit(engine, project) == 0


def test_the_step_fails_or_is_the_last(limiting_engine: Engine) -> None:
    engine = limiting_engine
    for term, code in (("error(EIO)", 125), ("kill", 125)):
        engine.stop()
        engine.start(failpoints=f"layer.limit={term}@{engine.home}/armed")
        (engine.home / "armed").touch()
        done = engine.docket(
            "run", "--network", "none", "--name", "small", "--storage-opt", "size=8m", "base", "true", check=False
        )
        assert done.returncode == code, done.stderr
        project = project_of(engine, "small")
        (engine.home / "armed").unlink()
        engine.docket("start", "small")
        assert kernels_limit(engine, project) == 8 * MIB
        engine.docket("rm", "-f", "small")
        assert kernels_limit(engine, project) == 0
    assert "whole" in engine.docket("audit", "verify").stdout


def test_it_is_refused_where_there_are_no_quotas(engine: Engine) -> None:
    fd = os.open(engine.root, os.O_RDONLY)
    try:
        if not project_quota.refusal(fd):
            pytest.skip("kernel here has project quotas on the tests' own file system")
    finally:
        os.close(fd)
    answer = engine.api("POST", "/containers/create", base_config("true", StorageOpt={"size": "1G"}))
    assert answer.status == 500 and "--storage-opt size is not possible in" in answer.json["message"]
    said = engine.refused("run", "--rm", "-v", "data:/x", "--storage-opt", "size=1G", "base", "true", code=125)
    assert "prjquota" in said or "neither xfs nor ext4" in said
    assert engine.api("GET", "/volumes").json["Volumes"] == []
