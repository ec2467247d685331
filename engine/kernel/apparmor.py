"""AppArmor (the kernel's LSM/apparmor.rst): whether it is on, and the profile that a process's next program gets.

Profiles are loaded by others (apparmor_parser); here they are only named.
"""

from __future__ import annotations

import errno
import os

from engine.kernel import procfs

_SWITCH = "/sys/module/apparmor/parameters/enabled"
_LOADED = "/sys/kernel/security/apparmor/profiles"
_PLACES = ("attr/apparmor/exec", "attr/exec")
"""The second one where AppArmor is the only such module, or before Linux 5.8."""


def is_enabled() -> bool:
    try:
        with open(_SWITCH, "rb") as file:
            return file.read(1) == b"Y"
    except OSError:
        return False


def is_loaded(profile: str) -> bool:
    """As far as securityfs is mounted and may be read."""
    try:
        with open(_LOADED, encoding="utf-8", errors="replace") as file:
            return any(line.startswith(f"{profile} (") for line in file)
    except OSError:
        return False


def confine_next_program(profile: str) -> str:
    """From execve(2) on the caller is under ``profile``, and so is all that it executes. What the kernel says to that:
    the profile and its mode. Raises OSError: ENOENT where no such profile is loaded."""
    try:
        fd = _open_exec()
        try:
            os.write(fd, b"exec " + os.fsencode(profile))
            os.lseek(fd, 0, os.SEEK_SET)
            return os.read(fd, 4096).rstrip(b"\0\n").decode("utf-8", "replace")
        finally:
            os.close(fd)
    except OSError as error:
        text = "no such profile is loaded" if error.errno == errno.ENOENT else error.strerror
        raise OSError(error.errno, text, f"AppArmor profile {profile}") from error


def _open_exec() -> int:
    try:
        return procfs.open_own(_PLACES[0], os.O_RDWR)
    except FileNotFoundError:
        return procfs.open_own(_PLACES[1], os.O_RDWR)
