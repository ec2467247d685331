"""What COPY and ADD copy: the paths that their words name in a tree, and the digest of what is there.

The tree may be anybody's: every name is resolved inside of it (openat2 with RESOLVE_IN_ROOT), and below a source no
link is followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
from typing import Any, Iterator, NamedTuple, Sequence

from engine.client.dockerignore import Ignored, expression
from engine.domain.errors import InvalidArgument
from engine.kernel.paths import open_in_root

_READ_BYTES = 1 << 20
_WILD = re.compile(r"[*?\[\\]")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Source(NamedTuple):
    """One path that a word names. ``path`` is relative to the tree's root; ``target`` is what it is called below the
    destination ("" for a folder, whose content is copied)."""

    path: str
    target: str
    is_folder: bool


class Found(NamedTuple):
    """Something to be copied: ``name`` is its path below the destination. It is ``leaf`` in the folder ``folder_fd``,
    or, where ``leaf`` is "", what that has open: the source itself. Valid until the next one."""

    name: str
    folder_fd: int
    leaf: str
    found: os.stat_result

    @property
    def path(self) -> str:
        """A name for calls that take no descriptor; its last component is not to be followed."""
        return f"/proc/self/fd/{self.folder_fd}" + (f"/{self.leaf}" if self.leaf else "")

    def open(self) -> int:
        """To read a regular file; never blocks on what has become something else."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if self.leaf else 0)
        return os.open(self.path, flags)

    def link(self) -> str:
        return os.readlink(self.leaf, dir_fd=self.folder_fd)


def select(root_fd: int, words: Sequence[str], *, keep_parents: bool = False) -> list[Source]:
    """Raises InvalidArgument where a word names nothing."""
    chosen: list[Source] = []
    for word in words:
        clean, pivot = _clean(word)
        matches = sorted(_expand(root_fd, clean)) if _WILD.search(clean) else [clean]
        found = [source for path in matches if (source := _source(root_fd, path, pivot, keep_parents)) is not None]
        if not found:
            what = "no source files were found for" if _WILD.search(clean) else "file not found in build context or " \
                "excluded by .dockerignore:"  # fmt: skip
            raise InvalidArgument(f"{what} {word!r}")
        chosen += found
    return chosen


def _clean(word: str) -> tuple[str, str]:
    """The path without ``..`` at its start, and the part of it that --parents leaves out (before ``/./``)."""
    pivot, has_pivot, _ = word.partition("/./")
    normal = posixpath.normpath("/" + word).lstrip("/")
    return normal or ".", posixpath.normpath("/" + pivot).lstrip("/") if has_pivot else ""


def _source(root_fd: int, path: str, pivot: str, keep_parents: bool) -> Source | None:
    try:
        fd = open_in_root(root_fd, path, os.O_PATH)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    is_folder = stat.S_ISDIR(found.st_mode)
    if keep_parents:
        return Source(path, posixpath.relpath(path, pivot or ".") if path != "." else "", is_folder)
    return Source(path, "" if is_folder else posixpath.basename(path), is_folder)


def _expand(root_fd: int, pattern: str) -> Iterator[str]:
    """The paths that match, component by component: a star never matches a slash."""
    yield from _expand_below(root_fd, "", pattern.split("/"))


def _expand_below(root_fd: int, above: str, parts: list[str]) -> Iterator[str]:
    first, *rest = parts
    if not _WILD.search(first):
        names = [first]
    else:
        try:
            matches = re.compile(expression(first.replace("**", "*"))).fullmatch
            names = [name for name in _names(root_fd, above or ".") if matches(name)]
        except re.error as error:
            raise InvalidArgument(f"syntax error in pattern {first!r}") from error
    for name in names:
        path = f"{above}/{name}" if above else name
        if rest:
            yield from _expand_below(root_fd, path, rest)
        else:
            yield path


def _names(root_fd: int, path: str) -> list[str]:
    try:
        fd = open_in_root(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []
        raise
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def walk(root_fd: int, source: Source, ignored: Ignored) -> Iterator[Found]:
    """A source and everything below it, a folder before what is in it. A link as the source itself means what it
    points to. The patterns of ``ignored`` count from the root of the tree."""
    fd = open_in_root(root_fd, source.path, os.O_PATH)
    try:
        yield Found(source.target, fd, "", os.fstat(fd))
        if not source.is_folder:
            return
        folder = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(fd)
    try:
        yield from _below(folder, source.target, "" if source.path == "." else source.path, ignored)
    finally:
        os.close(folder)


def _below(fd: int, target: str, inside: str, ignored: Ignored) -> Iterator[Found]:
    for leaf in sorted(os.listdir(fd)):
        name = f"{target}/{leaf}" if target else leaf
        path = f"{inside}/{leaf}" if inside else leaf
        found = os.lstat(leaf, dir_fd=fd)
        is_folder, is_ignored = stat.S_ISDIR(found.st_mode), ignored.ignores(path)
        if stat.S_ISSOCK(found.st_mode) or is_ignored and not (is_folder and ignored.may_take_back(path)):
            continue
        if not is_ignored:
            yield Found(name, fd, leaf, found)
        if is_folder:
            below = os.open(leaf, _FOLDER, dir_fd=fd)
            try:
                yield from _below(below, name, path, ignored)
            finally:
                os.close(below)


def fingerprint(root_fd: int, source: Source, ignored: Ignored, *, owners: bool) -> Iterator[list[Any]]:
    """``[name, kind, mode, owner, content]`` of everything below a source: what the outcome depends on, so no times.

    ``owners``: they are kept by the copy, so they count."""
    for one in walk(root_fd, source, ignored):
        mode, found = one.found.st_mode, one.found
        owner = f"{found.st_uid}:{found.st_gid}" if owners else ""
        if stat.S_ISDIR(mode):
            yield [one.name, "folder", f"{stat.S_IMODE(mode):o}", owner, ""]
        elif stat.S_ISREG(mode):
            yield [one.name, "file", f"{stat.S_IMODE(mode):o}", owner, _digest(one)]
        elif stat.S_ISLNK(mode):
            yield [one.name, "link", "", owner, one.link()]
        else:
            yield [one.name, "node", f"{mode:o}", owner, str(found.st_rdev)]


def _digest(one: Found) -> str:
    digest = hashlib.sha256()
    with open(one.open(), "rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
