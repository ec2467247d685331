"""Reading and writing the files of a cgroup folder.

A file is opened without O_CREAT, so a controller that isn't there is an error and never a stray file in some tmpfs.
What fails raises ``OSError`` whose ``filename`` is the file and whose text quotes the value that was written.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_UNLIMITED_V1 = 1 << 62
"""Memory limits of v1 read as about LONG_MAX, rounded down to a page, where there is no limit."""


def write(folder: str, name: str, value: str | int) -> None:
    """Write one value in one write(2), which is how the kernel wants it."""
    write_each(folder, name, (value,))


def write_each(folder: str, name: str, values: Iterable[str | int]) -> None:
    """Write several values to one file, one write(2) each: lists like ``devices.allow`` take one entry at a time."""
    path = f"{folder}/{name}"
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        for value in values:
            try:
                os.write(fd, str(value).encode())
            except OSError as error:
                raise OSError(error.errno, f'{error.strerror} writing "{value}"', path) from None
    finally:
        os.close(fd)


def read(folder: str, name: str) -> str:
    """The whole text of a file, without the newline at its end."""
    path = f"{folder}/{name}"
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
    return b"".join(parts).decode().rstrip("\n")


def read_if_there(folder: str, name: str) -> str | None:
    """The text of a file, None where this kernel or this controller doesn't have it (or can't read it now)."""
    try:
        return read(folder, name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
            return None
        raise


def exists(folder: str, name: str) -> bool:
    """Whether the cgroup has such a file."""
    return os.path.exists(f"{folder}/{name}")


def read_flat(folder: str, name: str) -> dict[str, int]:
    """A "flat keyed" file (``key number`` a line) as a dict; empty where the file is missing."""
    found = {}
    for line in (read_if_there(folder, name) or "").splitlines():
        key, _, number = line.partition(" ")
        if number.lstrip("-").isdigit():
            found[key] = int(number)
    return found


def parse_limit(text: str | None) -> int | None:
    """A limit as a number; None where it says "max", -1 or v1's huge number, or where there is no such file."""
    if not text or text == "max":
        return None
    number = int(text)
    return None if number < 0 or number >= _UNLIMITED_V1 else number


def limit_text(value: int) -> str:
    """A number as v2 wants it: any negative number is ``max``."""
    return "max" if value < 0 else str(value)


def refuse(subject: str, why: str, code: int = errno.EINVAL) -> OSError:
    """The error for a resource that can't be granted: ``subject`` is the field of the specification."""
    return OSError(code, why, subject)
