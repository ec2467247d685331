"""Trees of files in the data root: what is small is dealt with here, the rest by a worker.

So is what belongs to others: in the data root of an ordinary user containers have files of ids that are the user's in
the workers' user namespace alone (see engine.runtime.rootless).
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.images.trees import remove_tree, tree_size_bytes
from engine.services.ports import Runtime

SMALL_TREE_ENTRIES = 64
"""A tree of no more entries is removed faster than a worker is forked to remove it."""


def remove(runtime: Runtime, folder: Path) -> None:
    """Remove a tree; one that is not there is removed already. Raises OSError, EngineError."""
    try:
        if is_small_tree(folder):
            remove_tree(str(folder), durably=False)
            return
    except FileNotFoundError:
        return
    except PermissionError:
        pass
    runtime.run_job("tree.remove", {"path": str(folder)})  # may take seconds: not in this process


def empty(runtime: Runtime, folder: Path) -> None:
    """Remove what is in a folder, which stays. Raises OSError, EngineError."""
    try:
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                remove(runtime, path)
            else:
                path.unlink()
    except PermissionError:
        runtime.run_job("tree.empty", {"path": str(folder)})


def move(runtime: Runtime, folder: Path, target: Path) -> None:
    """rename(2). Raises OSError."""
    try:
        os.rename(folder, target)
    except PermissionError:  # a folder that changes its parent must be one's own
        runtime.run_job("tree.move", {"path": str(folder), "target": str(target)})


def size_bytes(runtime: Runtime, folder: Path) -> int:
    """The sum of the sizes of the regular files of a tree; 0 where there is none."""
    try:
        return tree_size_bytes(str(folder))
    except PermissionError:
        return runtime.run_job("tree.size", {"path": str(folder)})["size_bytes"]


def own(runtime: Runtime, path: Path, user: int, group: int, mode: int) -> None:
    """Give a file to a container's user, by its number inside. Raises OSError."""
    try:
        os.chown(path, user, group)
    except PermissionError:
        runtime.run_job("file.own", {"path": str(path), "user": user, "group": group, "mode": mode})
    else:
        os.chmod(path, mode)


def is_small_tree(path: Path) -> bool:
    """Whether the tree at ``path`` has so few entries that walking it holds nobody up."""
    remaining, folders = SMALL_TREE_ENTRIES, [str(path)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                remaining -= 1
                if remaining < 0:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return True
