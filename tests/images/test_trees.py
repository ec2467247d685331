"""Removing trees: whole, of any shape, and nothing beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.forked import in_child
from support.machine import MS_BIND, mount, private_mounts

from engine.images.jobs import JOBS


def remove(path: Path) -> int:
    return JOBS["tree.remove"]({"path": str(path)}, [])["removed"]


def test_a_tree_of_everything(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("text")
    tree = tmp_path / "tree"
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/file").write_text("text")
    (tree / "a/link").symlink_to(outside)
    (tree / "a/b/dangling").symlink_to("nowhere")
    os.mkfifo(tree / "a/pipe")
    os.link(outside / "kept", tree / "hard")
    (tree / os.fsdecode(b"caf\xe9\n")).write_text("text")
    (tree / "a/b/c").chmod(0o000)
    assert remove(tree) == 10
    assert os.listdir(tmp_path) == ["outside"] and os.listdir(outside) == ["kept"]


def test_what_is_not_there(tmp_path: Path) -> None:
    assert remove(tmp_path / "missing") == 0
    assert remove(tmp_path / "missing" / "below") == 0


def test_a_file_and_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(folder)
    assert remove(tmp_path / "file") == 1 and remove(tmp_path / "link") == 1
    assert os.listdir(tmp_path) == ["folder"]


def test_deeper_than_any_path(tmp_path: Path) -> None:
    """3,000 levels: beyond PATH_MAX, Python's recursion limit and the usual limit of open files."""
    tree = tmp_path / "tree"
    tree.mkdir()
    fd = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 50, dir_fd=fd)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        child = os.open("d" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = child
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    assert remove(tree) == 6001
    assert len(os.listdir("/proc/self/fd")) == before and os.listdir(tmp_path) == []


def test_wide(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(300):
        (tree / f"d{number}" / "sub").mkdir(parents=True)
    assert remove(tree) == 601


@pytest.mark.requires("root", "mounts")
def test_never_through_a_mount(tmp_path: Path) -> None:
    """A volume that is still mounted below the tree keeps its files; the removal says what is in its way."""
    volume, tree = tmp_path / "volume", tmp_path / "tree"
    volume.mkdir()
    (volume / "precious").write_text("text")
    (tree / "a/point").mkdir(parents=True)
    (tree / "a/file").write_text("text")

    def attempt() -> None:
        private_mounts()
        mount(str(volume), str(tree / "a/point"), None, MS_BIND)
        with pytest.raises(OSError, match="cross-device") as refused:
            remove(tree)
        assert refused.value.filename == str(tree / "a/point")
        with pytest.raises(OSError, match="cross-device"):
            remove(tree / "a/point")

    in_child(attempt)
    assert (volume / "precious").read_text() == "text"
    remove(tree)
    assert not tree.exists()
