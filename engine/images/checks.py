"""Jobs that look whether the store still holds what was put into it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from engine.domain.errors import EngineError
from engine.images.content import CHUNK_BYTES
from engine.images.jobs import Job, unpack_into
from engine.images.limits import Limits
from engine.images.trees import remove_tree

_SECOND_NS = 1_000_000_000


def check_blobs(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Which of the files ``blobs`` (digest to path) are not what their digests say. Answers ``{"damaged": [digests]}``.

    Files that are not there are damaged too. Raises OSError where one can't be read.
    """
    return {"damaged": [digest for digest, path in arguments["blobs"].items() if _digest_of(path) != digest]}


def _digest_of(path: str) -> str:
    hashed = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(CHUNK_BYTES):
                hashed.update(piece)
    except FileNotFoundError:
        return ""
    return "sha256:" + hashed.hexdigest()


def compare_layer(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Unpack ``blob`` once more, beside the layer's folder ``tree``, and compare the two: types, modes, owners, times
    to the second, links, devices, extended attributes, contents. Answers ``{"difference"}``, the first one, or ""."""
    tree = Path(arguments["tree"])
    temporary = tree.parent / f"tmp-{os.urandom(8).hex()}"
    try:
        with open(arguments["blob"], "rb", buffering=0) as blob:
            diff_id, _ = unpack_into(blob, temporary, Limits.from_json(arguments.get("limits")))
        if diff_id != arguments["diff_id"]:
            return {"difference": f"its blob has diff ID {diff_id}"}
        return {"difference": difference(str(temporary), str(tree))}
    except EngineError as error:
        return {"difference": f"its blob can't be unpacked: {error}"}
    finally:
        remove_tree(str(temporary))


def difference(expected: str, found: str) -> str:
    """In what two trees differ, with the path; "" where they don't."""
    pending = [""]
    while pending:
        inside = pending.pop()
        ours, theirs = expected + inside, found + inside
        try:
            problem = _differs(ours, theirs)
        except FileNotFoundError:
            problem = "is missing"
        if problem:
            return f"{inside or '/'} {problem}"
        if stat.S_ISDIR(os.lstat(ours).st_mode):
            names, others = set(os.listdir(ours)), set(os.listdir(theirs))
            if more := sorted(others - names):
                return f"{inside}/{more[0]} does not belong there"
            pending += [f"{inside}/{name}" for name in sorted(names, reverse=True)]
    return ""


def _differs(ours: str, theirs: str) -> str:
    """What is wrong with one entry; "" for nothing."""
    a, b = os.lstat(ours), os.lstat(theirs)
    kind = stat.S_IFMT(a.st_mode)
    if kind != stat.S_IFMT(b.st_mode):
        return "is of another type"
    if a.st_mode != b.st_mode:
        return f"has mode {stat.S_IMODE(b.st_mode):04o} instead of {stat.S_IMODE(a.st_mode):04o}"
    if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid):
        return f"belongs to {b.st_uid}:{b.st_gid} instead of {a.st_uid}:{a.st_gid}"
    if a.st_rdev != b.st_rdev:
        return "is another device"
    if kind == stat.S_IFLNK and os.readlink(ours) != os.readlink(theirs):
        return "points elsewhere"
    if _attributes(ours) != _attributes(theirs):
        return "has other extended attributes"
    if kind == stat.S_IFREG and (a.st_size != b.st_size or not _same_content(ours, theirs)):
        return "has another content"
    is_whiteout = kind == stat.S_IFCHR and a.st_rdev == 0  # made by us: its time is when that was
    if kind != stat.S_IFDIR and not is_whiteout and a.st_mtime_ns // _SECOND_NS != b.st_mtime_ns // _SECOND_NS:
        return "has another time"
    return ""


def _attributes(path: str) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        if name not in ("trusted.overlay.origin", "user.overlay.origin")
    }  # fmt: skip


def _same_content(ours: str, theirs: str) -> bool:
    with open(ours, "rb", buffering=0) as a, open(theirs, "rb", buffering=0) as b:
        while piece := a.read(CHUNK_BYTES):
            if piece != b.read(len(piece)):
                return False
    return True


JOBS: dict[str, Job] = {"blobs.check": check_blobs, "layer.compare": compare_layer}
