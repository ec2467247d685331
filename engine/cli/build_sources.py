"""Where the context of a build comes from: a folder, standard input, an archive or a git repository on the network."""

from __future__ import annotations

import os
import tarfile

from engine.cli.output import CommandError
from engine.client.build_context import ContextError, ContextFolder
from engine.client.dockerignore import Ignored, read_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

_STDIN = 0
_PIECE_BYTES = 1 << 18
_NAME = "Dockerfile"
_IGNORE = ".dockerignore"
_MAGICS = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_GIT = ("git://", "git@", "ssh://")


class Context:
    """``pieces`` gives the archive; ``dockerfile`` is the name that it has in there. As a context manager it removes
    the folder ``temporary`` at its end."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], dockerfile: str) -> None:
        self._pieces = pieces
        self.dockerfile = dockerfile
        self.temporary = ""

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.temporary:
            from shutil import rmtree

            rmtree(self.temporary, ignore_errors=True)

    def pieces(self) -> Iterator[bytes]:
        try:
            yield from self._pieces()
        except ContextError as error:
            raise CommandError(f"error checking context: {error}") from error


def open_context(place: str, file: str) -> Context:
    """Raises CommandError."""
    if place == "-":
        if file == "-":
            raise CommandError("invalid argument: can't use stdin for both build context and dockerfile")
        return _from_stdin(file)
    if place.startswith(_GIT) or place.startswith(("http://", "https://")):
        temporary, folder = _cloned(place)
        context = _from_folder(folder, file and os.path.join(folder, file), place)
        context.temporary = temporary
        return context
    return _from_folder(place, file, place)


def _from_stdin(file: str) -> Context:
    """An archive, or a Dockerfile that needs no context."""
    first = b""
    while len(first) < tarfile.BLOCKSIZE and (piece := os.read(_STDIN, tarfile.BLOCKSIZE - len(first))):
        first += piece
    if first.startswith(_MAGICS) or _is_tar(first):
        return Context(lambda: _rest(first), file or _NAME)
    text = b"".join(_rest(first))
    if not text.strip():
        raise CommandError("the Dockerfile on standard input is empty")
    return Context(lambda: _alone(text), _NAME)


def _is_tar(first: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(first, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _rest(first: bytes) -> Iterator[bytes]:
    yield first
    while piece := os.read(_STDIN, _PIECE_BYTES):
        yield piece


def _alone(text: bytes) -> Iterator[bytes]:
    info = tarfile.TarInfo(_NAME)
    info.size, info.mode = len(text), 0o600
    yield info.tobuf() + text + bytes(-len(text) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _from_folder(folder: str, file: str, shown: str) -> Context:
    root = os.path.realpath(folder)
    if not os.path.isdir(root):
        raise CommandError(f'unable to prepare context: path "{shown}" not found')
    extra: dict[str, bytes] = {}
    if file == "-":
        name = f".dockerfile.{os.urandom(8).hex()}"
        extra[name] = b"".join(_rest(b""))
    else:
        path = os.path.realpath(file or os.path.join(root, _NAME))
        if not os.path.isfile(path):
            raise CommandError(f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat "
                               f"{path}: no such file or directory")  # fmt: skip
        own = os.path.join(root, os.path.relpath(os.path.abspath(file), os.path.realpath(folder))) if file else ""
        name = os.path.relpath(path, root)
        if name.startswith("../") or own and os.path.realpath(own) != path:
            name = f".dockerfile.{os.urandom(8).hex()}"
            extra[name] = _read(path)
    ignored, used = _ignored(root, name, file)
    if used and used.startswith("/"):
        extra[f"{name}{_IGNORE}"] = _read(used)
    always = frozenset({name, _IGNORE, f"{name}{_IGNORE}"})
    return Context(ContextFolder(root, ignored, always, extra).pieces, name)


def _ignored(root: str, name: str, file: str) -> tuple[Ignored, str]:
    """The patterns, and where they are (absolute outside of the context)."""
    outside = f"{os.path.abspath(file)}{_IGNORE}" if name.startswith(".dockerfile.") and file not in ("", "-") else ""
    for place in filter(None, (outside, os.path.join(root, f"{name}{_IGNORE}"), os.path.join(root, _IGNORE))):
        if os.path.isfile(place):
            try:
                return Ignored(read_lines(_read(place))), place if place == outside else ""
            except ValueError as error:
                raise CommandError(f"error reading {place}: {error}") from error
    return Ignored([]), ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from error


def _cloned(url: str) -> tuple[str, str]:
    """A clone of a repository, at the revision that ``#revision:folder`` names. Answers with the temporary folder that
    it is in, and the one that is meant."""
    import shutil
    import tempfile

    address, _, fragment = url.partition("#")
    revision, _, folder = fragment.partition(":")
    if not address.startswith(_GIT) and not address.endswith(".git") and "#" not in url:
        raise CommandError(f"{address}: of what lies on the network only git repositories (*.git) can be contexts")
    if revision.startswith("-") or address.startswith("-"):
        raise CommandError(f"invalid git revision {revision!r}")
    if shutil.which("git") is None:
        raise CommandError("unable to find 'git': install it, or clone the repository beforehand")
    temporary = os.path.realpath(tempfile.mkdtemp(prefix="docket-build-git"))
    try:
        _fetch(temporary, address, revision)
        chosen = os.path.realpath(os.path.join(temporary, folder.lstrip("/")))
        if chosen != temporary and not chosen.startswith(temporary + "/"):
            raise CommandError(f"the folder {folder!r} lies outside of the repository")
        shutil.rmtree(os.path.join(temporary, ".git"))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return temporary, chosen


def _fetch(folder: str, address: str, revision: str) -> None:
    import subprocess

    steps = [
        ["init", "--quiet"], ["remote", "add", "origin", address],
        ["fetch", "--quiet", "--depth=1", "origin", "--", revision or "HEAD"], ["checkout", "--quiet", "FETCH_HEAD"],
    ]  # fmt: skip
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "git:http:https:ssh"}
    for step in steps:
        done = subprocess.run(
            ["git", "-C", folder, *step], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            message = done.stderr.strip().splitlines()
            raise CommandError(f"git {step[0]} of {address}: {message[-1] if message else 'failed'}")
