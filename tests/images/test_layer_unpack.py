"""Layers as they should be: every kind of entry, format and compression, in overlay's form."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from layer_tars import (
    ZEROS, Store, device, folder, hard_link, header, is_opaque, is_whiteout, member, padded, pax, symlink, tar
)  # fmt: skip

from engine.domain.errors import InvalidArgument, NotSupported
from engine.images import limits
from engine.images.jobs import JOBS

pytestmark = pytest.mark.requires("root")

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""security.capability, version 2: cap_net_raw permitted and effective."""


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("format", FORMATS)
def test_every_kind_of_entry(store: Store, format: str) -> None:
    blob = tar(
        folder("./"), folder("./bin/", mode=0o1777, uid=7, gid=8, mtime=1_000_000_000),
        member("./bin/su", b"program", mode=0o6755, uid=0, gid=42, mtime=1_100_000_000),
        hard_link("./bin/su2", "./bin/su", mode=0o6755, uid=0, gid=42, mtime=1_100_000_000),
        symlink("bin/link", "../bin/su", uid=3, gid=4, mtime=1_200_000_000),
        member("pipe", kind=tarfile.FIFOTYPE, mode=0o620), member("empty"), device("null", 1, 3, mode=0o666),
        format=FORMATS[format],
    )  # fmt: skip
    layer, result = store.unpack_with_result(blob, diff_id=digest(blob))
    assert not os.path.exists(result.pop("temporary")), "it is in its place"
    assert result == {"diff_id": digest(blob), "size_bytes": 7, "entries": 8, "warnings": []}
    found = {path.relative_to(layer).as_posix(): path.lstat() for path in layer.rglob("*")}
    assert sorted(found) == ["bin", "bin/link", "bin/su", "bin/su2", "empty", "null", "pipe"]
    assert stat.S_IMODE(found["bin"].st_mode) == 0o1777 and (found["bin"].st_uid, found["bin"].st_gid) == (7, 8)
    assert found["bin"].st_mtime == 1_000_000_000, "the files in it must not have changed the folder's time"
    assert stat.S_IMODE(found["bin/su"].st_mode) == 0o6755 and found["bin/su"].st_gid == 42
    assert found["bin/su"].st_mtime == 1_100_000_000 and found["bin/su"].st_nlink == 2
    assert found["bin/su2"].st_ino == found["bin/su"].st_ino
    assert (found["bin/link"].st_uid, found["bin/link"].st_gid, found["bin/link"].st_mtime) == (3, 4, 1_200_000_000)
    assert os.readlink(layer / "bin/link") == "../bin/su" and (layer / "bin/su").read_bytes() == b"program"
    assert stat.S_ISFIFO(found["pipe"].st_mode) and stat.S_IMODE(found["pipe"].st_mode) == 0o620
    assert stat.S_IMODE(layer.stat().st_mode) == 0o755


def test_the_roots_own_entry_is_ignored(store: Store) -> None:
    layer = store.unpack(tar(folder("./", mode=0o700, uid=99)))
    assert (stat.S_IMODE(layer.stat().st_mode), layer.stat().st_uid) == (0o755, 0)


def test_modes_do_not_depend_on_the_umask(store: Store) -> None:
    before = os.umask(0o077)
    try:
        layer = store.unpack(tar(member("a/b/f", mode=0o666), folder("d", mode=0o777)))
        assert os.umask(0o077) == 0o077, "the job gives the umask back"
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((layer / name).stat().st_mode) for name in (".", "a", "a/b", "a/b/f", "d")]
    assert modes == [0o755, 0o755, 0o755, 0o666, 0o777]


@pytest.mark.parametrize("format", ["pax", "gnu"])
def test_long_names(store: Store, format: str) -> None:
    deep = "/".join(["x" * 200] * 8)
    blob = tar(
        member(f"{deep}/f", b"text"), symlink("l", "t" * 500), hard_link("h", f"{deep}/f"), format=FORMATS[format]
    )
    layer = store.unpack(blob)
    assert (layer / deep / "f").read_bytes() == b"text" and os.readlink(layer / "l") == "t" * 500
    assert (layer / "h").samefile(layer / deep / "f")


def test_ustar_prefix(store: Store) -> None:
    layer = store.unpack(header(b"name", prefix=b"some/where", size=4) + padded(b"text") + ZEROS)
    assert (layer / "some/where/name").read_bytes() == b"text"


def test_names_are_bytes(store: Store) -> None:
    names = [b"caf\xe9", "naïve ☃".encode(), b"new\nline", b"\x01"]
    layer = store.unpack(b"".join(header(name) for name in names) + ZEROS)
    assert sorted(os.listdir(os.fsencode(layer))) == sorted(names)


def test_seventh_edition_folder(store: Store) -> None:
    layer = store.unpack(header(b"d/", b"\0", magic=b"\0" * 8) + header(b"d/f", b"\0", magic=b"\0" * 8) + ZEROS)
    assert (layer / "d/f").is_file()


def test_large_numbers(store: Store) -> None:
    layer = store.unpack(
        tar(member("pax", uid=3_000_000, gid=4_000_000_000))
        [:-10240 + 1536] + tar(member("gnu", uid=3_000_000, gid=4_000_000_000), format=tarfile.GNU_FORMAT)
    )  # fmt: skip
    assert {(path.name, path.stat().st_uid, path.stat().st_gid) for path in layer.iterdir()} == {
        ("pax", 3_000_000, 4_000_000_000), ("gnu", 3_000_000, 4_000_000_000)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("time", "expected_ns"),
    [("1600000000.123456789", 1_600_000_000_123_456_789), ("5.5", 5_500_000_000), ("-1", 0), ("99999999999999", 0)],
)
def test_times(store: Store, time: str, expected_ns: int) -> None:
    layer = store.unpack(tar(folder("d", pax_headers={"mtime": time}), member("d/f", pax_headers={"mtime": time})))
    assert (layer / "d/f").stat().st_mtime_ns == (layer / "d").stat().st_mtime_ns == expected_ns


def test_extended_attributes(store: Store) -> None:
    extended = pax((b"SCHILY.xattr.security.capability", CAPABILITY), (b"SCHILY.xattr.user.note", b"a=b\n\0c"))
    blob = extended + header(b"ping", size=4, mode=b"0004755\0", uid=b"0000001\0") + padded(b"text") + ZEROS
    layer = store.unpack(blob)
    assert os.getxattr(layer / "ping", "security.capability") == CAPABILITY, "chown would have removed it"
    assert os.getxattr(layer / "ping", "user.note") == b"a=b\n\0c"
    assert stat.S_IMODE((layer / "ping").stat().st_mode) == 0o4755


def test_extended_attributes_of_folders_and_nodes(store: Store) -> None:
    layer = store.unpack(
        tar(folder("d", xattrs={"trusted.a": "1"}), device("n", 1, 3, xattrs={"trusted.b": "2"}))
    )
    assert os.getxattr(layer / "d", "trusted.a") == b"1" and os.getxattr(layer / "n", "trusted.b") == b"2"


def test_git_archives_global_comment(store: Store) -> None:
    layer = store.unpack(pax((b"comment", b"commit"), flag=b"g") + header(b"f") + ZEROS)
    assert (layer / "f").is_file()


def test_global_time(store: Store) -> None:
    layer = store.unpack(pax((b"mtime", b"12"), flag=b"g") + header(b"f") + header(b"g") + ZEROS)
    assert [(layer / name).stat().st_mtime for name in "fg"] == [12, 12]


def test_empty_pax_record_leaves_the_header(store: Store) -> None:
    layer = store.unpack(pax((b"path", b""), (b"uid", b"")) + header(b"f", uid=b"0000005\0") + ZEROS)
    assert (layer / "f").stat().st_uid == 5


def test_later_entries_replace_earlier_ones(store: Store) -> None:
    layer, result = store.unpack_with_result(
        tar(member("f", b"old text"), member("f", b"new", mode=0o600), symlink("g", "x"), folder("g"), member("g/f"),
            member("h"), symlink("h", "f"), folder("d", mode=0o700), member("d/f"), folder("d", mode=0o711, uid=9))
    )  # fmt: skip
    assert (layer / "f").read_bytes() == b"new" and result["size_bytes"] == 3
    assert (layer / "g/f").is_file() and os.readlink(layer / "h") == "f"
    assert (layer / "d/f").is_file() and stat.S_IMODE((layer / "d").stat().st_mode) == 0o711
    assert (layer / "d").stat().st_uid == 9


def test_later_entries_replace_earlier_ones_in_folders(store: Store) -> None:
    layer = store.unpack(
        tar(folder("d"), member("d/f", b"old"), member("d/f", b"new"), symlink("d/l", "f"), member("d/l", b"file"),
            member("d/n"), device("d/n", 1, 3), member("d/h"), hard_link("d/h", "d/f"), symlink("d/l", "h"))
    )  # fmt: skip
    assert (layer / "d/f").read_bytes() == b"new" and os.readlink(layer / "d/l") == "h"
    assert stat.S_ISCHR((layer / "d/n").stat().st_mode) and (layer / "d/h").samefile(layer / "d/f")


def test_each_file_gets_its_own_owner_and_mode(store: Store) -> None:
    """Whatever the file before it got: the folder may have become one that hands its group on, or another."""
    blob = tar(
        folder("a"), folder("b", mode=0o2777, gid=50), member("a/one"), folder("a", mode=0o2755, gid=50),
        member("a/two"), member("b/one"), member("a/three", mode=0o4755), member("a/four", mode=0o600, uid=1),
        symlink("link", "b"), member("link/two", gid=50), symlink("link", "."), member("link/three"),
    )  # fmt: skip
    layer = store.unpack(blob)
    found = {path.relative_to(layer).as_posix(): path.lstat() for path in layer.rglob("*") if path.is_file()}
    assert {name: (oct(stat.S_IMODE(it.st_mode)), it.st_uid, it.st_gid) for name, it in found.items()} == {
        "a/one": ("0o644", 0, 0), "a/two": ("0o644", 0, 0), "b/one": ("0o644", 0, 0), "a/three": ("0o4755", 0, 0),
        "a/four": ("0o600", 1, 0), "b/two": ("0o644", 0, 50), "three": ("0o644", 0, 0),
    }  # fmt: skip


def test_attributes_of_the_last_hard_link_count(store: Store) -> None:
    """Docker and containerd take a link's own header as well, so an image looks the same under all three."""
    layer = store.unpack(tar(member("a", mode=0o600, uid=1), hard_link("b", "a", mode=0o4711, uid=2, mtime=5)))
    found = (layer / "a").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o4711, 2, 5)


def test_replacing_a_hard_linked_file_leaves_the_other_name(store: Store) -> None:
    layer = store.unpack(tar(member("a", b"old"), hard_link("b", "a"), member("a", b"new"), hard_link("b", "b")))
    assert (layer / "a").read_bytes() == b"new" and (layer / "b").read_bytes() == b"old"


def test_more_folders_than_stay_open(store: Store) -> None:
    names = [f"d{number}" for number in range(300)]
    blob = tar(*(folder(name, mtime=5) for name in names), *(member(f"{name}/f", name.encode()) for name in names))
    before = len(os.listdir("/proc/self/fd"))
    layer = store.unpack(blob)
    assert len(os.listdir("/proc/self/fd")) == before
    assert all((layer / name / "f").read_text() == name and (layer / name).stat().st_mtime == 5 for name in names)


# --- whiteouts ---


def test_whiteouts(store: Store) -> None:
    layer = store.unpack(tar(folder("d"), member("d/.wh.gone", uid=1, gid=2), member(".wh.top"), member("i/.wh.x")))
    assert is_whiteout(layer / "d/gone") and is_whiteout(layer / "top") and is_whiteout(layer / "i/x")
    assert not is_opaque(layer / "d") and sorted(os.listdir(layer)) == ["d", "i", "top"]


def test_opaque_folder(store: Store) -> None:
    layer = store.unpack(tar(member("d/new"), folder("d"), member("d/.wh..wh..opq"), member("e/.wh..wh..opq")))
    assert is_opaque(layer / "d") and is_opaque(layer / "e") and os.listdir(layer / "d") == ["new"]


def test_opaque_root_is_noted(store: Store) -> None:
    layer, result = store.unpack_with_result(tar(member(".wh..wh..opq"), member("f")))
    assert is_opaque(layer) and result["warnings"] == [
        "the layer hides everything below it, which overlay does not do for the root"
    ]


@pytest.mark.parametrize("whiteout_first", [True, False])
def test_folder_with_its_own_whiteout_hides_what_is_below(store: Store, whiteout_first: bool) -> None:
    new = [folder("d"), member("d/f")]
    members = [member(".wh.d"), *new] if whiteout_first else [*new, member(".wh.d")]
    layer = store.unpack(tar(*members))
    assert (layer / "d/f").is_file() and is_opaque(layer / "d")


def test_implied_folder_with_its_own_whiteout(store: Store) -> None:
    layer = store.unpack(tar(member(".wh.d"), member("d/f")))
    assert (layer / "d/f").is_file() and is_opaque(layer / "d")


@pytest.mark.parametrize("whiteout_first", [True, False])
def test_file_with_its_own_whiteout_stays(store: Store, whiteout_first: bool) -> None:
    members = [member(".wh.f"), member("f", b"new")]
    layer = store.unpack(tar(*(members if whiteout_first else reversed(members))))
    assert (layer / "f").read_bytes() == b"new"


def test_hard_linked_whiteouts_and_records_of_aufs(store: Store) -> None:
    layer = store.unpack(
        tar(member(".wh..wh.aufs"), folder(".wh..wh.plnk"), member(".wh..wh.plnk/12", b"x"), folder(".wh..wh.orph"),
            hard_link(".wh.gone", ".wh..wh.aufs"))
    )  # fmt: skip
    assert os.listdir(layer) == ["gone"] and is_whiteout(layer / "gone")


# --- sparse files ---


def test_sparse_files_of_gnu_tar(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    expected = bytearray(3_000_000)
    for number in range(60):  # more than an old header holds
        expected[number * 45_056 : number * 45_056 + 4096] = bytes([number + 1]) * 4096
    with (source / "big").open("wb") as file:
        for number in range(60):
            file.seek(number * 45_056)
            file.write(bytes([number + 1]) * 4096)
        file.truncate(3_000_000)
    posix = [["--format=posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")]
    for number, options in enumerate([["--format=gnu"], *posix]):
        command = ["tar", "--sparse", "--hole-detection=raw", *options, "-cC", str(source), "big"]
        blob = subprocess.run(command, check=True, capture_output=True).stdout
        assert len(blob) < 600_000
        layer, result = store.unpack_with_result(blob, target=str(store.layers / str(number)))
        big = store.layers / str(number) / "big"
        assert big.read_bytes() == expected and result["size_bytes"] == 3_000_000, options
        assert big.stat().st_blocks * 512 < 1_000_000, options


# --- compression ---

COMPRESSIONS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed(store: Store, name: str) -> None:
    plain = tar(member("f", b"text" * 200_000), member("g", os.urandom(600_000)))
    layer, result = store.unpack_with_result(COMPRESSIONS[name](plain), diff_id=digest(plain))
    assert result["diff_id"] == digest(plain) and (layer / "f").read_bytes() == b"text" * 200_000


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_several_members_and_zeros_behind(store: Store, name: str) -> None:
    plain = tar(member("f", b"text" * 200_000))
    compress = COMPRESSIONS[name]
    blob = b"".join(compress(plain[start : start + 300_000]) for start in range(0, len(plain), 300_000)) + bytes(1000)
    assert store.unpack_with_result(blob)[1]["diff_id"] == digest(plain)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_something_else_behind(store: Store, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"something else follows its {name} data"):
        store.unpack(COMPRESSIONS[name](tar(member("f"))) + bytes(3) + b"junk")
    store.assert_untouched()


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_truncated_compression(store: Store, name: str) -> None:
    with pytest.raises(InvalidArgument, match="truncated"):
        store.unpack(COMPRESSIONS[name](tar(member("f", os.urandom(100_000))))[:-20])
    store.assert_untouched()


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_corrupt_compression(store: Store, name: str) -> None:
    blob = bytearray(COMPRESSIONS[name](tar(member("f", os.urandom(100_000)))))
    blob[len(blob) // 2] ^= 0xFF
    with pytest.raises(InvalidArgument, match="corrupt|truncated"):
        store.unpack(bytes(blob))
    store.assert_untouched()


def test_xz_that_wants_much_memory(store: Store) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 768 << 20}]
    with pytest.raises(InvalidArgument, match="xz"):
        store.unpack(lzma.compress(tar(member("f")), filters=filters, preset=None))
    store.assert_untouched()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 or newer: zstd is no longer refused")
def test_zstd_is_refused_where_python_lacks_it(store: Store) -> None:
    with pytest.raises(NotSupported, match="zstd compression needs Python 3.14"):
        store.unpack(b"\x28\xb5\x2f\xfd" + bytes(100))
    store.assert_untouched()


def test_zstd(store: Store) -> None:
    zstd = pytest.importorskip("compression.zstd", reason="Python 3.14 or newer: it reads zstd")
    plain = tar(member("f", b"text" * 200_000))
    assert store.unpack_with_result(zstd.compress(plain))[1]["diff_id"] == digest(plain)


def test_bomb_by_ratio(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused long before the limit of bytes, once the size is one at which the ratio counts."""
    monkeypatch.setattr(limits, "RATIO_FLOOR_BYTES", 64 << 20)
    start = gzip.compress(header(b"bomb", size=3 << 30))
    megabytes = gzip.compress(bytes(32 << 20))
    with pytest.raises(InvalidArgument, match="more than 200 times its size"):
        store.unpack(start + megabytes * 100)
    store.assert_untouched()
    store.unpack(gzip.compress(header(b"fine", size=32 << 20)) + megabytes + gzip.compress(ZEROS))


def test_bytes_behind_the_end_belong_to_the_digest(store: Store) -> None:
    blob = tar(member("f")) + b"anything" * 1000
    assert store.unpack_with_result(blob)[1]["diff_id"] == digest(blob)


@pytest.mark.parametrize("kept", [0, 7])
def test_the_last_entry_needs_no_padding(store: Store, kept: int) -> None:
    """Go's writer leaves it out where it isn't closed, and so does what the docker client makes with it."""
    root = store.unpack(header(b"f", size=10) + b"x" * 10 + bytes(kept))
    assert (root / "f").read_bytes() == b"x" * 10


def test_layer_from_a_descriptor(store: Store) -> None:
    reading, writing = os.pipe()
    blob = tar(member("f", b"text"))
    os.write(writing, blob)
    os.close(writing)
    job = {"blob": "", "diff_id": digest(blob), "target": str(store.layers / "x")}
    try:
        result = JOBS["layer.unpack"](job, [reading])
    finally:
        os.close(reading)
    assert result["size_bytes"] == 4 and (store.layers / "x/f").read_bytes() == b"text"


# --- layer.digest ---


def diff_id_of(path: Path, blob: bytes) -> dict[str, object]:
    path.write_bytes(blob)
    return JOBS["layer.digest"]({"blob": str(path)}, [])


def test_diff_id_without_unpacking(tmp_path: Path) -> None:
    plain = tar(member("f", b"text" * 100_000))
    for blob in (plain, *(compress(plain) for compress in COMPRESSIONS.values())):
        assert diff_id_of(tmp_path / "blob", blob) == {"diff_id": digest(plain), "size_bytes": len(plain)}


@pytest.mark.parametrize(
    ("blob", "message"),
    [(b"", "empty"), (tar(member("f", b"x" * 5000))[:4096], "truncated"), (b"text" * 200, "truncated"),
     (gzip.compress(b"text"), "truncated"), (gzip.compress(tar())[:-4], "truncated")],
)  # fmt: skip
def test_diff_id_of_what_is_no_whole_tar(tmp_path: Path, blob: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        diff_id_of(tmp_path / "blob", blob)


# --- a real archive, against a real tar ---


def test_same_tree_as_gnu_tar_makes(store: Store, tmp_path: Path) -> None:
    """This machine's own /etc, with everything that is in it."""
    blob, theirs = tmp_path / "etc.tar", tmp_path / "theirs"
    subprocess.run(["tar", "-cf", str(blob), "-C", "/", "etc"], check=True, capture_output=True)
    theirs.mkdir()
    subprocess.run(["tar", "-xf", str(blob), "-C", str(theirs), "--numeric-owner"], check=True)
    layer = store.layers / "etc"
    JOBS["layer.unpack"]({"blob": str(blob), "target": str(layer)}, [])
    assert listing(layer / "etc") == listing(theirs / "etc")


def listing(top: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        size = None if path.is_dir() else status.st_size
        found[str(path.relative_to(top))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev, size, content
        )  # fmt: skip
    return found
