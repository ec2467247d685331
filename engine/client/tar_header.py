"""Headers of tar archives: ustar where that suffices, with PAX records before it where not (pax(1)).

Python's tarfile takes 20 ms to import, which is a third of what the client of a cached build costs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

BLOCK = 512
FILE, HARD_LINK, SYMLINK, CHARACTERS, BLOCKS, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_RECORDS = b"x"
_OCTAL_8, _OCTAL_12 = 8**7, 8**11


def header(
    name: bytes, kind: bytes = FILE, *, size: int = 0, mode: int = 0o644, mtime: int = 0, link: bytes = b"",
    device: tuple[int, int] = (0, 0), records: Mapping[bytes, bytes] | None = None,
) -> bytes:  # fmt: skip
    """What stands before a member's content. It belongs to root; ``records`` are further PAX records."""
    extended = dict(records or {})
    prefix, short = _split(name)
    if not short:
        extended[b"path"] = name
        short = name[:100]
    if len(link) > 100 or not link.isascii():
        extended[b"linkpath"] = link
    if size >= _OCTAL_12:
        extended[b"size"] = b"%d" % size
    main = _block(short, prefix, kind, size if size < _OCTAL_12 else 0, mode, mtime, link[:100], device)
    if not extended:
        return main
    body = b"".join(_record(key, extended[key]) for key in sorted(extended))
    return _block(b"./PaxHeaders/x", b"", _RECORDS, len(body), 0o644, 0, b"", (0, 0)) + body + padding(len(body)) + main


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def is_header(block: bytes) -> bool:
    """Whether an archive may begin so: the checksum of the first block is right."""
    if len(block) < BLOCK:
        return False
    field = block[148:156].split(b"\0")[0].strip()
    if not field or field.strip(b"01234567"):
        return False
    return int(field, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:BLOCK])


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name of a ustar header; an empty name where it doesn't fit."""
    if not name.isascii():
        return b"", b""
    if len(name) <= 100:
        return b"", name
    at = name.rfind(b"/", 0, 156)
    return (name[:at], name[at + 1 :]) if at > 0 and 0 < len(name) - at - 1 <= 100 else (b"", b"")


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH key=value\\n``, whose length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) + rest != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _block(
    name: bytes, prefix: bytes, kind: bytes, size: int, mode: int, mtime: int, link: bytes, device: tuple[int, int]
) -> bytes:
    major, minor = device
    start = name.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        mode & 0o7777, 0, 0, size, min(max(0, mtime), _OCTAL_12 - 1)
    )  # fmt: skip
    end = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + b"%07o\0%07o\0" % (
        major % _OCTAL_8, minor % _OCTAL_8
    )  # fmt: skip
    end = (end + prefix).ljust(BLOCK - len(start) - 8, b"\0")
    return start + b"%06o\0 " % (sum(start) + 8 * 32 + sum(end)) + end
