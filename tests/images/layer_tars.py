"""Layers for tests: archives made by tarfile, or byte by byte where tarfile would not write such a thing."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.images.jobs import JOBS

ZEROS = bytes(1024)


def member(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, xattrs: dict[str, str] | None = None, **fields: Any
) -> tuple[tarfile.TarInfo, bytes]:
    """A member; ``fields`` are attributes of TarInfo (mode, uid, gid, mtime, linkname, devmajor, pax_headers ...)."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), 1_600_000_000
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    if xattrs:
        info.pax_headers = {**info.pax_headers, **{f"SCHILY.xattr.{key}": value for key, value in xattrs.items()}}
    return info, data


def folder(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.SYMTYPE, linkname=target, **fields)


def hard_link(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.LNKTYPE, linkname=target, **fields)


def device(
    name: str, major: int, minor: int, *, kind: bytes = tarfile.CHRTYPE, **fields: Any
) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=kind, devmajor=major, devminor=minor, **fields)


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A whole archive, in PAX, GNU or ustar format."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def header(
    name: bytes, flag: bytes = b"0", size: int | bytes = 0, *, magic: bytes = b"ustar\x0000", **raw: bytes
) -> bytes:
    """One header block; ``raw`` replaces fields by their bytes, the checksum fits unless given."""
    block = bytearray(512)

    def put(offset: int, value: bytes) -> None:
        block[offset : offset + len(value)] = value

    put(0, name)
    put(100, raw.get("mode", b"0000644\0"))
    put(108, raw.get("uid", b"0000000\0"))
    put(116, raw.get("gid", b"0000000\0"))
    put(124, size if isinstance(size, bytes) else b"%011o\0" % size)
    put(136, raw.get("mtime", b"00000000000\0"))
    put(156, flag)
    put(157, raw.get("link", b""))
    put(257, magic)
    put(329, raw.get("major", b"0000000\0"))
    put(337, raw.get("minor", b"0000000\0"))
    put(345, raw.get("prefix", b""))
    put(386, raw.get("sparse", b""))
    put(148, b" " * 8)
    put(148, raw.get("checksum", b"%06o\0 " % sum(block)))
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    """An extended header with these records."""
    body = b"".join(pax_record(key, value) for key, value in records)
    return header(b"pax", flag, len(body)) + padded(body)


def pax_record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return str(length).encode() + rest


@dataclass(frozen=True)
class Store:
    """A place to unpack to, with something beside it that must never change."""

    home: Path

    @property
    def layers(self) -> Path:
        return self.home / "layers"

    @property
    def outside(self) -> Path:
        return self.home / "outside"

    @classmethod
    def made(cls, home: Path) -> Store:
        store = cls(home)
        store.layers.mkdir()
        store.outside.mkdir()
        (store.outside / "secret").write_text("untouched")
        os.chmod(store.outside / "secret", 0o600)
        return store

    def unpack(self, blob: bytes, **arguments: Any) -> Path:
        """Unpack as ``layers/layer`` and answer with that folder."""
        return self.unpack_with_result(blob, **arguments)[0]

    def unpack_with_result(self, blob: bytes, **arguments: Any) -> tuple[Path, dict[str, Any]]:
        path = self.home / "blob"
        path.write_bytes(blob)
        target = self.layers / "layer"
        job = {"blob": str(path), "diff_id": None, "target": str(target), **arguments}
        return target, JOBS["layer.unpack"](job, [])

    def assert_untouched(self) -> None:
        """Nothing of a refused layer is left, and nothing outside was written."""
        assert list(self.layers.iterdir()) == []
        assert sorted(path.name for path in self.home.iterdir()) == ["blob", "layers", "outside"]
        assert [path.name for path in self.outside.iterdir()] == ["secret"]
        secret = self.outside / "secret"
        assert secret.read_text() == "untouched"
        assert (stat.S_IMODE(secret.stat().st_mode), secret.stat().st_nlink) == (0o600, 1)


def is_whiteout(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False
