"""The folders of a container's writable layer, and how much may be written there.

``layers`` is a plan's ``overlay``; its ``limit``, where there is one, has ``project`` and ``bytes`` (see
``engine.kernel.project_quota``). It holds from after the mount on: overlayfs makes a folder when it is mounted, and a
root that is full would be read-only from then on, so that nobody could make room in it.
"""

from __future__ import annotations

import errno
import os

from engine.kernel import project_quota
from engine.kernel.steps import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Json = dict[str, Any]


def make(layers: Json) -> None:
    """Make what is missing. It counts for its project before anything is in it: what is there already would not."""
    folders = layers["upper"], layers["work"]
    for folder in folders:
        os.makedirs(folder, 0o755 if folder == layers["upper"] else 0o700, exist_ok=True)
    if limit := layers.get("limit"):
        with step("layer.limit"):
            for folder in folders:
                _assign(folder, limit["project"])


def _assign(folder: str, project: int) -> None:
    fd = _open(folder)
    try:
        if reason := project_quota.refusal(fd):
            raise OSError(errno.EOPNOTSUPP, f"its size can't be limited: {reason}", folder)
        project_quota.lift(fd, project)
        project_quota.assign(fd, project)
    finally:
        os.close(fd)


def hold_to_limit(layers: Json) -> None:
    """From now on, when it is mounted."""
    if limit := layers.get("limit"):
        with step("layer.limit"):
            fd = _open(layers["upper"])
            try:
                project_quota.limit(fd, limit["project"], limit["bytes"])
            finally:
                os.close(fd)


def evidence(plan: Json) -> Json:
    """What the kernel says of the limit, in the form that it was asked for in; nothing where none was."""
    layers = plan.get("overlay") or {}
    if "limit" not in layers:
        return {}
    with step("evidence.read"):
        fd = _open(layers["upper"])
        try:
            project = project_quota.project(fd)
            return {"writable_layer": {"project": project, "bytes": project_quota.limit_bytes(fd, project)}}
        finally:
            os.close(fd)


def _lift(arguments: Json, fds: list[int]) -> Json:
    """Take the limit of ``project`` from the file system of ``folder``."""
    fd = _open(arguments["folder"])
    try:
        with step("layer.limit"):
            project_quota.lift(fd, arguments["project"])
    finally:
        os.close(fd)
    return {}


def _open(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


JOBS: dict[str, Callable[[Json, list[int]], Json]] = {"layer.lift_limit": _lift}
