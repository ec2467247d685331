"""The ids that an ordinary user may map into a user namespace: /etc/subuid and /etc/subgid (subuid(5)), newuidmap(1).

The one module that starts newuidmap and newgidmap, which are set-user-ID root: the kernel lets nobody else map other
ids than their own (user_namespaces(7)).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

FILES = {"uid": Path("/etc/subuid"), "gid": Path("/etc/subgid")}
_PROGRAMS = {"uid": "newuidmap", "gid": "newgidmap"}
_TIMEOUT_S = 10.0


class Range(NamedTuple):
    """``count`` ids from ``first`` on."""

    first: int
    count: int


def ranges(path: Path, user: str) -> list[Range]:
    """All ranges that a file gives to a user, who may be named there by number. Malformed lines count for nothing."""
    names = {user}
    try:
        names.add(str(pwd.getpwnam(user).pw_uid))
    except KeyError:
        pass  # a range may be given to a name that is no user
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        name, *numbers = line.strip().split(":")
        if name in names and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            found.append(Range(*map(int, numbers)))
    return found


def why_not(user: str) -> str:
    """Why a user's ranges can't be mapped here, in one line with what would help; "" where they can."""
    for kind, program in _PROGRAMS.items():
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian's package uidmap)"
        if not [one for one in ranges(FILES[kind], user) if one.count]:
            return f"{FILES[kind]} has no range for {user} (as root: usermod --add-sub{kind}s 100000-165535 {user})"
    return ""


def map_ranges(pid: int, user: str) -> None:
    """Map root of the user namespace of ``pid`` to the caller, and the ids above to the caller's ranges, one after the
    other. Raises OSError with what the program said."""
    for kind, own in (("uid", os.getuid()), ("gid", os.getgid())):
        inside, words = 1, ["0", str(own), "1"]
        for one in ranges(FILES[kind], user):
            words += [str(inside), str(one.first), str(one.count)]
            inside += one.count
        _run(_PROGRAMS[kind], [str(pid), *words])


def _run(program: str, arguments: list[str]) -> None:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(110, f"it did not end within {_TIMEOUT_S:.0f} s", program) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().removeprefix(f"{program}: ")
        raise OSError(1, said or f"exit status {done.returncode}", program)


def map_own(pid: int) -> None:
    """Map root of the user namespace of ``pid`` to the caller, and nobody else."""
    for name, text in (
        ("setgroups", "deny"), ("uid_map", f"0 {os.getuid()} 1"), ("gid_map", f"0 {os.getgid()} 1"),
    ):  # fmt: skip
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)
