"""The processes below a cgroup folder: listing, freezing, killing, removing the folders when they are gone."""

from __future__ import annotations

import errno
import os
import select
import time

import _signal as signal

from engine.kernel.cgroups import files

_FIRST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.05


class Backoff:
    """Pauses that grow, until a deadline: the kernel tells nobody when a v1 cgroup got empty."""

    def __init__(self, timeout_s: float) -> None:
        self._end = time.monotonic() + timeout_s
        self._pause_s = _FIRST_PAUSE_S

    def wait(self) -> bool:
        """Sleep a little; False where the time is over."""
        if time.monotonic() >= self._end:
            return False
        time.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        return True


def subfolders(folder: str) -> list[str]:
    """The cgroup and all below it, deepest first; empty where it doesn't exist."""
    try:
        if os.stat(folder).st_nlink == 2:  # kernfs counts child folders here, so most cgroups need no listing
            return [folder]
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [below for name in names for below in subfolders(f"{folder}/{name}")] + [folder]


def pids(folder: str) -> list[int]:
    """Processes in the cgroup and below, as this pid namespace numbers them (foreign ones, read as 0, left out)."""
    found = []
    for each in subfolders(folder):
        try:
            text = files.read(each, "cgroup.procs")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                continue  # removed between the listing and now
            if error.errno == errno.EOPNOTSUPP:
                text = files.read(each, "cgroup.threads")  # a threaded v2 cgroup lists no processes
            else:
                raise
        found += [int(line) for line in text.split() if line != "0"]
    return found


def freeze_v1(folder: str, timeout_s: float) -> None:
    """Freeze by v1's freezer. A fork during FREEZING can leave it there for ever, until FROZEN is written again."""
    backoff = Backoff(timeout_s)
    files.write(folder, "freezer.state", "FROZEN")
    while files.read(folder, "freezer.state") != "FROZEN":
        if not backoff.wait():
            files.write(folder, "freezer.state", "THAWED")
            raise TimeoutError(errno.ETIMEDOUT, "the cgroup doesn't freeze", f"{folder}/freezer.state")
        files.write(folder, "freezer.state", "FROZEN")


def freeze_v2(folder: str, timeout_s: float) -> None:
    """Freeze by cgroup.freeze, and wait until cgroup.events says so."""
    end = time.monotonic() + timeout_s
    files.write(folder, "cgroup.freeze", 1)
    with open(f"{folder}/cgroup.events") as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while "frozen 1" not in events.read():
            left_s = end - time.monotonic()
            if left_s <= 0:
                files.write(folder, "cgroup.freeze", 0)
                raise TimeoutError(errno.ETIMEDOUT, "the cgroup doesn't freeze", f"{folder}/cgroup.freeze")
            poll.poll(left_s * 1000)
            events.seek(0)


def kill_each(pids_to_kill: list[int]) -> None:
    """SIGKILL by pid. Safe from pid reuse only while the processes are frozen or still listed in their cgroup."""
    for pid in pids_to_kill:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself


def remove(folder: str, backoff: Backoff) -> None:
    """rmdir(2) the cgroup and all below. EBUSY is retried: a killed process leaves its cgroup a moment later."""
    while True:
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            busy = error
        for below in subfolders(folder)[:-1]:
            try:
                os.rmdir(below)
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOENT):
                    raise
        if os.path.isdir(folder) and not backoff.wait():
            alive = " ".join(map(str, pids(folder))) or "none that this pid namespace sees"
            raise OSError(busy.errno, f"{busy.strerror} (processes: {alive})", folder) from busy
