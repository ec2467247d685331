"""From a writable layer to a layer's archive and back: whatever is done to a real overlay, the new layer shows it."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Callable

import pytest

from engine.images.layer_tar import write_layer_tar
from engine.images.layer_writer import write_layer
from engine.images.limits import Limits
from engine.images.overlay_diff import changes
from engine.images.tar import Stream
from engine.images.tar_writer import TarWriter, add_folder
from engine.runtime.overlay import mount_overlay
from support.forked import in_child
from support.machine import data_folder, private_mounts

pytestmark = pytest.mark.requires("root", "mounts", "overlay")


@pytest.fixture
def place() -> Any:
    """A folder on a file system that overlays can lie on."""
    folder = data_folder()
    assert folder is not None
    path = Path(tempfile.mkdtemp(dir=folder))
    yield path
    shutil.rmtree(path)


def layer_tar(upper: Path, lower: list[Path], **options: Any) -> bytes:
    output = io.BytesIO()
    write_layer_tar(output.write, str(upper), list(map(str, lower)), **options)
    return output.getvalue()


def unpack(archive: bytes, target: Path) -> None:
    target.mkdir()
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_layer(Stream([archive]), fd, Limits())
    finally:
        os.close(fd)


def look(root: Path) -> dict[str, Any]:
    """Everything that an image keeps of a tree."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            stats = os.lstat(path)
            content: Any = None
            if stat.S_ISREG(stats.st_mode):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            elif stat.S_ISLNK(stats.st_mode):
                content = os.readlink(path)
            xattrs = {key: os.getxattr(path, key, follow_symlinks=False).hex()
                      for key in os.listxattr(path, follow_symlinks=False)}  # fmt: skip
            owner = (stats.st_uid, stats.st_gid, stats.st_rdev)
            seconds = stats.st_mtime_ns // 10**9
            found[os.path.relpath(path, root)] = [stats.st_mode, *owner, seconds, content, xattrs]
    return found


class Overlay:
    """Layers, a writable one, and the root that they make; mounted in a child's own mount namespace."""

    def __init__(self, place: Path, lower: list[Path], name: str) -> None:
        self.lower = lower
        self.upper, self.work, self.root = (place / f"{name}-{part}" for part in ("upper", "work", "root"))
        for folder in (self.upper, self.work, self.root):
            folder.mkdir(exist_ok=True)

    def inside(self, act: Callable[[Path], Any]) -> Any:
        def child() -> Any:
            private_mounts()
            mount_overlay(list(map(str, self.lower)), str(self.upper), str(self.work), str(self.root))
            return act(self.root)

        return in_child(child)


def test_random_changes_survive_the_way_through_an_archive(place: Path) -> None:
    for seed in range(12):
        home = place / str(seed)
        home.mkdir()
        dice = random.Random(seed)
        lower: list[Path] = []
        for depth in range(3):
            base = home / f"base{depth}"
            base.mkdir()
            overlay = Overlay(home, lower or [base], f"o{depth}")
            shown = overlay.inside(lambda root: _change_at_random(root, random.Random(dice.random())))
            archive = layer_tar(overlay.upper, overlay.lower)
            layer = home / f"layer{depth}"
            unpack(archive, layer)
            lower = [layer, *lower]
            again = Overlay(home, lower if len(lower) > 1 else [*lower, base], f"check{depth}").inside(look)
            assert again == shown, f"seed {seed}, layer {depth}"
            assert layer_tar(overlay.upper, overlay.lower) == archive, "equal changes, equal bytes"


def _change_at_random(root: Path, dice: random.Random) -> dict[str, Any]:
    for _ in range(40):
        folders = [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]
        others = [path for path in root.rglob("*")]
        folder = dice.choice(folders)
        name = folder / dice.choice(("a", "b", "c", "ü\udcff", "long" * 40))
        try:
            match dice.randrange(9):
                case 0 | 1:
                    name.write_bytes(dice.randbytes(dice.randrange(3000)))
                case 2:
                    name.mkdir()
                case 3:
                    name.symlink_to(dice.choice(("/etc", "../a", "nowhere")))
                case 4 if others:
                    os.link(dice.choice(others), name, follow_symlinks=False)
                case 5 if others:
                    victim = dice.choice(others)
                    shutil.rmtree(victim) if victim.is_dir() and not victim.is_symlink() else victim.unlink()
                case 6 if others:
                    target = dice.choice(others)
                    os.chown(target, dice.randrange(3_000_000), 7, follow_symlinks=False)
                    if not target.is_symlink():
                        target.chmod(dice.choice((0o644, 0o4755, 0o1777)))
                case 7 if others:
                    os.setxattr(dice.choice(others), dice.choice(("user.x", "trusted.y")), dice.randbytes(5))
                case 8 if others:
                    os.rename(dice.choice(others), name)
        except OSError:
            continue
    return look(root)


def names(archive: bytes) -> list[str]:
    return tarfile.open(fileobj=io.BytesIO(archive)).getnames()


def test_what_the_engine_needs_to_mount_on_is_no_change(place: Path) -> None:
    base, upper = place / "base", place / "upper"
    (base / "etc").mkdir(parents=True)
    for name in ("dev/pts", "dev/shm", "proc", "sys", "etc"):
        (upper / name).mkdir(parents=True)
    for name in ("etc/hosts", "etc/resolv.conf", "dev/console"):
        (upper / name).touch()
    assert [change.path for change in changes(str(upper), [str(base)])] == []
    (upper / "etc" / "passwd").touch()
    assert [change.path for change in changes(str(upper), [str(base)])] == [b"etc", b"etc/passwd"]
    (upper / "data").mkdir()
    assert names(layer_tar(upper, [base], stubs=frozenset({b"data", b"etc/hosts"})))[0] == "dev"


def test_links_of_a_layer_lead_nowhere(place: Path) -> None:
    base, upper = place / "base", place / "upper"
    base.mkdir()
    (base / "out").symlink_to("/etc")
    (upper / "out").mkdir(parents=True)
    (upper / "out" / "passwd").touch()
    found = {change.path: change.kind for change in changes(str(upper), [str(base)])}
    assert found == {b"out": "modified", b"out/passwd": "added"}, "the host's /etc/passwd is no part of the image"


def test_times_are_clamped_and_sockets_left_out(place: Path) -> None:
    upper = place / "upper"
    upper.mkdir()
    (upper / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(upper / "socket"))
        archive = tarfile.open(fileobj=io.BytesIO(layer_tar(upper, [], latest_s=1000)))
    assert [(member.name, member.mtime) for member in archive] == [("file", 1000)]


def test_file_capabilities_and_names_without_encoding(place: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    (place / "in").mkdir()
    strange = os.path.join(os.fsencode(place / "in"), b"\xff\xfe name")
    with open(strange, "wb"):
        os.setxattr(strange, b"security.capability", capability)
        os.setxattr(strange, b"user.binary", bytes(range(256)))
    unpack(layer_tar(place / "in", []), place / "out")
    copied = os.path.join(os.fsencode(place / "out"), b"\xff\xfe name")
    assert os.getxattr(copied, b"security.capability") == capability
    assert os.getxattr(copied, b"user.binary") == bytes(range(256))


def test_gnu_tar_reads_whole_trees(place: Path) -> None:
    source = place / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / ("n" * 150)).write_bytes(b"z" * 100_000)
    os.link(source / "folder" / ("n" * 150), source / "second")
    os.mkfifo(source / "pipe")
    (source / "link").symlink_to("x" * 200)
    with (place / "out.tar").open("wb") as file:
        writer = TarWriter(file.write)
        fd = os.open(source, os.O_RDONLY)
        add_folder(writer, b"", fd)
        os.close(fd)
        writer.end()
    (place / "copy").mkdir()
    subprocess.run(["tar", "-xpf", place / "out.tar", "-C", place / "copy"], check=True)
    assert look(place / "copy") == look(source)
    assert (place / "copy" / "second").stat().st_nlink == 2
