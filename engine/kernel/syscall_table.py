"""System call numbers by architecture, and what else a seccomp filter must know about architectures."""

from __future__ import annotations

import os
from typing import NamedTuple

X32_BIT = 0x4000_0000
"""Set in the number of an x32 call, which otherwise comes in as x86-64."""

INT_ARGUMENTS = {
    "socket": (0, 1, 2), "socketpair": (0, 1, 2), "setsockopt": (0, 1, 2), "getsockopt": (0, 1, 2), "socketcall": (0,),
    "personality": (0,), "clone": (0,), "setns": (0, 1), "ioctl": (0, 1), "fcntl": (0, 1), "fcntl64": (0, 1),
    "prctl": (0,), "keyctl": (0,), "bpf": (0,), "seccomp": (0, 1), "syslog": (0,), "open": (1, 2), "openat": (0, 2, 3),
    "kill": (0, 1), "tkill": (0, 1), "tgkill": (0, 1, 2), "futex": (1,), "madvise": (2,), "unshare": (0,),
    "mknod": (1, 2), "mknodat": (0, 2, 3), "quotactl": (0,), "umount2": (1,), "perf_event_open": (1, 2, 3),
}  # fmt: skip
"""Arguments of which Linux looks at the low 32 bits alone. A comparison of all 64 would let ``socket(40 | 1 << 32)``
pass a filter as a family above 40, and the kernel would then open family 40."""


class Architecture(NamedTuple):
    """``audit``: the AUDIT_ARCH_* that seccomp_data carries. ``column``: in the table. ``first``: added to numbers."""

    audit: int
    column: int
    first: int
    is_64_bit: bool


ARCHITECTURES = {
    "SCMP_ARCH_X86_64": Architecture(0xC000003E, 0, 0, True),
    "SCMP_ARCH_X86": Architecture(0x40000003, 1, 0, False),
    "SCMP_ARCH_X32": Architecture(0xC000003E, 2, X32_BIT, True),
    "SCMP_ARCH_AARCH64": Architecture(0xC00000B7, 3, 0, True),
    "SCMP_ARCH_ARM": Architecture(0x40000028, 4, 0, False),
}
"""libseccomp's name -> what can run on a machine that we know."""

MACHINES = {
    "x86_64": ("amd64", ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")),
    "aarch64": ("arm64", ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")),
}
"""uname's machine -> its name in Docker's profiles, and the architectures whose calls it takes, native first."""

FOREIGN_ARCHITECTURES = frozenset(
    f"SCMP_ARCH_{name}"
    for name in (
        "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC", "PPC64",
        "PPC64LE", "S390", "S390X", "SH", "SHEB", "PARISC", "PARISC64", "RISCV64",
    )
)  # fmt: skip
"""Names that a profile may carry although no machine of ours runs their calls."""

_tables: list[dict[str, int]] = []


def numbers(architecture: Architecture) -> dict[str, int]:
    """Name -> number, for one architecture; read from ``syscalls.txt`` once a process."""
    if not _tables:
        _tables.extend(_read())
    return _tables[architecture.column]


def _read() -> list[dict[str, int]]:
    tables: list[dict[str, int]] = [{} for _ in ARCHITECTURES]
    offsets = [architecture.first for architecture in ARCHITECTURES.values()]
    with open(os.path.join(os.path.dirname(__file__), "syscalls.txt")) as file:
        for line in file:
            name, *columns = line.split()
            if name in ("#", "name"):
                continue
            for table, offset, number in zip(tables, offsets, columns, strict=True):
                if number != "-":
                    table[name] = int(number) + offset
    return tables
