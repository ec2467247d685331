"""Mounting image layers under a writable one: overlayfs (Documentation/filesystems/overlayfs.rst).

Options of a mount must fit into a page for mount(2), and into 255 bytes each for fsconfig(2), while an image may have
hundreds of layers. Where the kernel takes layers one at a time (``lowerdir+``, Linux 6.8), each is a string of its own;
elsewhere the layers are opened, and mount(2), called from /proc/self/fd, gets their descriptor numbers as names.
"""

from __future__ import annotations

import errno
import os

from engine.kernel import mounts, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Sequence

_SETTINGS: tuple[tuple[str, str | None], ...] = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"))
"""Whatever the kernel's defaults are: the writable layer must stay readable as a plain diff of its image."""
_SETTINGS_OF_USERS: tuple[tuple[str, str | None], ...] = (
    ("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow"), ("userxattr", None),
)  # fmt: skip
"""In a user namespace trusted attributes can't be written: overlay has its own among the user's (Linux 5.11), and then
it follows no redirects."""
_REFUSED = "not supported as upperdir"
MOST_LAYERS = 500
"""OVL_MAX_STACK."""


def _settings() -> tuple[tuple[str, str | None], ...]:
    return _SETTINGS_OF_USERS if namespaces.in_user_namespace() else _SETTINGS


def mount_overlay(lower: Sequence[str], upper: str, work: str, target: str) -> None:
    """Mount on ``target``. ``lower`` has the topmost layer first; an image without layers shows ``upper`` alone."""
    if len(lower) > MOST_LAYERS:
        raise OSError(errno.EINVAL, f"an overlay takes {MOST_LAYERS} layers, the image has {len(lower)}", target)
    if not lower:
        mounts.mount(upper, target, None, mounts.MS_BIND)
        mounts.mount(None, target, None, mounts.MS_PRIVATE)
        return
    try:
        (mount_by_strings if takes_layers_one_by_one() else mount_by_numbers)(lower, upper, work, target)
    except OSError as error:
        if _REFUSED not in (error.strerror or ""):
            raise
        text = "no writable layer can lie on this file system, another overlay or a network's: choose another --root"
        raise OSError(error.errno, f"{text} (in a container a volume)", upper) from error


_one_by_one: list[bool] = []


def takes_layers_one_by_one() -> bool:
    """Whether ``lowerdir+`` is known; asked once."""
    if not _one_by_one:
        _one_by_one.append(_takes_lowerdir_plus())
    return _one_by_one[0]


def _takes_lowerdir_plus() -> bool:
    """An old kernel takes any option and complains later; a new one refuses ""."""
    context = mounts.fsopen("overlay")
    try:
        mounts.fsconfig_string(context, "lowerdir+", "")
    except OSError as error:
        return "Unknown parameter" not in (error.strerror or "")
    finally:
        os.close(context)
    return False


def mount_by_strings(lower: Sequence[str], upper: str, work: str, target: str) -> None:
    """fsopen(2), one ``lowerdir+`` a layer, move_mount(2)."""
    context = mounts.fsopen("overlay")
    opened: list[int] = []
    try:
        mounts.fsconfig_string(context, "source", "overlay")
        for layer in lower:
            mounts.fsconfig_string(context, "lowerdir+", _short_name(layer, opened))
        mounts.fsconfig_string(context, "upperdir", _short_name(upper, opened))
        mounts.fsconfig_string(context, "workdir", _short_name(work, opened))
        for key, value in _settings():
            if value is None:
                mounts.fsconfig_flag(context, key)
            else:
                mounts.fsconfig_string(context, key, value)
        mounts.fsconfig_create(context, "overlay")
        made = mounts.fsmount(context)
    finally:
        os.close(context)
        for fd in opened:
            os.close(fd)
    try:
        folder = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mounts.move_mount(made, folder, target)
        finally:
            os.close(folder)
    finally:
        os.close(made)


def _short_name(path: str, opened: list[int]) -> str:
    if len(os.fsencode(path)) <= mounts.FSCONFIG_STRING_BYTES and not path.startswith(":"):
        return path
    opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    return f"/proc/self/fd/{opened[-1]}"


def mount_by_numbers(lower: Sequence[str], upper: str, work: str, target: str) -> None:
    """mount(2) from /proc/self/fd: ``lowerdir=12:13:14``. Changes the working directory to /."""
    opened = list(_open_all([*lower, upper, work]))
    try:
        *layers, upper_fd, work_fd = opened
        options = [f"lowerdir={':'.join(map(str, layers))}", f"upperdir={upper_fd}", f"workdir={work_fd}"]
        options += [key if value is None else f"{key}={value}" for key, value in _settings()]
        os.chdir("/proc/self/fd")
        mounts.mount("overlay", target, "overlay", 0, ",".join(options))
    finally:
        os.chdir("/")
        for fd in opened:
            os.close(fd)


def _open_all(paths: Sequence[str]) -> Iterator[int]:
    for path in paths:
        yield os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
