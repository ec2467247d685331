"""A program of one system call: what the kernel answers inside a container, with no compiler or interpreter there."""

from __future__ import annotations

import platform
import struct
from pathlib import Path

IS_POSSIBLE = platform.machine() == "x86_64"
BASE = 0x400000
_HEADERS = 64 + 56
_SETTERS = (b"\x48\xb8", b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")
# mov rax, rdi, rsi, rdx, r10, r8, r9
_CALL_AND_EXIT = (
    b"\x0f\x05"  # syscall
    b"\x31\xff"  # xor edi, edi
    b"\x48\x85\xc0"  # test rax, rax
    b"\x79\x04"  # jns over the next two
    b"\x89\xc7\xf7\xdf"  # mov edi, eax; neg edi
    b"\xb8\x3c\x00\x00\x00\x0f\x05"  # exit(edi)
)
_CODE_BYTES = 10 * len(_SETTERS) + len(_CALL_AND_EXIT)
DATA = BASE + _HEADERS + _CODE_BYTES
"""Where the data of a probe lies: an argument that points to it."""


def write_probe(path: Path, number: int, *arguments: int, data: bytes = b"", mode: int = 0o755) -> Path:
    """An executable that does the call and exits with 0, or with the errno that it got."""
    values = [number, *arguments, *[0] * (6 - len(arguments))]
    code = b"".join(setter + struct.pack("<Q", value & (1 << 64) - 1) for setter, value in zip(_SETTERS, values))
    body = code + _CALL_AND_EXIT + data
    size = _HEADERS + len(body)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, size, size, 0x1000)
    path.write_bytes(header + segment + body)
    path.chmod(mode)
    return path
