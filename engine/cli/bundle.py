"""``docket bundle export``: a container as a folder that any OCI runtime runs: config.json and rootfs."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options
from engine.cli.output import CommandError, out
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.api import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile

    from engine.client.connection import Response

_XATTR = "SCHILY.xattr."


def export_bundle(session: Session, options: Options, arguments: list[str]) -> int:
    container, folder = arguments
    config = session.client.call("GET", "/docket" + path_of("containers", container, "bundle"))
    root = os.path.join(folder, "rootfs")
    try:
        os.makedirs(root, 0o755)
    except FileExistsError as error:
        raise CommandError(f"{root} exists already: give a new folder") from error
    response = session.client.stream("GET", path_of("containers", container, "export"))
    try:
        _unpack(response, root)
    finally:
        response.close()
    with open(os.path.join(folder, "config.json"), "x", encoding="utf-8") as file:
        file.write(jsontext.encode(config) + "\n")
    out(f"{folder}\n")
    return 0


class _Reading:
    """The body of an answer as a file that tarfile reads from."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := self._response.read_some()):
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _unpack(response: Response, root: str) -> None:
    """Every entry as it is, owners and kinds too. The container may change while it is read, and the engine may be
    anybody's: an entry whose folder, or whose own place, has become a link is not followed out of the root."""
    import tarfile

    real_root = os.path.realpath(root)
    how: dict[str, str] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}  # 3.11.4
    with tarfile.open(fileobj=_Reading(response), mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            parent = os.path.realpath(os.path.join(root, os.path.dirname(member.name)))
            if parent != real_root and not parent.startswith(real_root + "/"):
                raise CommandError(f"{member.name} lies outside of the container's root")
            if member.islnk():
                _check_inside(os.path.join(root, member.linkname), real_root)
            path = os.path.join(root, member.name)
            if os.path.lexists(path) and (os.path.islink(path) or not (member.isdir() and os.path.isdir(path))):
                raise CommandError(f"{member.name} comes twice")
            archive.extract(member, root, numeric_owner=True, **how)  # type: ignore[arg-type]
            _set_attributes(member, path)


def _check_inside(path: str, real_root: str) -> None:
    found = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if not found.startswith(real_root + "/"):
        raise CommandError(f"{path} lies outside of the container's root")


def _set_attributes(member: tarfile.TarInfo, path: str) -> None:
    for name, value in member.pax_headers.items():
        if name.startswith(_XATTR):
            data = value.encode("utf-8", "surrogateescape")
            os.setxattr(path, name.removeprefix(_XATTR), data, follow_symlinks=False)


EXPORT = Command(
    export_bundle,
    "CONTAINER DIRECTORY",
    least=2,
    most=2,
    examples="docket bundle export web ./web && runc run --bundle ./web web",
)
