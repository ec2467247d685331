"""``docket cp``: files and folders between a container and here, with the rules of ``cp -a``; and ``docket export``."""

from __future__ import annotations

import base64
import os
import stat

from engine.cli.archives import Target
from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.output import STDERR, STDOUT, CommandError, write_all
from engine.cli.quantities import human_size
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.api import path_of
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from engine.client.api import Client
    from engine.client.connection import Response

_STDIN = 0
_GO_FOLDER, _GO_LINK = 1 << 31, 1 << 27
_PIECE_BYTES = 1 << 18


def copy(session: Session, options: Options, arguments: list[str]) -> int:
    (source_container, source), (target_container, target) = map(split, arguments)
    if source_container and target_container:
        raise CommandError("copying between containers is not supported")
    if not source_container and not target_container:
        raise CommandError("must specify at least one container source")
    if not source or not target:
        raise CommandError(f"{'destination' if source else 'source'} path can not be empty")
    client = session.client
    if source_container:
        identifier = client.inspect(source_container)["Id"]
        moved = _copy_out(client, identifier, source_container, source, target, options)
    else:
        target_container = client.inspect(target_container)["Id"]
        moved = _copy_in(client, source, target_container, target, options)
    if not options.quiet and os.isatty(STDERR) and "-" not in (source, target):
        write_all(STDERR, f"Successfully copied {human_size(moved)} to {arguments[1]}\n".encode())
    return 0


def split(argument: str) -> tuple[str, str]:
    """("web", "/etc") of "web:/etc", ("", path) of what is here; a path that begins with / or . is always here."""
    if argument.startswith(("/", ".")) or argument == "-":
        return "", argument
    container, colon, path = argument.partition(":")
    return (container, path) if colon else ("", argument)


# --- out of a container ----------------------------------------------------------------------------------------------


def _copy_out(client: Client, container: str, name: str, path: str, target: str, options: Options) -> int:
    if target == "-" and os.isatty(STDOUT):
        raise CommandError("cowardly refusing to write an archive to a terminal. Redirect it")
    found, name = _stat(client, container, path), None
    if found and options.follow_link and found["mode"] & _GO_LINK and found["linkTarget"]:
        path, name = found["linkTarget"], os.path.basename(path)
        found = _stat(client, container, path)
    if found is None:
        raise CommandError(f"Error response from daemon: Could not find the file {path} in container {name}")
    is_folder = bool(found["mode"] & _GO_FOLDER)
    place = None if target == "-" else _place_here(path, target, is_folder, name)
    response = client.stream("GET", path_of("containers", container, "archive"), query={"path": path})
    stream = _Stream(response)
    try:
        if place is None:
            while piece := response.read_some():
                write_all(STDOUT, piece)
        else:
            from engine.client.file_archive import unpack

            try:
                unpack(stream, place[0], place[1], keep_owners=options.archive)  # type: ignore[arg-type]
            except OSError as error:
                raise CommandError(f"{target}: {(error.strerror or str(error)).lower()}") from error
            while response.read_some():
                pass  # what follows the archive's end, so that the engine sees it taken
    finally:
        response.close()
    return stream.size_bytes


def _place_here(path: str, target: str, is_folder: bool, link: str | None) -> tuple[str, str | None]:
    """The folder to unpack into, and what takes the place of the first part of the archive's names (None: nothing):
    in a folder what a ``link`` leads to has the name of the link, as with Docker."""
    if os.path.isdir(target):
        return target, link
    if is_folder and os.path.lexists(target):
        raise CommandError("cannot copy directory")
    if not is_folder and target.endswith(("/", "/.")):
        raise CommandError("no such directory")
    parent, name = os.path.split(os.path.abspath(target))
    if not os.path.isdir(parent):
        raise CommandError(f'invalid output path: directory "{parent}" does not exist')
    if path.endswith("/."):  # the archive's names have no first part to be replaced
        os.mkdir(target)
        return target, None
    return parent, name


class _Stream:
    """A response as tarfile reads it."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._buffer = b""
        self.size_bytes = 0

    def read(self, size: int) -> bytes:
        parts = [self._buffer]
        have = len(self._buffer)
        while have < size and (piece := self._response.read_some()):
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        self._buffer = data[size:]
        self.size_bytes += min(size, len(data))
        return data[:size]


def _stat(client: Client, container: str, path: str) -> dict[str, Any] | None:
    """What lies at a path; None where nothing does. The answer to HEAD has no words of its own."""
    try:
        response = client.stream("HEAD", path_of("containers", container, "archive"), query={"path": path})
    except APIError as error:
        if error.status == 404:
            return None
        raise
    response.close()
    return jsontext.decode(base64.b64decode(response.headers["x-docker-container-path-stat"]))


# --- into a container ------------------------------------------------------------------------------------------------


def _copy_in(client: Client, source: str, container: str, path: str, options: Options) -> int:
    if source == "-":
        folder, pieces = path, _standard_input()
    else:
        source_stat = _stat_here(source, options.follow_link)
        folder, name = _place_there(client, container, source, stat.S_ISDIR(source_stat.st_mode), path)
        from engine.client.file_archive import tar_pieces

        pieces = tar_pieces(source, name, follow=options.follow_link)
    query = {"path": folder, "noOverwriteDirNonDir": "true", "copyUIDGID": options.archive and source == "-" or None}
    counted = _Counted(pieces)
    response = client.stream("PUT", path_of("containers", container, "archive"), query=query, upload=counted)
    response.read()
    response.close()
    return counted.size_bytes


class _Counted:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size_bytes += len(piece)
            yield piece


def _standard_input() -> Iterator[bytes]:
    while piece := os.read(_STDIN, _PIECE_BYTES):
        yield piece


def _stat_here(path: str, follow: bool) -> os.stat_result:
    try:
        return os.stat(path) if follow or path.endswith("/") else os.lstat(path)
    except OSError as error:
        raise CommandError(f"lstat {path}: {(error.strerror or '').lower()}") from error


def _place_there(client: Client, container: str, source: str, is_folder: bool, path: str) -> tuple[str, str]:
    """The container's folder to unpack into, and how the archive's names begin."""
    own_name = os.path.basename(os.path.normpath(os.path.abspath(source)))
    found = _stat(client, container, path)
    if found is not None and found["mode"] & _GO_LINK and found["linkTarget"]:
        path = found["linkTarget"]
        found = _stat(client, container, path)
    if found is None:
        if path.endswith(("/", "/.")) and not is_folder:
            raise CommandError("no such directory")
        parent, _, name = path.rstrip("/").rpartition("/")
        return parent or "/", name
    if found["mode"] & _GO_FOLDER:
        contents = source.endswith("/.") or source == "."
        return path, "." if is_folder and contents else own_name
    if is_folder:
        raise CommandError("cannot copy directory")
    parent, _, name = path.rpartition("/")
    return parent or "/", name


# --- export ----------------------------------------------------------------------------------------------------------


def export(session: Session, options: Options, arguments: list[str]) -> int:
    if not options.output and os.isatty(STDOUT):
        raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    response = session.client.stream("GET", path_of("containers", arguments[0], "export"))
    with Target(options.output) as fd:
        while piece := response.read_some():
            write_all(fd, piece)
    response.close()
    return 0


COPY = Command(
    copy,
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        docket cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    switch("-a, --archive", "Archive mode (copy all uid/gid information)"),
    switch("-L, --follow-link", "Always follow symbol link in SRC_PATH"),
    switch("-q, --quiet", "Suppress the line that says what was copied"),
    least=2,
    most=2,
    examples=(
        "docket cp web:/etc/nginx ./nginx\ndocket cp index.html web:/srv/\n"
        "docket cp web:/var/log - | tar t\ntar c . | docket cp - web:/srv"
    ),
)
EXPORT = Command(
    export,
    "[OPTIONS] CONTAINER",
    text("-o, --output", "Write to a file, instead of STDOUT"),
    least=1,
    most=1,
    examples="docket export web > web.tar\ndocket export -o web.tar web",
)
