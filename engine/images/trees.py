"""Removing trees that somebody hostile may have filled, of any depth, without leaving them.

Folders are entered by descriptor, never through links and never across a mount: a volume that is still mounted
somewhere inside stops the removal with EXDEV instead of losing its files. Depth costs no recursion and few
descriptors: what lies too deep is first moved up, so that neither PATH_MAX nor the limit of open files matters.
"""

from __future__ import annotations

import errno
import os

from engine.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, fsync_folder, openat2

_INSIDE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_DEEPEST = 64


def remove_tree(path: str, *, durably: bool = True) -> int:
    """Remove a folder with all that is in it, or a single file. Answers with the number of names removed.

    What is not there is no error: a removal may be finished after a crash. Raises OSError with the path below
    ``path`` that could not be removed.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        parent_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        removed = _remove(parent_fd, name, path)
    finally:
        os.close(parent_fd)
    if removed and durably:
        fsync_folder(parent)
    return removed


class _Level:
    """A folder on the way down: its descriptor and the folders in it that are still to be removed."""

    __slots__ = ("fd", "name", "pending")

    def __init__(self, fd: int, name: str, pending: list[str]) -> None:
        self.fd = fd
        self.name = name
        self.pending = pending


def _remove(parent_fd: int, name: str, path: str) -> int:
    try:
        root_fd = _enter(parent_fd, name)
    except FileNotFoundError:
        return 0
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent_fd)
        return 1
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    removed = _empty(root_fd, path)
    os.rmdir(name, dir_fd=parent_fd)
    return removed + 1


def _enter(parent_fd: int, name: str) -> int:
    try:
        return openat2(parent_fd, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=_INSIDE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from error
        raise


def _empty(root_fd: int, path: str) -> int:
    """Remove everything below ``root_fd``, depth first, and close it. Answers with the number of names."""
    stack = [_Level(root_fd, "", [])]
    removed = 0
    try:
        removed += _unlink_files(stack[-1])
        while stack:
            level = stack[-1]
            if level.pending:
                name = level.pending.pop()
                if len(stack) < _DEEPEST:
                    stack.append(_Level(_enter(level.fd, name), name, []))
                    removed += _unlink_files(stack[-1])
                else:
                    shallow = f".removing-{os.urandom(8).hex()}"
                    os.rename(name, shallow, src_dir_fd=level.fd, dst_dir_fd=root_fd)
                    stack[0].pending.append(shallow)
                continue
            if len(stack) > 1:
                os.rmdir(level.name, dir_fd=stack[-2].fd)
                removed += 1
            os.close(stack.pop().fd)
    except OSError as error:
        where = "/".join([path, *(level.name for level in stack[1:])])
        at = f"{where}/{error.filename}" if isinstance(error.filename, str) else where
        raise OSError(error.errno, error.strerror, at) from error
    finally:
        for level in stack:
            os.close(level.fd)
    return removed


def _unlink_files(level: _Level) -> int:
    """Remove what is no folder, and note the folders."""
    removed = 0
    with os.scandir(level.fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                level.pending.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=level.fd)
                removed += 1
    return removed


def tree_size_bytes(path: str) -> int:
    """The sum of the sizes of the regular files below ``path``; what vanishes meanwhile counts nothing."""
    total, folders = 0, [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total
