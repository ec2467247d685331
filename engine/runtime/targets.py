"""Making the folders and files that mounts and working directories need, inside a root that the image's author filled.

Every step goes through openat2(2) with RESOLVE_IN_ROOT: links lead where they would lead a process inside the
container, and a name that is exchanged meanwhile can't lead out of it.
"""

from __future__ import annotations

import errno
import os

from engine.kernel.paths import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, open_in_root, openat2

_DEEPEST_LINKS = 40
"""As many as the kernel itself follows (path_resolution(7))."""


def open_folder(root_fd: int, path: str, mode: int = 0o755) -> int:
    """An O_PATH descriptor of a folder in the root; what is missing of it is made."""
    return _open_or_make(root_fd, path, os.O_PATH | os.O_DIRECTORY, mode, _DEEPEST_LINKS)


def open_plain_folder(root_fd: int, path: str) -> int:
    """As ``open_folder``, but none of its parts may be a link: for /proc and /sys, which others trust by name."""
    try:
        return _open_plain(root_fd, path)
    except FileNotFoundError:
        os.close(open_folder(root_fd, os.path.dirname(path.rstrip("/"))))
        parent = _open_plain(root_fd, os.path.dirname(path.rstrip("/")) or "/")
        try:
            os.mkdir(os.path.basename(path.rstrip("/")), 0o755, dir_fd=parent)
        finally:
            os.close(parent)
        return _open_plain(root_fd, path)


def _open_plain(root_fd: int, path: str) -> int:
    try:
        return openat2(
            root_fd, path, os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        )  # fmt: skip
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(error.errno, "the image has something other than a folder here", path) from error
        raise


def open_file(root_fd: int, path: str) -> int:
    """An O_PATH descriptor of whatever lies at ``path``; where there is nothing, an empty file is made."""
    return _open_or_make(root_fd, path, os.O_PATH, 0o755, _DEEPEST_LINKS)


def _open_or_make(root_fd: int, path: str, flags: int, mode: int, links: int) -> int:
    try:
        return open_in_root(root_fd, path, flags)
    except FileNotFoundError:
        if links == 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
    parent_path, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    parent = _open_or_make(root_fd, parent_path or "/", os.O_PATH | os.O_DIRECTORY, mode, links - 1)
    try:
        _make(parent, name, flags, mode)
    except FileExistsError:
        try:
            target = os.readlink(name, dir_fd=parent)
        except OSError:
            return open_in_root(root_fd, path, flags)  # somebody made it meanwhile, and it is no link
        # a link to nowhere: make what it names, seen from the folder that it lies in
        below = target if target.startswith("/") else f"{parent_path}/{target}"
        return _open_or_make(root_fd, below, flags, mode, links - 1)
    finally:
        os.close(parent)
    return open_in_root(root_fd, path, flags)


def _make(parent: int, name: str, flags: int, mode: int) -> None:
    if flags & os.O_DIRECTORY:
        os.mkdir(name, mode, dir_fd=parent)
    else:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o644, dir_fd=parent))


def open_existing(root_fd: int, path: str) -> int | None:
    """An O_PATH descriptor of what lies at ``path``, None where nothing does."""
    try:
        return openat2(root_fd, path, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except (FileNotFoundError, NotADirectoryError):
        return None
