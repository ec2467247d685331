"""The Dockerfile and .dockerignore in a context that ignores them: they came only so that the build can be planned."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.client.dockerignore import Ignored, read_lines
from engine.domain.errors import InvalidArgument
from engine.kernel.paths import open_in_root

_NAME = ".dockerignore"
_MADE_UP = re.compile(r"\.dockerfile\.[0-9a-f]{16,64}")
"""The name that clients give to a Dockerfile that doesn't lie in the context."""
_LIMIT_BYTES = 1 << 20


def remove_ignored(context: Path, dockerfile: str) -> None:
    """Take out of the context's folder what its own patterns leave out of these. Raises InvalidArgument."""
    root_fd = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (f"{dockerfile}{_NAME}", _NAME):
            content = _content(root_fd, name)
            if content is not None:
                _remove(root_fd, content, {dockerfile, _NAME, f"{dockerfile}{_NAME}"})
                break
        if _MADE_UP.fullmatch(dockerfile):
            _remove(root_fd, b"*", {dockerfile, f"{dockerfile}{_NAME}"})
    finally:
        os.close(root_fd)


def _content(root_fd: int, name: str) -> bytes | None:
    try:
        with open(open_in_root(root_fd, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(_LIMIT_BYTES + 1)
    except OSError:
        return None


def _remove(root_fd: int, content: bytes, names: set[str]) -> None:
    try:
        ignored = Ignored(read_lines(content))
    except ValueError as error:
        raise InvalidArgument(f"{_NAME}: {error}") from error
    for name in names:
        if not ignored.ignores(name):
            continue
        folder, _, leaf = name.rpartition("/")
        try:
            parent = open_in_root(root_fd, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            os.unlink(leaf, dir_fd=parent)
        except (FileNotFoundError, IsADirectoryError):
            continue  # a folder of such a name is no file that planned anything
        finally:
            os.close(parent)
