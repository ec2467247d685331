"""The context of a build: received from the client, or fetched; and the Dockerfile in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Iterator

from engine.builder import dockerfile as language
from engine.builder.orders import Site
from engine.client import git, tar_header
from engine.client.build_context import ContextFolder
from engine.client.dockerignore import Ignored
from engine.domain.build import BuildContextReceived, TellBuild
from engine.domain.errors import InvalidArgument, Unavailable
from engine.eventlog.log import Document
from engine.images.content import Readable
from engine.images.limits import Limits
from engine.kernel.paths import open_in_root
from engine.services.core import Core
from engine.services.job_streams import feed

_SMALL_BYTES, _SMALL_ENTRIES = 4 << 20, 500
_MAGICS = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


class Contexts:
    """One for the engine."""

    def __init__(self, core: Core, limits: dict[str, int] | None) -> None:
        self._core = core
        self._limits = limits

    def receive(self, stream: Readable, site: Site) -> bytes:
        """Put the context's files into ``site.sources``, and answer with the Dockerfile's text. Raises InvalidArgument,
        Unavailable, OSError."""
        if site.order.remote:
            stream = self._fetched(site.order.remote, site)
        job = {"target": str(site.sources), "limits": self._limits}
        # a worker unpacks what comes by a pipe: the context touches the disk once
        received = feed(stream, lambda fds: self._core.runtime.run_job("build.receive", job, fds))
        size_bytes, entries = received["size_bytes"], received["entries"]
        for name, named in site.order.contexts.items():
            if not named.image:
                _move(site.sources, named.place, site.named_sources(name))
        site.has_small_context = size_bytes <= _SMALL_BYTES and entries <= _SMALL_ENTRIES
        text = self._dockerfile(site)
        stored = Document("dockerfile", text)
        event = BuildContextReceived(
            site.build_id, received["digest"], size_bytes, entries, stored.digest
        )
        self._core.recorder.decide("build", site.build_id, TellBuild((event,)), site.context, [stored])
        return text

    @staticmethod
    def _dockerfile(site: Site) -> bytes:
        name = site.order.dockerfile
        try:
            return _read(site.sources, name)
        except OSError as error:
            raise InvalidArgument(f"Cannot locate specified Dockerfile: {name}") from error

    def _fetched(self, url: str, site: Site) -> Readable:
        """The archive of a git repository, or what a server has: an archive or the text of a Dockerfile."""
        if (repository := git.repository_of(url)) is not None:
            try:
                folder = git.Git(repository, is_trusted=False, check=site.check).check_out(str(site.scratch()))
            except git.GitError as error:
                raise Unavailable(str(error)) from error
            return _Pieces(ContextFolder(folder, Ignored([])).pieces())
        from engine.images.remote_files import download  # with requests, which most builds don't need

        folder = site.scratch()
        name = download(url, folder, "", Limits.from_json(self._limits).bytes, site.stop, name="context")
        path = folder / name
        with path.open("rb") as file:
            text = file.read(language.TEXT_LIMIT_BYTES + 1)  # of a Dockerfile that is larger, that counts alone
        first = text[: tar_header.BLOCK]
        if first.startswith(_MAGICS) or tar_header.is_header(first):
            return path.open("rb", buffering=0)
        return _Pieces(iter([_alone(text)]))


class _Pieces:
    """Bytes as they come, for who reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int, /) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")


def _move(tree: Path, place: str, target: Path) -> None:
    """Take the folder at ``place`` out of an unpacked archive; no link in there leads anywhere. Raises InvalidArgument,
    OSError."""
    above, _, leaf = place.rpartition("/")
    if leaf in ("", ".", ".."):
        raise InvalidArgument(f"{place!r} names no folder in the context")
    root_fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_in_root(root_fd, above or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidArgument(f"{place} is not in the context") from error
    finally:
        os.close(root_fd)
    try:
        if not stat.S_ISDIR(os.stat(leaf, dir_fd=fd, follow_symlinks=False).st_mode):
            raise InvalidArgument(f"{place} of the context is no folder")
        os.rename(leaf, target, src_dir_fd=fd)
    except FileNotFoundError as error:
        raise InvalidArgument(f"{place} is not in the context") from error
    finally:
        os.close(fd)


def _alone(text: bytes) -> bytes:
    head = tar_header.header(b"Dockerfile", size=len(text), mode=0o600)
    return head + text + tar_header.padding(len(text)) + bytes(2 * tar_header.BLOCK)


def _read(folder: Path, name: str) -> bytes:
    """A small file of the context, no link of which leads out. Raises OSError, InvalidArgument."""
    root_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(open_in_root(root_fd, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(language.TEXT_LIMIT_BYTES + 1)
    finally:
        os.close(root_fd)
