"""Layers that try to write outside of their folder, or to be something else than they look: refused, by name."""

from __future__ import annotations

import os
import random
import stat
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest
from layer_tars import (
    ZEROS, Store, device, folder, hard_link, header, is_whiteout, member, padded, pax, symlink, tar
)  # fmt: skip

from engine.domain.errors import InvalidArgument
from engine.images.jobs import JOBS

pytestmark = pytest.mark.requires("root")

Make = Callable[[Path], list[Any]]

ESCAPES: dict[str, tuple[Make, str]] = {
    "parent folder": (lambda out: [member("../outside/new", b"x")], "../outside/new"),
    "parent folder inside": (lambda out: [folder("a"), member("a/../../outside/new")], "a/../../outside/new"),
    "parent folder that stays": (lambda out: [folder("a"), member("a/../b")], "a/../b"),
    "only dots": (lambda out: [folder("..")], ".."),
    "absolute name": (lambda out: [member(f"{out}/new")], "new"),
    "absolute name behind a plain one": (lambda out: [member("a"), member("/new")], "/new"),
    "parent folder behind a plain name": (lambda out: [member("a/b"), symlink("a/..", "x")], "a/.."),
    "absolute folder": (lambda out: [folder(f"{out}/new")], "new"),
    "absolute symlink, file through it": (lambda out: [symlink("l", str(out)), member("l/new")], "l/new"),
    "absolute symlink, folder through it": (lambda out: [symlink("l", str(out)), folder("l/new")], "l/new"),
    "absolute symlink, symlink through it": (lambda out: [symlink("l", str(out)), symlink("l/new", "x")], "l/new"),
    "absolute symlink, device through it": (lambda out: [symlink("l", str(out)), device("l/new", 1, 3)], "l/new"),
    "absolute symlink, whiteout through it": (lambda out: [symlink("l", str(out)), member("l/.wh.secret")], "l/.wh"),
    "absolute symlink, opaque through it": (lambda out: [symlink("l", str(out)), member("l/.wh..wh..opq")], "l/.wh"),
    "relative symlink out": (lambda out: [symlink("l", "../../outside"), member("l/new")], "l/new"),
    "symlink through symlink": (
        lambda out: [symlink("a", "b"), symlink("b", str(out)), member("a/new")], "a/new",
    ),
    "symlink below a folder": (
        lambda out: [folder("d"), symlink("d/l", "../../../outside"), member("d/l/new")], "d/l/new",
    ),
    "symlink after its folder was cached": (
        lambda out: [symlink("l", "d"), folder("d"), member("l/ok"), symlink("l", str(out)), member("l/new")], "l/new",
    ),
    "symlink to itself": (lambda out: [symlink("l", "l"), member("l/new")], "l/new"),
    "symlink to /proc": (lambda out: [symlink("l", "/proc/self/root"), member("l/etc/new")], "l/etc/new"),
    "hard link out by dots": (lambda out: [hard_link("h", "../../outside/secret"), member("h", b"x")], "h"),
    "hard link to an absolute path": (lambda out: [hard_link("h", f"{out}/secret"), member("h", b"x")], "h"),
    "hard link through an absolute symlink": (
        lambda out: [symlink("l", str(out)), hard_link("h", "l/secret"), member("h", b"x")], "h",
    ),
    "hard link through a relative symlink": (
        lambda out: [symlink("l", "../../outside"), hard_link("h", "l/secret")], "h",
    ),
    "hard link below a symlink": (
        lambda out: [member("f"), symlink("l", str(out)), hard_link("l/new", "f")], "l/new",
    ),
    "hard link to a folder": (lambda out: [folder("d"), hard_link("h", "d")], "h"),
    "hard link to the root": (lambda out: [hard_link("h", "/")], "h"),
    "hard link to nothing": (lambda out: [hard_link("h", "")], "h"),
    "hard link to what is not there": (lambda out: [hard_link("h", "gone")], "h"),
    "hard link to a whiteout": (lambda out: [member(".wh.f"), hard_link("h", "f")], "h"),
    "file where a folder was": (lambda out: [folder("d"), member("d/f"), member("d", b"x")], "d"),
    "symlink where a folder was": (lambda out: [folder("d"), symlink("d", str(out)), member("d/new")], "d"),
    "device where a folder was": (lambda out: [folder("d"), device("d", 1, 3)], "d"),
    "hard link where a folder was": (lambda out: [member("f"), folder("d"), hard_link("d", "f")], "d"),
    "file below a file": (lambda out: [member("f"), member("f/x")], "f/x"),
    "file below a device": (lambda out: [device("f", 1, 3), member("f/x")], "f/x"),
    "the root is a symlink": (lambda out: [symlink(".", str(out)), member("new")], "."),
    "the root is a file": (lambda out: [member(".")], "."),
    "whiteout of the folder itself": (lambda out: [folder("d"), member("d/.wh..")], "d/.wh.."),
    "whiteout of the parent": (lambda out: [folder("d"), member("d/.wh...")], "d/.wh..."),
    "whiteout of nothing": (lambda out: [member(".wh.")], ".wh."),
    "whiteout of a whiteout": (lambda out: [member("d/.wh..wh.x")], "d/.wh..wh.x"),
    "whiteout that is a folder": (lambda out: [folder(".wh.x")], ".wh.x"),
    "whiteout that is a symlink": (lambda out: [symlink(".wh.x", str(out))], ".wh.x"),
    "whiteout that is a device": (lambda out: [device(".wh.x", 1, 3)], ".wh.x"),
    "whiteout with content": (lambda out: [member(".wh.x", b"data")], ".wh.x"),
    "opaque that is a folder": (lambda out: [folder("d/.wh..wh..opq")], "d/.wh..wh..opq"),
    "opaque that is a symlink": (lambda out: [symlink("d/.wh..wh..opq", str(out))], "d/.wh..wh..opq"),
    "file below a whiteout": (lambda out: [member(".wh.d/x")], ".wh.d/x"),
    "device that is a whiteout": (lambda out: [device("d", 0, 0)], "d"),
    "overlay's own opaque": (lambda out: [folder("d", xattrs={"trusted.overlay.opaque": "y"})], "d"),
    "overlay's redirect": (lambda out: [folder("d", xattrs={"trusted.overlay.redirect": "/etc"})], "d"),
    "overlay's redirect, rootless": (lambda out: [folder("d", xattrs={"user.overlay.redirect": "/etc"})], "d"),
    "attribute of no name space": (lambda out: [member("f", xattrs={"": "x"})], "f"),
    "name too long for a component": (lambda out: [member("n" * 300)], "nnn"),
    "name too long for a path": (lambda out: [member("d/" * 2100 + "f")], "d/d/d"),
    "name of 100 kB": (lambda out: [member("d/" * 50_000 + "f")], "d/d/d"),
}  # fmt: skip


@pytest.mark.parametrize("what", ESCAPES)
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_refused_by_name(store: Store, what: str, format: int) -> None:
    make, name = ESCAPES[what]
    members = make(store.outside)
    if format == tarfile.GNU_FORMAT and any(info.pax_headers for info, _ in members):
        format = tarfile.PAX_FORMAT  # extended attributes need it
    with pytest.raises(InvalidArgument) as refused:
        store.unpack(tar(member("first"), *members, format=format))
    assert name in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
    store.assert_untouched()


CORRUPT: dict[str, tuple[bytes, str]] = {
    "no tar": (b"this is no archive " * 100, "checksum"),
    "half a header": (b"x" * 300, "truncated"),
    "truncated data": (header(b"f", size=1000) + b"x" * 512, "truncated"),
    "checksum": (header(b"f", checksum=b"000000\0 ") + ZEROS, '"f": the header\'s checksum'),
    "size that is no number": (header(b"f", size=b"0000000001x\0") + ZEROS, '"f": a number is not octal'),
    "size with a sign": (header(b"f", size=b"-0000000001\0") + ZEROS, '"f": a number is not octal'),
    "size with an underscore": (header(b"f", size=b"000000_0001\0") + ZEROS, '"f": a number is not octal'),
    "negative size": (header(b"f", size=b"\xff" * 12) + ZEROS, '"f": a negative size'),
    "8 EB": (header(b"f", size=b"\x80\0\0\0" + (1 << 63).to_bytes(8, "big")) + ZEROS, '"f" takes the layer over'),
    "negative owner": (header(b"f", uid=b"\xff" * 8) + ZEROS, '"f": owner'),
    "owner that means no change": (header(b"f", uid=b"\x80\0\0\0\xff\xff\xff\xff") + ZEROS, '"f": owner'),
    "device out of range": (header(b"f", b"3", major=b"7777777\0") + ZEROS, '"f": device'),
    "unknown type": (header(b"f", b"V") + ZEROS, '"f" is of the unsupported type'),
    "no name": (header(b"") + ZEROS, "has no name"),
    "data behind the end": (header(b"f") + bytes(512) + header(b"g") + ZEROS, "data follows its end"),
    "header and then nothing": (pax((b"path", b"f")), "ends behind an extended header"),
    "two extended headers": (pax((b"path", b"a")) * 2 + header(b"f") + ZEROS, "two extended headers"),
    "1 GB of PAX": (header(b"pax", b"x", 1 << 30) + ZEROS, "an extended header of 1073741824 bytes"),
    "1 GB of long name": (header(b"long", b"L", 1 << 30) + ZEROS, "an extended header of 1073741824 bytes"),
    "global path": (pax((b"path", b"f"), flag=b"g") + header(b"g") + ZEROS, "global PAX record 'path'"),
    "PAX size negative": (pax((b"size", b"-1")) + header(b"f") + ZEROS, "PAX size '-1' is no number"),
    "PAX size of letters": (pax((b"size", b"1e3")) + header(b"f") + ZEROS, "PAX size '1e3' is no number"),
    "PAX size over the end": (pax((b"size", b"99999")) + header(b"f") + ZEROS, "truncated"),
    "PAX size beyond all": (pax((b"size", b"9" * 20)) + header(b"f") + ZEROS, '"f" takes the layer over the limit'),
    "PAX path with NUL": (pax((b"path", b"a\0b")) + header(b"f") + ZEROS, "has a NUL"),
    "PAX link with NUL": (pax((b"linkpath", b"a\0b")) + header(b"f", b"2") + ZEROS, "has a NUL"),
    "PAX path out": (pax((b"path", b"../f")) + header(b"f") + ZEROS, '"../f" has ".."'),
    "PAX path absolute": (pax((b"path", b"/f")) + header(b"f") + ZEROS, '"/f" has an absolute name'),
    "PAX uid beyond": (pax((b"uid", b"4294967295")) + header(b"f") + ZEROS, "owner 4294967295"),
    "PAX time of letters": (pax((b"mtime", b"now")) + header(b"f") + ZEROS, "PAX time 'now' is no time"),
    "PAX record without length": (header(b"p", b"x", 5) + padded(b"a=b\n\n") + header(b"f") + ZEROS, "no length"),
    "PAX record too long": (header(b"p", b"x", 7) + padded(b"90 a=b\n") + header(b"f") + ZEROS, "does not add up"),
    "PAX record too short": (header(b"p", b"x", 7) + padded(b"2 aa=b\n") + header(b"f") + ZEROS, "does not add up"),
    "PAX record without value": (header(b"p", b"x", 6) + padded(b"6 aab\n") + header(b"f") + ZEROS, "does not add up"),
    "control characters in the name": (header(b"../a\n\x1b[31mb") + ZEROS, r'"../a\n\x1b[31mb"'),
}


@pytest.mark.parametrize("what", CORRUPT)
def test_corrupt(store: Store, what: str) -> None:
    blob, message = CORRUPT[what]
    with pytest.raises(InvalidArgument) as refused:
        store.unpack(blob)
    assert message in str(refused.value)
    store.assert_untouched()


def sparse_1_0(size: int, listed: bytes, data: bytes, name: bytes = b"big") -> bytes:
    body = padded(listed) + data
    extended = pax(
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name),
        (b"GNU.sparse.realsize", b"%d" % size),
    )  # fmt: skip
    return extended + header(b"GNUSparseFile.0/big", size=len(body)) + padded(body) + ZEROS


GNU_PAIR = b"%011o\0%011o\0"

HOSTILE_SPARSE: dict[str, tuple[bytes, str]] = {
    "8 EB of holes": (sparse_1_0(1 << 63, b"1\n0\n1\n", b"x"), '"big" takes the layer over the limit'),
    "overlap": (sparse_1_0(100, b"2\n0\n10\n5\n10\n", b"x" * 20), "overlaps or leaves"),
    "beyond the file": (sparse_1_0(100, b"1\n95\n10\n", b"x" * 10), "overlaps or leaves"),
    "more than stored": (sparse_1_0(1000, b"1\n0\n900\n", b"x"), "does not match the data"),
    "endless map": (sparse_1_0(100, b"999999999\n" + b"0\n0\n" * 10, b""), "more than 200000 fragments"),
    "no number": (sparse_1_0(100, b"x\n0\n1\n", b"x"), "is no number"),
    "no line": (sparse_1_0(100, b"1" * 2048, b""), "no list of numbers"),
    "unknown version": (
        pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + header(b"big") + ZEROS, "other than 0.0"
    ),
    "odd list": (
        pax((b"GNU.sparse.map", b"1,2,3"), (b"GNU.sparse.size", b"9")) + header(b"big") + ZEROS, "not in pairs"
    ),
    "old header, negative": (
        header(b"big", b"S", size=1, magic=b"ustar  \0", sparse=GNU_PAIR % (9, 1) + GNU_PAIR % (1, 1)) + ZEROS,
        "overlaps or leaves",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE_SPARSE)
def test_sparse(store: Store, what: str) -> None:
    blob, message = HOSTILE_SPARSE[what]
    with pytest.raises(InvalidArgument) as refused:
        store.unpack(blob)
    assert message in str(refused.value)
    store.assert_untouched()


def test_old_sparse_header_that_never_ends(store: Store) -> None:
    first = header(b"big", b"S", magic=b"ustar  \0", sparse=b"\0" * 96 + b"\1")
    more = (GNU_PAIR % (0, 0) * 21).ljust(504, b"\0") + b"\1".ljust(8, b"\0")
    with pytest.raises(InvalidArgument, match="more than 200000 fragments"):
        store.unpack(first + more * 12_000)
    store.assert_untouched()


# --- what hostile layers do and real ones do as well ---


def test_targets_of_symlinks_are_free(store: Store) -> None:
    targets = {"a": "/etc/passwd", "b": "../../../../etc", "c": "/proc/self/root", "d": "no such thing", "e": "."}
    layer = store.unpack(tar(*(symlink(name, target) for name, target in targets.items())))
    assert {name: os.readlink(layer / name) for name in targets} == targets


def test_absolute_hard_link_counts_from_the_layers_root(store: Store) -> None:
    layer = store.unpack(tar(folder("usr"), member("usr/f", b"text"), hard_link("h", "/usr/f")))
    assert (layer / "h").samefile(layer / "usr/f")


def test_hard_link_to_a_symlink_links_the_link(store: Store) -> None:
    secret = store.outside / "secret"
    layer = store.unpack(tar(symlink("l", str(secret)), hard_link("h", "l", mode=0o4777, uid=9)))
    assert (layer / "h").is_symlink() and (layer / "h").lstat().st_ino == (layer / "l").lstat().st_ino
    assert (layer / "l").lstat().st_uid == 9
    assert (secret.stat().st_nlink, secret.stat().st_uid, stat.S_IMODE(secret.stat().st_mode)) == (1, 0, 0o600)


def test_symlink_that_stays_inside_is_followed(store: Store) -> None:
    layer = store.unpack(tar(folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"), member("lib/f", b"text")))
    assert (layer / "usr/lib/f").read_bytes() == b"text"


def test_last_component_is_never_followed(store: Store) -> None:
    secret = str(store.outside / "secret")
    layer = store.unpack(
        tar(symlink("a", secret), member("a", b"x"), symlink("b", str(store.outside)), folder("b"), member("b/f"))
    )
    assert (layer / "a").is_file() and not (layer / "a").is_symlink()
    assert (layer / "b/f").is_file() and not (layer / "b").is_symlink()
    assert (store.outside / "secret").read_text() == "untouched"
    assert [path.name for path in store.outside.iterdir()] == ["secret"]


def test_owner_mode_and_time_of_a_symlink_are_its_own(store: Store) -> None:
    secret = store.outside / "secret"
    layer = store.unpack(tar(symlink("l", str(secret), uid=5, gid=6, mode=0o777, xattrs={"trusted.x": "y"})))
    found = (layer / "l").lstat()
    assert (found.st_uid, found.st_gid, found.st_mtime) == (5, 6, 1_600_000_000)
    assert (secret.stat().st_uid, stat.S_IMODE(secret.stat().st_mode)) == (os.getuid(), 0o600)
    assert os.listxattr(secret) == []


def test_device_nodes(store: Store) -> None:
    disk_node = device("disk", 8, 1, kind=tarfile.BLKTYPE, mode=0o660, gid=6)
    layer = store.unpack(tar(device("null", 1, 3, mode=0o666), disk_node, device("z", 0, 1)))
    null, disk = (layer / "null").lstat(), (layer / "disk").lstat()
    assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3) and stat.S_IMODE(null.st_mode) == 0o666
    assert stat.S_ISBLK(disk.st_mode) and disk.st_rdev == os.makedev(8, 1) and disk.st_gid == 6
    assert not is_whiteout(layer / "z")


# --- bombs ---


def test_more_bytes_than_allowed(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="limit of 1000000 bytes"):
        store.unpack(tar(member("zeros", bytes(2_000_000))), limits={"bytes": 1_000_000})
    store.assert_untouched()


def test_many_files_count_together(store: Store) -> None:
    holes = [sparse_1_0(400_000, b"1\n0\n1\n", b"x", name).removesuffix(ZEROS) for name in (b"a", b"b", b"big")]
    with pytest.raises(InvalidArgument, match='"big" takes the layer over the limit of 1000000 bytes'):
        store.unpack(b"".join(holes) + ZEROS, limits={"bytes": 1_000_000})
    store.assert_untouched()


def test_more_entries_than_allowed(store: Store) -> None:
    blob = tar(*(member(f"f{number}") for number in range(101)))
    with pytest.raises(InvalidArgument, match="limit of 100 entries"):
        store.unpack(blob, limits={"entries": 100})
    store.assert_untouched()
    store.unpack(blob, limits={"entries": 101})


@pytest.mark.parametrize("limits", [{"files": 1}, {"bytes": 0}, {"entries": "9"}, {"ratio": True}])
def test_limits_are_checked(store: Store, limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="archive limit"):
        store.unpack(tar(), limits=limits)


# --- the wrong thing, or at the wrong time ---


def test_wrong_diff_id(store: Store) -> None:
    with pytest.raises(InvalidArgument, match=f"where sha256:{'0' * 64} is expected"):
        store.unpack(tar(member("f")), diff_id="sha256:" + "0" * 64)
    store.assert_untouched()


def test_existing_layer_is_not_replaced(store: Store) -> None:
    layer = store.unpack(tar(member("f", b"first")))
    with pytest.raises(Exception, match="exists already") as refused:
        store.unpack(tar(member("f", b"second")))
    assert type(refused.value).__name__ == "Conflict"
    assert (layer / "f").read_bytes() == b"first" and list(store.layers.iterdir()) == [layer]


def test_every_truncation_is_refused_or_whole(store: Store) -> None:
    """Cut anywhere, a layer with a known diff ID never appears, and one without never appears cut inside an entry."""
    blob = tar(folder("d"), member("d/f", b"x" * 700), symlink("d/l", "f"), format=tarfile.USTAR_FORMAT)[: 6 * 512]
    for length in range(0, len(blob), 97):
        with pytest.raises(InvalidArgument):
            store.unpack(blob[:length], diff_id="sha256:" + "0" * 64)
        store.assert_untouched()


def test_every_flipped_bit_is_refused_or_changes_the_diff_id(store: Store) -> None:
    blob = tar(member("f", b"text"), format=tarfile.USTAR_FORMAT)[: 4 * 512]
    path = store.home / "blob"
    path.write_bytes(blob)
    diff_id = JOBS["layer.digest"]({"blob": str(path)}, [])["diff_id"]
    for position in range(0, 345, 5):
        flipped = bytearray(blob)
        flipped[position] ^= 1 << position % 8
        with pytest.raises((InvalidArgument, OSError)):
            store.unpack(bytes(flipped), diff_id=diff_id)
        store.assert_untouched()


MUTATIONS = 400


def test_random_damage(store: Store) -> None:
    """Whatever bytes change, with the checksums mended: an orderly refusal or a layer, and nothing outside."""
    chance = random.Random(20)
    blob = tar(
        folder("d", uid=3_000_000), member("d/" + "n" * 120, b"text" * 300), symlink("d/l", "t" * 120),
        hard_link("h", "d/l"), device("n", 1, 3), member(".wh.x"), member("x", xattrs={"user.a": "b"}),
    ) + sparse_1_0(9000, b"2\n0\n512\n4096\n512\n", b"x" * 1024)  # fmt: skip
    refused = 0
    for _ in range(MUTATIONS):
        damaged = bytearray(blob)
        for _ in range(chance.randint(1, 4)):
            block = 512 * chance.randrange(len(blob) // 512)
            damaged[block + chance.choice((0, 1, 100, 108, 124, 130, 136, 156, 157, 257, 329, 345, 400))] = (
                chance.choice((0, 0x20, 0x2E, 0x2F, 0x30, 0x37, 0x78, 0x80, 0xFF, chance.randrange(256)))
            )  # fmt: skip
            damaged[block + 148 : block + 156] = b" " * 8
            damaged[block + 148 : block + 156] = b"%06o\0 " % sum(damaged[block : block + 512])
        try:
            layer = store.unpack(bytes(damaged), limits={"bytes": 1 << 20})
        except InvalidArgument:
            refused += 1
            store.assert_untouched()
        else:
            JOBS["tree.remove"]({"path": str(layer)}, [])
    assert 0 < refused < MUTATIONS
    store.assert_untouched()
