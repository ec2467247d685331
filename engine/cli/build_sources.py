"""Where the context of a build comes from: a folder, standard input, an archive or a git repository on the network."""

from __future__ import annotations

import os

from engine.cli.output import CommandError
from engine.client import tar_header
from engine.client.build_context import ContextError, ContextFolder
from engine.client.dockerignore import Ignored, read_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, Mapping

    from engine.client.git import Repository

_STDIN = 0
_PIECE_BYTES = 1 << 18
_NAME = "Dockerfile"
_IGNORE = ".dockerignore"
_MAGICS = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")


class Context:
    """``pieces`` gives the archive; ``dockerfile`` is the name that it has in there; ``remote`` is the URL of what the
    engine is to fetch instead; ``named`` are other contexts, as the engine is told of them; ``is_compressed`` is an
    archive of the user's. As a context manager it removes the folders ``temporary`` at its end."""

    def __init__(
        self, pieces: Callable[[], Iterator[bytes]], dockerfile: str, remote: str = "",
        named: Mapping[str, str] | None = None, is_compressed: bool = False,
    ) -> None:  # fmt: skip
        self._pieces = pieces
        self.is_compressed = is_compressed
        self.dockerfile = dockerfile
        self.remote = remote
        self.named = named or {}
        self.temporary: list[str] = []

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exception: object) -> None:
        remove(self.temporary)

    def pieces(self, compress: bool = False) -> Iterator[bytes]:
        """With ``compress`` by gzip, unless they are compressed already."""
        pieces = self._pieces()
        try:
            yield from _gzipped(pieces) if compress and not (self.is_compressed or self.remote) else pieces
        except ContextError as error:
            raise CommandError(f"error checking context: {error}") from error


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zlib

    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)  # 16: gzip's header and trailer
    for piece in pieces:
        if packed := packer.compress(piece):  # an empty chunk would be the body's end
            yield packed
    yield packer.flush()


def remove(folders: Iterable[str]) -> None:
    for folder in folders:
        from shutil import rmtree

        rmtree(folder, ignore_errors=True)


def open_context(place: str, file: str, named: Mapping[str, str] | None = None) -> Context:
    """``named`` are other contexts: folders, repositories, and ``docker-image://NAME``. Raises CommandError."""
    if not named:
        return _opened(place, file, {})
    temporary: list[str] = []
    try:
        told, beside = _named(named, temporary)
        if beside and (place == "-" or place.startswith(_REMOTE) and not os.path.isdir(place)):
            raise CommandError("a named context that is a folder goes with a context that is a folder, too")
        context = _opened(place, file, beside)
    except BaseException:
        remove(temporary)
        raise
    context.named = told
    context.temporary += temporary
    return context


def _named(given: Mapping[str, str], temporary: list[str]) -> tuple[dict[str, str], dict[str, ContextFolder]]:
    """What the engine is told of each, and the folders, by the place that they are to have in the archive."""
    told, beside = {}, {}
    top = f".docket-contexts-{os.urandom(8).hex()}"
    for name, place in given.items():
        if place.startswith("docker-image://"):
            told[name] = place
            continue
        folder = place
        if place.startswith(_REMOTE) and not os.path.isdir(place):
            from engine.client.git import repository_of

            if (repository := repository_of(place)) is None:
                raise CommandError(f"named context {name}: {place} is not supported: name a folder, a git repository, "
                                   "or docker-image://NAME")  # fmt: skip
            made, folder = _cloned(repository)
            temporary.append(made)
        if not os.path.isdir(folder):
            raise CommandError(f'unable to prepare context {name}: path "{place}" not found')
        root = os.path.realpath(folder)
        inside = f"{top}/{len(beside)}"
        told[name], beside[inside] = f"folder:{inside}", ContextFolder(root, _ignored(root, _NAME, "")[0])
    return told, beside


def _opened(place: str, file: str, beside: Mapping[str, ContextFolder]) -> Context:
    if place == "-":
        if file == "-":
            raise CommandError("invalid argument: can't use stdin for both build context and dockerfile")
        return _from_stdin(file)
    if place.startswith(_REMOTE) and not os.path.isdir(place):
        return _from_network(place, file)
    return _from_folder(place, file, place, beside)


def _from_network(url: str, file: str) -> Context:
    """A git repository is checked out here, by its user's keys and settings; everything else the engine fetches."""
    from engine.client.git import repository_of

    repository = repository_of(url)
    if repository is None:
        if file == "-":
            raise CommandError("a Dockerfile on standard input can't go with a context that the engine fetches")
        return Context(lambda: iter(()), file or _NAME, remote=url)
    temporary, folder = _cloned(repository)
    try:
        place = file if file in ("", "-") else os.path.join(folder, file)
        _check_inside(temporary, folder if place == "-" else place or _usual(os.path.realpath(folder)), url)
        context = _from_folder(folder, place, url, {})
    except BaseException:
        remove([temporary])
        raise
    context.temporary.append(temporary)
    return context


def _check_inside(checkout: str, path: str, url: str) -> None:
    """What a repository's links lead to outside of it is the user's, and not to be sent."""
    ignores = (f"{path}{_IGNORE}", os.path.join(path if os.path.isdir(path) else os.path.dirname(path), _IGNORE))
    for place in (path, *filter(os.path.lexists, ignores)):
        if os.path.commonpath((checkout, os.path.realpath(place))) != checkout:
            inside = os.path.relpath(place, checkout)
            raise CommandError(f"unable to prepare context: {inside} of {url} leads out of the repository")


def _from_stdin(file: str) -> Context:
    """An archive, or a Dockerfile that needs no context."""
    first = b""
    while len(first) < tar_header.BLOCK and (piece := os.read(_STDIN, tar_header.BLOCK - len(first))):
        first += piece
    if first.startswith(_MAGICS) or tar_header.is_header(first):
        return Context(lambda: _rest(first), file or _NAME, is_compressed=first.startswith(_MAGICS))
    text = b"".join(_rest(first))
    if not text.strip():
        raise CommandError("the Dockerfile on standard input is empty")
    return Context(lambda: _alone(text), _NAME)


def _rest(first: bytes) -> Iterator[bytes]:
    yield first
    while piece := os.read(_STDIN, _PIECE_BYTES):
        yield piece


def _alone(text: bytes) -> Iterator[bytes]:
    head = tar_header.header(_NAME.encode(), size=len(text), mode=0o600)
    yield head + text + tar_header.padding(len(text)) + bytes(2 * tar_header.BLOCK)


def _from_folder(folder: str, file: str, shown: str, beside: Mapping[str, ContextFolder]) -> Context:
    root = os.path.realpath(folder)
    if not os.path.isdir(root):
        raise CommandError(f'unable to prepare context: path "{shown}" not found')
    extra: dict[str, bytes] = {}
    if file == "-":
        name = f".dockerfile.{os.urandom(8).hex()}"
        extra[name] = b"".join(_rest(b""))
    else:
        path = os.path.realpath(file or _usual(root))
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
    return Context(ContextFolder(root, ignored, always, extra, beside).pieces, name)


def _usual(root: str) -> str:
    """``Dockerfile``, or ``dockerfile`` where there is only that."""
    names = [os.path.join(root, name) for name in (_NAME, _NAME.lower())]
    return names[1] if not os.path.lexists(names[0]) and os.path.lexists(names[1]) else names[0]


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


def _cloned(repository: Repository) -> tuple[str, str]:
    """A checkout of a repository. Answers with the temporary folder that it is in, and the one that is meant."""
    import shutil
    import tempfile

    from engine.client.git import Git, GitError

    temporary = os.path.realpath(tempfile.mkdtemp(prefix="docket-build-git"))
    try:
        return temporary, Git(repository, is_trusted=True).check_out(temporary)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, GitError):
            raise CommandError(f"unable to prepare context: {error}") from error
        raise
