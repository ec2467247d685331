"""Mounts as Docker's clients write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument
from engine.services.mount_points import MountPoint, check_sources, parse


@pytest.mark.parametrize(
    "text, expected",
    [
        ("data:/data", MountPoint("volume", "data", "/data")),
        ("data:/data:ro", MountPoint("volume", "data", "/data", True)),
        ("/srv:/srv:ro", MountPoint("bind", "/srv", "/srv", True, True)),
        ("/srv/../etc:/mnt:rslave", MountPoint("bind", "/etc", "/mnt", False, True, "rslave")),
        ("/anonymous", MountPoint("volume", "", "/anonymous")),
    ],
)
def test_binds(text: str, expected: MountPoint) -> None:
    assert parse({"Binds": [text]}, {}) == (expected,)


@pytest.mark.parametrize(
    "binds, message",
    [
        (["./relative:/data"], "includes invalid characters for a local volume name"),
        ([f"{'v' * 256}:/data"], "longer than 255 characters"),
        (["data:relative"], "mount path must be absolute"),
        (["data:/"], "destination can't be '/'"),
        (["data:/proc"], "inside /proc"),
        (["data:/x/../proc/sys"], "inside /proc"),
        (["a:b:c:d"], "invalid volume specification"),
        ([":/x"], "invalid volume specification"),
        (["data:/data:sideways"], "invalid mode: sideways"),
        (["aa:/data", "bb:/data"], "Duplicate mount point: /data"),
    ],
)
def test_bad_binds_are_one_clear_line(binds: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parse({"Binds": binds}, {})


def test_a_bind_mount_needs_its_source(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"Type": "bind", "Source": str(tmp_path / "missing"), "Target": "/x"}
    with pytest.raises(InvalidArgument, match="bind source path does not exist"):
        check_sources(parse({"Mounts": [entry]}, {}))
    (found,) = parse({"Mounts": [{**entry, "Source": str(tmp_path), "ReadOnly": True}]}, {})
    assert (found.source, found.read_only, found.create_source) == (str(tmp_path), True, False)


@pytest.mark.parametrize(
    "entry, field",
    [
        ({"Type": "tmpfs", "Source": "x"}, "Source"), ({"Type": "tmpfs", "BindOptions": {"a": 1}}, "BindOptions"),
        ({"Type": "bind", "Source": "/", "VolumeOptions": {"NoCopy": True}}, "VolumeOptions"),
        ({"Type": "volume", "TmpfsOptions": {"SizeBytes": 1}}, "TmpfsOptions"),
    ],
)  # fmt: skip
def test_what_a_kind_of_mount_does_not_have(entry: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument, match=f"field {field} must not be specified"):
        parse({"Mounts": [{**entry, "Target": "/x"}]}, {})


def test_parents_come_before_what_lies_below_them() -> None:
    mounts = parse({"Binds": ["aa:/x/y/z", "bb:/x"], "Tmpfs": {"/x/y": "size=1m,ro"}}, {"Volumes": {"/v": {}}})
    assert [mount.destination for mount in mounts] == ["/x", "/v", "/x/y", "/x/y/z"]


def test_an_image_volume_that_the_user_mounts_is_not_made_twice() -> None:
    assert parse({"Binds": ["data:/v"]}, {"Volumes": {"/v": {}}}) == (MountPoint("volume", "data", "/v"),)


def test_tmpfs_options_are_checked() -> None:
    with pytest.raises(InvalidArgument, match="invalid tmpfs option 'lowerdir=/'"):
        parse({"Tmpfs": {"/run": "lowerdir=/"}}, {})
