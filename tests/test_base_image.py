"""scripts/base-image: a root file system out of this machine's programs that works by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.forked import in_child
from support.sources import REPOSITORY


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("base") / "base.tar"
    subprocess.run([sys.executable, REPOSITORY / "scripts" / "base-image", "-q", target], check=True)
    return target


@pytest.fixture(scope="module")
def tree(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "fully_trusted_filter"):  # 3.11.4 and later would warn, or take the sticky bit away
            tar.extraction_filter = tarfile.fully_trusted_filter  # type: ignore[method-assign]
        tar.extractall(folder)
    return folder


def test_the_same_machine_gives_the_same_bytes(archive: Path) -> None:
    again = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "base-image", "-q", "-"], capture_output=True, check=True
    )
    assert again.stdout == archive.read_bytes()


def test_names_are_relative_unique_and_owned_by_root(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("/") or ".." in name.split("/")]
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    links = {member.name for member in members if member.issym()}
    assert not [name for name in names if any(str(parent) in links for parent in Path(name).parents)]
    assert not [member.name for member in members if member.isfile() and member.mode & 0o6000]


def test_its_size_is_sensible(archive: Path) -> None:
    assert archive.stat().st_size < 150_000_000


@pytest.mark.kernel
@pytest.mark.requires("root")
@pytest.mark.parametrize(
    ("command", "output"),
    [
        (["/bin/sh", "-c", "echo $((6 * 7)) | tr 2 3"], "43\n"),
        (["/usr/bin/env", "python3", "-c", "import json, ssl, ctypes, pwd; print(pwd.getpwuid(0)[0])"], "root\n"),
        (["/bin/sh", "-c", "id -u; ls /etc/passwd; stat -c %a /tmp"], "0\n/etc/passwd\n1777\n"),
    ],
)
def test_programs_run_inside(tree: Path, command: list[str], output: str) -> None:
    def run() -> str:
        os.chroot(tree)
        os.chdir("/")
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    assert in_child(run) == output
