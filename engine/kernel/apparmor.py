"""AppArmor (the kernel's LSM/apparmor.rst): whether it is on, and the profile that a process's next program gets.

Profiles are loaded by others (apparmor_parser); here they are only named.
"""

from __future__ import annotations

import errno
import os

_SWITCH = "/sys/module/apparmor/parameters/enabled"
_LOADED = "/sys/kernel/security/apparmor/profiles"
_PLACES = ("/proc/self/attr/apparmor/exec", "/proc/self/attr/exec")
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


def confine_next_program(profile: str) -> None:
    """From execve(2) on the caller is under ``profile``, and so is all that it executes. To be called while /proc is
    the host's, or known to be the kernel's. Raises OSError: ENOENT where no such profile is loaded."""
    place = next((path for path in _PLACES if os.path.exists(path)), _PLACES[1])
    try:
        with open(place, "wb", buffering=0) as file:
            file.write(b"exec " + os.fsencode(profile))
    except OSError as error:
        text = "no such profile is loaded" if error.errno == errno.ENOENT else error.strerror
        raise OSError(error.errno, text, f"AppArmor profile {profile}") from error


def next_confinement(pid: int) -> str:
    """What ``confine_next_program`` has set, as the kernel says it; nothing where that is nothing."""
    for path in _PLACES:
        try:
            with open(path.replace("self", str(pid)), "rb") as file:
                return file.read().rstrip(b"\0\n").decode("utf-8", "replace")
        except OSError:
            continue  # EINVAL as well: it is another module's
    return ""
