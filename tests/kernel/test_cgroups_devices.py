"""Device rules: what they mean, and that the kernel holds to it on v1 (lists) and on v2 (an eBPF program)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forked import in_child

from cgroup_places import fixture_v1, on_kernel, on_v2_tree
from engine.kernel.cgroups import Cgroup, Hierarchy, detect, device_program, devices, files

DENY_ALL = {"allow": False, "access": "rwm"}


def allow(kind: str, major: int | None, minor: int | None, access: str = "rwm") -> dict:
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


def deny(kind: str, major: int | None, minor: int | None, access: str = "rwm") -> dict:
    return {**allow(kind, major, minor, access), "allow": False}


# rules -> (default, exceptions)
MEANINGS = [
    ([], True, []),
    ([DENY_ALL], False, []),
    ([{"allow": True}], True, []),
    ([DENY_ALL, allow("c", 1, 3), allow("c", None, None, "m")], False, ["c *:* m", "c 1:3 rwm"]),
    ([DENY_ALL, allow("c", -1, -1, "m")], False, ["c *:* m"]),
    ([DENY_ALL, allow("c", 1, 3, "rw"), allow("c", 1, 3, "m")], False, ["c 1:3 rwm"]),
    ([DENY_ALL, allow("c", 1, 3), deny("c", 1, 3, "w")], False, ["c 1:3 rm"]),
    ([DENY_ALL, allow("c", 1, 3), deny("c", 1, None)], False, []),
    ([DENY_ALL, allow("c", 1, 3), DENY_ALL], False, []),
    ([DENY_ALL, allow("a", None, None, "m")], False, ["b *:* m", "c *:* m"]),
    ([DENY_ALL, allow("u", 10, 229)], False, ["c 10:229 rwm"]),
    ([deny("b", 8, 0, "w")], True, ["b 8:0 w"]),
    ([deny("b", 8, 0), allow("b", 8, 0)], True, []),
    ([DENY_ALL, allow("c", 1, 3), deny("c", 1, 5)], False, ["c 1:3 rwm"]),
]


@pytest.mark.parametrize(("rules", "allows", "lines"), MEANINGS)
def test_meaning(rules: list[dict], allows: bool, lines: list[str]) -> None:
    policy = devices.resolve(rules)
    assert (policy.allows, policy.lines()) == (allows, lines)


@pytest.mark.parametrize(
    "rule", [{"allow": True, "type": "x"}, {"allow": True, "type": "p"}, {"allow": True, "type": "c", "access": "rwx"}]
)
def test_rules_that_mean_nothing_are_refused(rule: dict) -> None:
    with pytest.raises(OSError):
        devices.resolve([DENY_ALL, rule])


def test_v1_changes_a_live_list_without_a_gap(tmp_path: Path) -> None:
    """Only the difference is written: deny-all first would take /dev/null from a running program for a moment."""
    box = fixture_v1(tmp_path, "a")
    folder = Path(box.folder("devices"))
    (folder / "devices.list").write_text("c 1:3 rwm\nc 5:0 rwm\n")
    box.apply({"devices": [DENY_ALL, allow("c", 1, 3), allow("c", 1, 5)]})
    assert (folder / "devices.allow").read_text() == "c 1:5 rwm"
    assert (folder / "devices.deny").read_text() == "c 5:0 rwm"


# --- on the kernel -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["v1", "v2"])
def cgroup(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    if request.param == "v1":
        if not detect().is_v1("devices"):
            pytest.skip("cgroup v1 controllers are not mounted here")
        with on_kernel(Hierarchy(detect().trees, None)) as made:
            yield made
    elif detect().unified is None:
        pytest.skip("kernel here lacks a mounted v2 tree")
    else:
        with on_v2_tree() as made:
            yield made


OPENS = {"read null": ("/dev/null", os.O_RDONLY), "write null": ("/dev/null", os.O_WRONLY),
         "read zero": ("/dev/zero", os.O_RDONLY), "write zero": ("/dev/zero", os.O_WRONLY)}  # fmt: skip

# name: (rules, what is possible of: the opens, mknod of the null device, mknod of a block device)
DEEDS = {
    "all": ([{"allow": True}], {*OPENS, "mknod null", "mknod block"}),
    "nothing": ([DENY_ALL], set()),
    "null alone": ([DENY_ALL, allow("c", 1, 3)], {"read null", "write null", "mknod null"}),
    "null to read": ([DENY_ALL, allow("c", 1, 3, "r")], {"read null"}),
    "the memory devices, no mknod": ([DENY_ALL, allow("c", 1, None, "rw")], set(OPENS)),
    "mknod alone": ([DENY_ALL, allow("a", None, None, "m")], {"mknod null", "mknod block"}),
    "all but writing zero": (
        [deny("c", 1, 5, "w")],
        {"read null", "write null", "read zero", "mknod null", "mknod block"},
    ),
    "all but block devices": ([deny("b", None, None)], {*OPENS, "mknod null"}),
}


def deeds(cgroup: Cgroup, folder: Path) -> list[str]:
    """What a process in the cgroup can do."""
    cgroup.join(0)
    done = []
    for name, (path, flags) in OPENS.items():
        try:
            os.close(os.open(path, flags))
            done.append(name)
        except PermissionError:
            pass
    for name, kind, device in (("null", stat.S_IFCHR, os.makedev(1, 3)), ("block", stat.S_IFBLK, os.makedev(7, 250))):
        try:
            os.mknod(folder / name, kind | 0o600, device)
            os.unlink(folder / name)
            done.append(f"mknod {name}")
        except PermissionError:
            pass
    return done


@pytest.mark.kernel
@pytest.mark.requires("cgroups")
@pytest.mark.parametrize("name", DEEDS)
def test_the_kernel_holds_to_it(cgroup: Cgroup, name: str, tmp_path: Path) -> None:
    rules, expected = DEEDS[name]
    cgroup.apply({"devices": rules})
    assert set(in_child(lambda: deeds(cgroup, tmp_path))) == expected


@pytest.mark.kernel
@pytest.mark.requires("cgroups")
def test_rules_are_replaced_not_added(cgroup: Cgroup, tmp_path: Path) -> None:
    for name in ("null alone", "mknod alone", "null to read"):
        cgroup.apply({"devices": DEEDS[name][0]})
    assert set(in_child(lambda: deeds(cgroup, tmp_path))) == {"read null"}
    if not cgroup.hierarchy.trees:
        assert len(cgroup.read_limits()["devices.programs"].split()) == 1


@pytest.mark.kernel
@pytest.mark.requires("cgroups")
def test_several_programs_give_way_to_one() -> None:
    """Somebody else (systemd) may have attached programs of its own to the folder."""
    if detect().unified is None:
        pytest.skip("kernel here lacks a mounted v2 tree")
    with on_v2_tree() as box:
        folder_fd = os.open(box.unified_folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for _ in range(2):
                program = device_program.load(device_program.assemble(devices.Policy(False)))
                device_program.attach(folder_fd, program)
                os.close(program)
            assert len(device_program.attached(folder_fd)) == 2
            box.apply({"devices": [{"allow": True}]})
            assert len(device_program.attached(folder_fd)) == 1
        finally:
            os.close(folder_fd)


@pytest.mark.kernel
@pytest.mark.requires("cgroup v1")
def test_dockers_default_rules_are_what_the_kernel_lists() -> None:
    rules = [DENY_ALL, allow("c", None, None, "m"), allow("b", None, None, "m")]
    rules += [allow("c", 1, minor) for minor in (3, 5, 7, 8, 9)]
    rules += [allow("c", 5, 0), allow("c", 5, 2), allow("c", 136, None)]
    with on_kernel() as box:
        box.apply({"devices": rules})
        listed = files.read(box.folder("devices"), "devices.list").splitlines()
    assert sorted(listed) == sorted(devices.resolve(rules).lines())
