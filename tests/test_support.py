"""The tests' own instruments: a census that sees leaks, children that answer, waiting that ends."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.census import assert_nothing_left, take_census
from support.forked import ChildFailed, in_child
from support.machine import OWN_PREFIX, PROBES, become_ordinary, cgroup_mounts, lack, mount, private_mounts
from support.sources import REPOSITORY
from support.waiting import eventually


def test_a_child_answers_with_values_and_errors() -> None:
    assert in_child(lambda: {"a": [1, None]}) == {"a": [1, None]}
    with pytest.raises(OSError) as caught:
        in_child(lambda: os.stat("/no/such/path").st_size)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "/no/such/path")
    with pytest.raises(ChildFailed, match="ZeroDivisionError"):
        in_child(lambda: 1 // 0)
    with pytest.raises(ChildFailed, match="exit code -9"):
        in_child(lambda: os.kill(os.getpid(), 9))


def test_waiting_ends_and_says_for_what() -> None:
    values = iter([0, 0, 3])
    assert eventually(lambda: next(values)) == 3
    with pytest.raises(AssertionError, match="rain"):
        eventually(lambda: False, timeout_s=0.05, what="rain")


def test_the_census_sees_a_descriptor_a_child_and_a_file() -> None:
    before = take_census()
    reader, writer = os.pipe()
    child = subprocess.Popen(["sleep", "60"])
    file, name = tempfile.mkstemp(prefix=OWN_PREFIX)
    try:
        added = take_census().added_since(before)
        assert set(added) == {"descriptors", "processes", "temporary_files"}
        assert [item.split()[0] for item in added["processes"]] == [str(child.pid)]
        with pytest.raises(AssertionError, match="left behind"):
            assert_nothing_left(before, timeout_s=0.05)
    finally:
        for fd in (reader, writer, file):
            os.close(fd)
        os.unlink(name)
        child.kill()
        child.wait()
    assert_nothing_left(before)


@pytest.mark.requires("root", "namespaces", "mounts")
def test_the_census_sees_a_mount(tmp_path: Path) -> None:
    def story() -> list[str]:
        private_mounts()
        before = take_census()
        mount("tmpfs", str(tmp_path), "tmpfs")
        return take_census().added_since(before)["mounts"]

    assert in_child(story) == [f"{tmp_path} (tmpfs)"]


@pytest.mark.requires("root", "cgroups")
def test_the_census_sees_a_cgroup() -> None:
    before = take_census()
    folder = next(iter(cgroup_mounts().values())) / f"{OWN_PREFIX}census"
    folder.mkdir()
    try:
        assert take_census().added_since(before) == {"cgroups": [str(folder)]}
    finally:
        folder.rmdir()


@pytest.mark.requires("user namespaces")
def test_the_lack_of_root_is_seen() -> None:
    def story() -> str:
        become_ordinary()
        done = subprocess.run(
            [sys.executable, "-c", "from support.machine import lack; print(lack('root'))"],
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    assert "not root" in in_child(story)


@pytest.mark.parametrize("capability", PROBES)
def test_a_lack_is_one_line(capability: str) -> None:
    reason = lack(capability)
    assert reason is None or reason and "\n" not in reason and not reason.endswith(".")


SKIPPING = '''
import pytest
def test_passes(): pass
@pytest.mark.skip(reason="{reason}")
def test_skips(): pass
'''


@pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")
@pytest.mark.parametrize(
    ("reason", "strict", "code"),
    [("laziness", "1", 1), ("laziness", "", 0), ("CAP_SYS_RESOURCE is missing: x", "1", 0)],
)
def test_skips_are_honest(tmp_path: Path, reason: str, strict: str, code: int) -> None:
    """A run with a skip that the list doesn't allow fails, where the machine has no excuse."""
    Path(tmp_path, "test_skipping.py").write_text(SKIPPING.format(reason=reason))
    path = f"{REPOSITORY}:{REPOSITORY / 'tests'}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "setup.cfg", "-p", "no:cacheprovider", "-p", "conftest", tmp_path],
        cwd=REPOSITORY, env={**os.environ, "DOCKET_TEST_STRICT_SKIPS": strict, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert f"1 skipped: {reason}" in done.stdout
    assert done.stdout.splitlines()[-1].strip("= ").startswith("1 passed, 1 skipped in")
