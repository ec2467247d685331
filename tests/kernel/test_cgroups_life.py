"""The life of a cgroup on the kernel: made, joined, frozen, killed, removed, with nothing left behind."""

from __future__ import annotations

import errno
import mmap
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.forked import in_child
from support.machine import OWN_PREFIX
from support.waiting import eventually

from cgroup_places import fixture_v1, fixture_v2, on_kernel, on_v2_tree
from engine.kernel.cgroups import Cgroup, Hierarchy, detect, files

pytestmark = [pytest.mark.kernel, pytest.mark.requires("cgroups")]

MIB = 1 << 20


def v1_only() -> AbstractContextManager[Cgroup]:
    """The v1 trees alone, as on a machine that has no v2 tree beside them: no cgroup.kill, no cgroup.freeze."""
    found = detect()
    if not found.is_v1("freezer"):
        pytest.skip("cgroup v1 controllers are not mounted here")
    return on_kernel(Hierarchy(found.trees, None))


def v2_tree() -> AbstractContextManager[Cgroup]:
    if detect().unified is None:
        pytest.skip("kernel here lacks a mounted v2 tree")
    return on_v2_tree()


@pytest.fixture(params=[on_kernel, v1_only, v2_tree], ids=["machine", "v1 alone", "v2 tree"])
def cgroup(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    with request.param() as made:
        yield made


def fork_into(cgroup: Cgroup, work: Callable[[], object] = signal.pause) -> int:
    """A child that joins by itself, says so, works, and never returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            cgroup.join(0)
            os.write(writer, b"!")
            os.close(writer)
            work()
        finally:
            os._exit(99)
    os.close(writer)
    with os.fdopen(reader, "rb") as joined:
        assert joined.read(1), "the child joins"
    return pid


def exit_status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_process_is_in_every_tree(cgroup: Cgroup) -> None:
    pid = fork_into(cgroup)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert sum(line.endswith(cgroup.path) for line in lines) == len(cgroup.folders)
    assert cgroup.pids() == [pid]
    for folder in cgroup.folders.values():
        assert str(pid) in files.read(folder, "cgroup.procs").split()


def test_join_moves_another_process_and_names_one_that_is_gone(cgroup: Cgroup) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(99)
    cgroup.join(pid)
    assert cgroup.pids() == [pid]
    cgroup.kill()
    assert exit_status(pid) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError, match=f'writing "{pid}"'):
        cgroup.join(pid)


def test_kill_takes_all_and_waits(cgroup: Cgroup) -> None:
    pids = sorted(fork_into(cgroup) for _ in range(3))
    assert cgroup.pids() == pids
    cgroup.kill()
    assert cgroup.pids() == []
    assert [exit_status(pid) for pid in pids] == [-signal.SIGKILL] * 3
    cgroup.kill()


def test_kill_is_done_where_somebody_else_removes_the_cgroup_meanwhile(
    cgroup: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the shim of a container does that is ended and removed at once."""
    fork_into(cgroup)
    took, is_empty = cgroup.pids(), Cgroup.pids

    def removed(self: Cgroup, **how: bool) -> None:
        for pid in took:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        cgroup.remove()
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "freezer.state")

    monkeypatch.setattr(Cgroup, "_kill_now", removed)
    cgroup.kill()
    assert is_empty(cgroup) == [] and not cgroup.exists()


def test_kill_reaches_cgroups_below(cgroup: Cgroup) -> None:
    below = Cgroup(f"{cgroup.path}/inner/most", cgroup.hierarchy)
    below.create()
    pid = fork_into(below)
    assert cgroup.pids() == [pid]
    cgroup.kill()
    assert exit_status(pid) == -signal.SIGKILL
    cgroup.remove()
    assert not cgroup.exists() and not below.exists()


def test_kill_takes_what_is_frozen(cgroup: Cgroup) -> None:
    pid = fork_into(cgroup)
    cgroup.freeze()
    cgroup.kill()
    assert exit_status(pid) == -signal.SIGKILL


@pytest.mark.requires("cgroup v1")
def test_kill_takes_what_somebody_froze_with_v1() -> None:
    """On a hybrid cgroup.kill alone would wait for ever: a process frozen by v1 takes no signal."""
    with on_kernel() as box:
        pid = fork_into(box)
        files.write(box.folder("freezer"), "freezer.state", "FROZEN")
        box.kill()
        assert exit_status(pid) == -signal.SIGKILL


def bomb() -> None:
    """Every process forks and ends, so that pids never stand still, up to the limit."""
    while True:
        try:
            if os.fork():
                os._exit(0)
            os.fork()
        except BlockingIOError:
            continue


def test_kill_ends_a_fork_bomb(cgroup: Cgroup) -> None:
    has_pids = cgroup.folder("pids") is not None
    if has_pids:
        cgroup.apply({"pids": {"limit": 60}})
    first = os.fork()
    if first == 0:
        cgroup.join(0)
        bomb() if has_pids else chains()
    eventually(lambda: len(cgroup.pids()) > 5, what="the bomb goes off")
    cgroup.kill()
    assert cgroup.pids() == []
    os.waitpid(first, 0)


def chains() -> None:
    """Eight chains in which each process forks its successor and ends: always new pids, and no limit is needed."""
    for _ in range(3):
        os.fork()
    while os.fork() == 0:
        pass
    os._exit(0)


def test_freeze_stops_and_thaw_goes_on(cgroup: Cgroup) -> None:
    counter = mmap.mmap(-1, 8)

    def count() -> None:
        while True:
            counter[:8] = (int.from_bytes(counter[:8], "little") + 1).to_bytes(8, "little")

    fork_into(cgroup, count)
    eventually(lambda: counter[:8] != bytes(8), what="the child counts")
    cgroup.freeze()
    assert cgroup.is_frozen()
    stood_at = counter[:8]
    for _ in range(5):
        os.sched_yield()
        time.sleep(0.001)
        assert counter[:8] == stood_at
    cgroup.thaw()
    assert not cgroup.is_frozen()
    eventually(lambda: counter[:8] != stood_at, what="the child counts on")


def test_remove_does_not_kill(cgroup: Cgroup) -> None:
    pid = fork_into(cgroup)
    with pytest.raises(OSError, match=f"processes: {pid}") as caught:
        cgroup.remove(timeout_s=0.02)
    assert caught.value.errno == errno.EBUSY
    assert pid in cgroup.pids()
    cgroup.kill()
    cgroup.remove()
    cgroup.remove()  # what is gone is no error
    assert not cgroup.exists()


def test_create_replaces_an_empty_leftover(cgroup: Cgroup) -> None:
    inner = Cgroup(f"{cgroup.path}/inner", cgroup.hierarchy)
    inner.create()
    if cgroup.folder("pids"):
        cgroup.apply({"pids": {"limit": 5}})
    cgroup.create()
    assert not inner.exists()
    assert cgroup.read_limits().get("pids.max", "max") == "max"


def test_create_leaves_others_processes_alone(cgroup: Cgroup) -> None:
    pid = fork_into(cgroup)
    with pytest.raises(FileExistsError):
        cgroup.create()
    assert cgroup.pids() == [pid]


def test_create_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A tree that can't be written to (a read-only mount) must not leave folders in the others."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.write_text("")
    with pytest.raises(NotADirectoryError):
        Cgroup("box", Hierarchy({str(good): ("pids",), str(bad): ("memory",)}, None)).create()
    assert os.listdir(good) == []


@pytest.mark.parametrize("path", ["", "/", "a/../b", "a//b", "./a"])
def test_paths_that_leave_the_tree_are_refused(path: str) -> None:
    with pytest.raises(OSError, match="no empty, . or .. parts"):
        Cgroup(path, Hierarchy({}, None))


@pytest.mark.requires("cgroup v1")
def test_cpusets_are_inherited_through_empty_parents() -> None:
    with on_kernel() as box:
        deep = Cgroup(f"{box.path}/one/two", box.hierarchy)
        deep.create()
        fork_into(deep)  # ENOSPC where a cpuset on the way is empty
        assert deep.read_limits()["cpuset.cpus"] == files.read(f"{box.hierarchy.controllers['cpuset']}", "cpuset.cpus")


def eat(size: int) -> mmap.mmap:
    """Memory that is really used, for as long as the caller keeps it."""
    block = mmap.mmap(-1, size)
    for offset in range(0, size, 4096):
        block[offset] = 1
    return block


def test_the_oom_killer_is_seen() -> None:
    with on_kernel() as box:
        box.apply({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
        watch = box.oom_watch_fd()
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            assert box.oom_kills() == 0 and poll.poll(0) == []
            pid = fork_into(box, lambda: eat(64 * MIB))
            assert exit_status(pid) == -signal.SIGKILL
            assert poll.poll(5000), "the watch gets readable"
            assert os.read(watch, 4096)
            eventually(lambda: box.oom_kills() == 1, what="the kill is counted")
        finally:
            os.close(watch)


def test_limits_hold_on_the_kernel() -> None:
    """pids.max is not only a number in a file."""

    def forks_until_refused() -> int:
        made = []
        try:
            for _ in range(30):
                pid = os.fork()
                if pid == 0:
                    signal.pause()
                made.append(pid)
        except BlockingIOError:
            pass
        for pid in made:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return len(made)

    with on_kernel() as box:
        box.apply({"pids": {"limit": 10}})

        def inside() -> int:
            box.join(0)
            return forks_until_refused()

        assert in_child(inside) == 9  # and the child itself


def test_counters_move() -> None:
    with on_kernel() as box:
        fork_into(box, lambda: [eat(8 * MIB), signal.pause()])
        eventually(lambda: box.stats()["memory"]["usage_bytes"] > 8 * MIB, what="memory is charged")
        stats = box.stats()
        assert stats["pids"] == {"current": 1, "limit": None}
        assert stats["cpu"]["usage_ns"] > 0


# --- what needs no kernel -----------------------------------------------------------------------------------------


def test_v2_hands_controllers_down(tmp_path: Path) -> None:
    box = fixture_v2(tmp_path, "docket/abc")
    box.hand_down(box.hierarchy.unified_controllers)
    everything = {f"+{name}" for name in box.hierarchy.unified_controllers}
    assert set(files.read(str(tmp_path), "cgroup.subtree_control").split()) == everything
    assert set(files.read(f"{tmp_path}/docket", "cgroup.subtree_control").split()) == everything
    assert files.read(f"{tmp_path}/docket/abc", "cgroup.subtree_control") == "", "the container's own is its own"


def test_cloning_into_a_cgroup_needs_a_v2_tree(tmp_path: Path) -> None:
    fd = fixture_v2(tmp_path / "v2", "a").v2_fd()
    os.close(fd)
    with pytest.raises(OSError, match="no cgroup v2 tree"):
        fixture_v1(tmp_path / "v1", "a").v2_fd()


def test_kill_without_freezer_stops_forks_first(tmp_path: Path) -> None:
    """No freezer and no cgroup.kill: pids.max 0 keeps a bomb from outrunning the signals."""
    box = fixture_v1(tmp_path, "a")
    bare = Cgroup("a", Hierarchy({f"{tmp_path}/pids": ("pids",)}, None))
    pid = os.fork()
    if pid == 0:
        signal.pause()
    procs = Path(f"{box.folder('pids')}/cgroup.procs")
    procs.write_text(f"{pid}\n")
    with pytest.raises(TimeoutError, match="don't die"):
        bare.kill(timeout_s=0.02)  # plain files don't empty themselves
    assert exit_status(pid) == -signal.SIGKILL
    assert files.read(box.folder("pids"), "pids.max") == "0"


def test_join_beside_the_first_process(tmp_path: Path) -> None:
    """Where the container's init hands controllers down, an exec joins init's own folder."""
    if detect().unified is None or not detect().unified_controllers:
        pytest.skip("cgroup v2 with controllers is not mounted here: no controller to hand down")
    controller = detect().unified_controllers[0]
    root = detect().unified
    before = files.read(root, "cgroup.subtree_control").split()
    if controller not in before:
        files.write(root, "cgroup.subtree_control", f"+{controller}")
    try:
        _check_join_beside(f"{root}/{OWN_PREFIX}beside", controller)
    finally:
        if controller not in before:
            files.write(root, "cgroup.subtree_control", f"-{controller}")


def _check_join_beside(part: str, controller: str) -> None:
    os.mkdir(part)
    try:
        files.write(part, "cgroup.subtree_control", f"+{controller}")
        with on_kernel(Hierarchy({}, part)) as box:
            init_place = Cgroup(f"{box.path}/init.scope", box.hierarchy)
            init_place.create()
            init = fork_into(init_place)
            files.write(box.unified_folder, "cgroup.subtree_control", f"+{controller}")
            joiner = os.fork()
            if joiner == 0:
                signal.pause()
            with pytest.raises(OSError) as caught:
                box.join(joiner)
            assert caught.value.errno == errno.EBUSY
            box.join(joiner, beside=init)
            assert init_place.pids() == sorted((init, joiner))
    finally:
        os.rmdir(part)
