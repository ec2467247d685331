"""The containers of one ``--root``: a folder each, with ``state.json``; what runs is asked of the kernel."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from typing import Any, Iterator

from engine.kernel.cgroups import Cgroup

STATE_FILE = "state.json"
START_SOCKET = "start"
_ID = re.compile(r"[\w+.-]+")

Json = dict[str, Any]


class Containers:
    """``root`` is made with the first container."""

    def __init__(self, root: str) -> None:
        self.root = root

    def folder(self, container_id: str) -> str:
        """Raises OSError for what can't be an id."""
        if not _ID.fullmatch(container_id) or container_id in (".", ".."):
            raise OSError(errno.EINVAL, "invalid container id: letters, digits, _ + . and - are possible", container_id)
        return os.path.join(self.root, container_id)

    def create(self, container_id: str) -> str:
        """A new container's folder. Raises OSError where there is one of this id."""
        folder = self.folder(container_id)
        os.makedirs(self.root, 0o711, exist_ok=True)
        try:
            os.mkdir(folder, 0o711)
        except FileExistsError as error:
            raise OSError(errno.EEXIST, "container with given ID already exists", container_id) from error
        return folder

    def save(self, container_id: str, state: Json) -> None:
        """Whole or not at all; not synced, since what it tells of doesn't survive a reboot either."""
        path = os.path.join(self.folder(container_id), STATE_FILE)
        with open(f"{path}.new", "w") as file:
            json.dump(state, file)
        os.rename(f"{path}.new", path)

    def load(self, container_id: str) -> Json:
        """Raises OSError where there is none."""
        try:
            with open(os.path.join(self.folder(container_id), STATE_FILE)) as file:
                return json.load(file)
        except FileNotFoundError as error:
            raise OSError(errno.ENOENT, "container does not exist", container_id) from error

    def all(self) -> Iterator[Json]:
        for name in sorted(os.listdir(self.root)) if os.path.isdir(self.root) else ():
            if os.path.exists(os.path.join(self.root, name, STATE_FILE)):
                yield self.load(name)

    def remove(self, container_id: str) -> None:
        shutil.rmtree(self.folder(container_id))


def started_ticks(pid: int) -> tuple[str, int]:
    """State letter and start time of a process (proc_pid_stat(5)); ("", 0) where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0].decode(), int(fields[19])


def is_alive(state: Json) -> bool:
    """Whether the first process of the record still exists, and is the same."""
    letter, ticks = started_ticks(state["pid"])
    return letter not in ("", "Z", "X") and ticks == state["started_ticks"]


def status(state: Json) -> str:
    """The specification's words: created, running, stopped; and paused."""
    if not is_alive(state):
        return "stopped"
    if Cgroup(state["cgroup_path"]).is_frozen():
        return "paused"
    return "running" if state["started"] else "created"


def public_state(state: Json) -> Json:
    """What ``state`` shows, and hooks read."""
    now = status(state)
    return {
        "ociVersion": state["ociVersion"],
        "id": state["id"],
        "status": now,
        **({"pid": state["pid"]} if now != "stopped" else {"pid": 0}),
        "bundle": state["bundle"],
        "rootfs": state["rootfs"],
        "created": state["created"],
        "annotations": state["annotations"],
        "owner": "",
    }
