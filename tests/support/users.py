"""Processes of ordinary users, who can reach this interpreter and this checkout wherever they lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.machine import MS_BIND, mount
from support.sources import REPOSITORY


def become_user(uid: int, home: Path) -> None:
    """Make this process, which has a mount namespace of its own, that of a user with the group of the same number and
    no other; ``home``, which root made, is the user's from now on."""
    os.chown(home, uid, uid)
    for number, folder in enumerate(_out_of_reach()):
        _bring_into_reach(folder, home / f"reach-{number}")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.environ["HOME"] = str(home)


def _out_of_reach() -> list[Path]:
    """The interpreter's folder and the checkout, where they lie below one that others may not enter."""
    return [folder for folder in (Path(sys.base_prefix).resolve(), REPOSITORY) if _barrier(folder) is not None]


def _barrier(folder: Path) -> Path | None:
    return next((one for one in reversed(folder.parents) if not one.stat().st_mode & 0o001), None)


def _bring_into_reach(folder: Path, aside: Path) -> None:
    """Show it at its place below folders that others may enter, and that have nothing else in them."""
    aside.mkdir(exist_ok=True)
    mount(str(folder), str(aside), None, MS_BIND)
    barrier = _barrier(folder)
    assert barrier is not None
    mount("tmpfs", str(barrier), "tmpfs", data="mode=755")
    folder.mkdir(parents=True)
    mount(str(aside), str(folder), None, MS_BIND)
