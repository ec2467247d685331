"""Local files as a tar stream, and a tar stream as local files: the client's end of ``docket cp``.

What comes from a container is its author's: no name leads out of the target, and nothing is written through a link.
"""

from __future__ import annotations

import os
import stat
import tarfile

from engine.client.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Iterator

_PIECE_BYTES = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def tar_pieces(path: str, name: str, *, follow: bool = False) -> Iterator[bytes]:
    """The archive of a file, or of a folder and all in it, whose names begin with ``name``. ``follow``: ``path`` may be
    a link to what is meant. Raises OSError."""
    links: dict[tuple[int, int], str] = {}
    for here, archived in _walk(path, name, follow):
        found = os.stat(here) if follow and here == path else os.lstat(here)
        yield from _member(here, archived, found, links)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(path: str, name: str, follow: bool) -> Iterator[tuple[str, str]]:
    yield path, name
    if os.path.islink(path) and not follow or not os.path.isdir(path):
        return
    folders = [(path, name)]
    while folders:
        folder, archived = folders.pop()
        for child in sorted(os.listdir(folder)):
            below = os.path.join(folder, child)
            yield below, f"{archived}/{child}"
            if os.path.isdir(below) and not os.path.islink(below):
                folders.append((below, f"{archived}/{child}"))


def _member(path: str, name: str, found: os.stat_result, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    info.mtime = int(found.st_mtime)
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        info.type, info.name = tarfile.DIRTYPE, name + "/"
    elif kind == stat.S_IFLNK:
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    elif kind == stat.S_IFIFO:
        info.type = tarfile.FIFOTYPE
    elif kind != stat.S_IFREG:
        return  # a socket: no archive has them
    if kind != stat.S_IFDIR and found.st_nlink > 1:
        first = links.setdefault((found.st_dev, found.st_ino), name)
        if first != name:
            info.type, info.linkname = tarfile.LNKTYPE, first
    if info.type != tarfile.REGTYPE:
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        return
    yield from _file(path, info, found.st_size)


def _file(path: str, info: tarfile.TarInfo, size: int) -> Iterator[bytes]:
    """Exactly as many bytes as the header says, whatever becomes of the file meanwhile."""
    with open(path, "rb", buffering=0) as file:
        info.size = left = size
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        while left:
            piece = file.read(min(left, _PIECE_BYTES)) or bytes(min(left, _PIECE_BYTES))
            left -= len(piece)
            yield piece
    if padding := -size % tarfile.BLOCKSIZE:
        yield bytes(padding)


def unpack(stream: IO[bytes], folder: str, rename: str | None = None, *, keep_owners: bool = False) -> None:
    """Write an archive's files below ``folder``. ``rename`` takes the place of the first part of every name.
    ``keep_owners``: as the archive says; else they are whoever copies. Raises OSError, ProtocolError."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    times: list[tuple[list[str], float]] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                parts = _renamed(_parts(member.name), rename)
                _write(archive, member, root, parts, rename, keep_owners)
                if member.isdir():
                    times.append((parts, member.mtime))
        for parts, mtime in reversed(times):
            fd = _parent(root, [*parts, ""])
            os.utime(fd, (mtime, mtime))
            os.close(fd)
    except tarfile.TarError as error:
        raise ProtocolError(f"the engine's archive can't be read: {error}") from error
    finally:
        os.close(root)


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ProtocolError(f"the archive has a name that leads out of it: {name!r}")
    return parts


def _renamed(parts: list[str], rename: str | None) -> list[str]:
    if rename is None:
        return parts
    return [rename, *parts[1:]]


def _parent(root: int, parts: list[str]) -> int:
    """The folder that the last part lies in, made where it is missing; no link is followed on the way."""
    fd = os.dup(root)
    for part in parts[:-1]:
        try:
            os.mkdir(part, 0o755, dir_fd=fd)
        except FileExistsError:
            pass
        try:
            below = os.open(part, _FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _write(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: int, parts: list[str], rename: str | None, keep: bool
) -> None:
    if not parts:
        return  # the folder itself, which is there
    parent = _parent(root, parts)
    name = parts[-1]
    try:
        if member.isdir():
            _make_folder(parent, name)
        else:
            _clear(parent, name)
            if member.isreg():
                _write_file(archive, member, parent, name)
            elif member.issym():
                os.symlink(member.linkname, name, dir_fd=parent)
            elif member.islnk():
                _link(root, _renamed(_parts(member.linkname), rename), parent, name)
            else:
                _make_node(member, parent, name)
        if keep:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym() and not member.islnk():
            os.chmod(name, member.mode & 0o7777, dir_fd=parent)
            os.utime(name, (member.mtime, member.mtime), dir_fd=parent)
    finally:
        os.close(parent)


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        os.close(os.open(name, _FOLDER, dir_fd=parent))  # a folder, and no link to one


def _clear(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    source = archive.extractfile(member)
    assert source is not None
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    with open(fd, "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            file.write(piece)


def _link(root: int, target: list[str], parent: int, name: str) -> None:
    folder = _parent(root, target)
    try:
        os.link(target[-1], name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(folder)


def _make_node(member: tarfile.TarInfo, parent: int, name: str) -> None:
    if member.isfifo():
        os.mkfifo(name, 0o600, dir_fd=parent)
        return
    kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
    os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent)
