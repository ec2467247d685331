"""Who a process runs as: Docker's ``user[:group]`` against the image's own /etc/passwd and /etc/group.

The files are the image author's, so nothing in them is trusted: they are opened inside the root, must be regular
files of a sane size, malformed lines count for nothing, and an identity outside of 0 to 2147483647 is refused. A
number always means that number: an image can't turn user "1000" into root by a line that is named "1000".
"""

from __future__ import annotations

import errno
import os
import stat

from engine.kernel.paths import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence

_LARGEST_ID = 2**31 - 1
_MOST_DIGITS = 20
_LARGEST_FILE_BYTES = 16 * 1024 * 1024


class User:
    """``groups`` are the supplementary ones, the primary group among them."""

    __slots__ = ("uid", "gid", "groups", "home")

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...], home: str) -> None:
        self.uid, self.gid, self.groups, self.home = uid, gid, groups, home


class UserError(OSError):
    """The wanted user or group can't be had in this image; one line, in Docker's words."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text)


def resolve(root_fd: int, wanted: str, extra_groups: Sequence[str | int] = ()) -> User:
    """``wanted``: "", "name", "uid", and either with ":group" or ":gid". Raises UserError."""
    name, _, group = wanted.partition(":")
    uid, gid, home, login = _passwd_entry(root_fd, name)
    members: list[int] = []
    if group:
        gid = _group_id(root_fd, group)
    elif login:
        members = [entry_gid for _, entry_gid, users in _group_entries(root_fd) if login in users]
    for number in (uid, gid, *members):
        _check_range(number)
    extra = [_group_id(root_fd, str(item)) for item in extra_groups]
    groups = dict.fromkeys([gid, *members, *extra])
    return User(uid, gid, tuple(groups), home)


def _passwd_entry(root_fd: int, name: str) -> tuple[int, int, str, str]:
    """(uid, gid, home, login name or "")."""
    number = int(name) if _is_number(name) else None
    if not name:
        number = 0
    if number is not None:
        _check_range(number)
    for fields in _entries(root_fd, "/etc/passwd", 7):
        login, uid, gid, home = fields[0], fields[2], fields[3], fields[5]
        if not (_is_number(uid) and _is_number(gid)):
            continue
        if int(uid) == number if number is not None else login == name:
            return int(uid), int(gid), home or "/", login
    if number is None:
        if name.startswith("-") and _is_number(name[1:]):
            _check_range(int(name))
        raise UserError(f"unable to find user {name}: no matching entries in passwd file")
    return number, 0, "/", ""


def _group_id(root_fd: int, name: str) -> int:
    if _is_number(name):
        return _check_range(int(name))
    if name.startswith("-") and _is_number(name[1:]):
        return _check_range(int(name))
    for group, gid, _ in _group_entries(root_fd):
        if group == name:
            return _check_range(gid)
    raise UserError(f"unable to find group {name}: no matching entries in group file")


def _group_entries(root_fd: int) -> Iterator[tuple[str, int, list[str]]]:
    for fields in _entries(root_fd, "/etc/group", 4):
        if _is_number(fields[2]):
            yield fields[0], int(fields[2]), fields[3].split(",")


def _check_range(number: int) -> int:
    if not 0 <= number <= _LARGEST_ID:
        raise UserError(f"uids and gids must be in range 0-{_LARGEST_ID}: {number}")
    return number


def _is_number(text: str) -> bool:
    if not (text.isascii() and text.isdigit()):
        return False
    if len(text) > _MOST_DIGITS:
        raise UserError(f"uids and gids must be in range 0-{_LARGEST_ID}: {text[:_MOST_DIGITS]}...")
    return True


def _entries(root_fd: int, path: str, count: int) -> Iterator[list[str]]:
    """The fields of each line that has as many as it should."""
    for line in _read(root_fd, path).decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= count and fields[0] and not line.startswith("#"):
            yield fields


def _read(root_fd: int, path: str) -> bytes:
    """A regular file inside the root; a missing one is empty. A FIFO or a device would keep us waiting."""
    try:
        fd = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    with open(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} of the image is not a regular file")
        if status.st_size > _LARGEST_FILE_BYTES:
            raise UserError(f"{path} of the image is larger than {_LARGEST_FILE_BYTES} bytes")
        parts = []
        while part := file.read(1 << 20):
            parts.append(part)
        return b"".join(parts)


def resolve_job(arguments: dict[str, Any], fds: list[int], root_fd: int) -> dict[str, Any]:
    """A worker job on a container's root: ``name`` and ``groups`` as ``resolve`` takes them, in the OCI's shape."""
    user = resolve(root_fd, arguments["name"], arguments["groups"])
    return {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups), "home": user.home}
